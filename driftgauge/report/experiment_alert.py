"""What people are told when an experiment ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from driftgauge.experiments.shadow_verdict import ShadowVerdict
from driftgauge.experiments.verdict import ExperimentVerdict
from driftgauge.report.alert import Alert, AlertLink, AlertSection, Tone

_ENDS: dict[str, tuple[Tone, str]] = {
    "promote": ("notice", "{challenger} is better than {champion}: promote it"),
    "keep": ("notice", "{champion} stays"),
    "stop: harm": ("alarm", "{challenger} does harm: take its traffic away"),
    "advance": ("notice", "shadow {challenger} may go on"),
    "stop": ("alarm", "shadow {challenger} must not go on"),
}
# A roll-out does itself what people are asked to do else.
_ROLLED: dict[str, str] = {
    "promote": "{challenger} is better than {champion}",
    "keep": "{champion} stays",
    "stop: harm": "{challenger} does harm",
    "advance": "shadow {challenger} goes on",
    "stop": "shadow {challenger} must not go on",
}
_GOES_ON = "The roll-out goes on with its next stage; nothing is to be done."
_ENDED = (
    "The roll-out ends: the endpoint gets its configuration and weights from before back; nothing "
    "is to be done."
)


@dataclass(frozen=True, kw_only=True)
class RolledStage:
    """The stage of a roll-out that an experiment is, and the version of the challenger."""

    stage: str
    challenger: str


def experiment_alert(
    monitor: str,
    verdict: ExperimentVerdict | ShadowVerdict,
    *,
    links: Sequence[AlertLink] = (),
    stage: RolledStage | None = None,
) -> Alert:
    """Describe the decision that ends an experiment.

    Parameters
    ----------
    monitor : str
        The monitor's name.
    verdict : ExperimentVerdict or ShadowVerdict
        Its ``decision`` is not ``continue``.
    links : sequence of AlertLink
        Where to look.
    stage : RolledStage, optional
        If the experiment is one of a roll-out.
    """
    if isinstance(verdict, ShadowVerdict):
        champion, challenger = verdict.production, verdict.shadow
        facts = _shadow_facts(verdict)
        lines: tuple[str, ...] = ()
    else:
        champion, challenger = verdict.champion, verdict.challenger
        facts = _facts(verdict)
        lines = tuple(metric.reason for metric in verdict.metrics)
    tone, words = _ENDS[verdict.decision]
    name = f"experiment {verdict.experiment}"
    summary = f"The experiment {verdict.experiment} has ended. {verdict.reason}"
    if stage is not None:
        words = _ROLLED[verdict.decision]
        name = f"roll-out, {stage.stage}"
        facts = (("new model", stage.challenger), *facts)
        after = _GOES_ON if verdict.decision in ("promote", "advance") else _ENDED
        summary = (
            f"The stage {stage.stage} of the roll-out of {stage.challenger} has ended. "
            f"{verdict.reason} {after}"
        )
    return Alert(
        monitor=monitor,
        tone=tone,
        title=f"{name}: {words.format(champion=champion, challenger=challenger)}",
        summary=summary,
        sections=(
            AlertSection(heading=f"{challenger} against {champion}", facts=facts, lines=lines),
        ),
        links=tuple(links),
    )


def _facts(verdict: ExperimentVerdict) -> tuple[tuple[str, str], ...]:
    mismatch = verdict.mismatch
    return (
        ("decision", verdict.decision),
        (f"requests of {verdict.champion}", f"{mismatch.champion_requests:,}"),
        (f"requests of {verdict.challenger}", f"{mismatch.challenger_requests:,}"),
        ("of the planned information", f"{verdict.progress:.0%}"),
    )


def _shadow_facts(verdict: ShadowVerdict) -> tuple[tuple[str, str], ...]:
    return (
        ("decision", verdict.decision),
        ("pairs", f"{verdict.pairing.paired:,}"),
        ("agreement", _percent(verdict.agreement.value)),
        ("missing pairs", _percent(verdict.unpaired.value)),
    )


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"
