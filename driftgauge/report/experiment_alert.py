"""What people are told when an experiment ends."""

from __future__ import annotations

from collections.abc import Sequence

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


def experiment_alert(
    monitor: str, verdict: ExperimentVerdict | ShadowVerdict, *, links: Sequence[AlertLink] = ()
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
    """
    if isinstance(verdict, ShadowVerdict):
        champion, challenger = verdict.production, verdict.shadow
        facts = _shadow_facts(verdict)
        lines: tuple[str, ...] = ()
    else:
        champion, challenger = verdict.champion, verdict.challenger
        facts = _facts(verdict)
        lines = tuple(metric.reason for metric in verdict.metrics)
    tone, title = _ENDS[verdict.decision]
    words = title.format(champion=champion, challenger=challenger)
    return Alert(
        monitor=monitor,
        tone=tone,
        title=f"experiment {verdict.experiment}: {words}",
        summary=f"The experiment {verdict.experiment} has ended. {verdict.reason}",
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
