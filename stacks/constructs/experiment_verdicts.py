"""What rings about a challenger: by which metric, and what it means."""

from __future__ import annotations

from collections.abc import Iterator

from driftgauge.config import MonitorConfig
from driftgauge.rollout_settings import ComparedKind

# Kind of alarm, metric, meaning.
Verdict = tuple[str, str, str]

_WORSE = (
    "the challenger is surely worse than the champion in a measure of the comparison, and by more "
    "than is tolerated."
)
_UNFIT = (
    "the shadow must not go on: it fails, disagrees with production too often, or labels show "
    "that it is worse. The page says which."
)
_SHARE = (
    "requests are not assigned to the variants as the settings' share says, so that nothing can "
    "be concluded. Have the weights changed, does one variant fail, or is it not captured?"
)
_OF_EXPERIMENTS: dict[ComparedKind, tuple[Verdict, ...]] = {
    "ab": (
        ("experiment-harm", "ExperimentHarm", f"{_WORSE} Take its traffic away."),
        ("sample-ratio", "SampleRatioMismatch", _SHARE),
    ),
    "shadow": (("experiment-harm", "ExperimentHarm", _UNFIT),),
}
_HARM_OF_STAGES: dict[ComparedKind, str] = {"shadow": _UNFIT, "ab": _WORSE}


def experiment_verdicts(monitor: MonitorConfig, variant: str) -> Iterator[Verdict]:
    """Yield what is decided about a variant as challenger of an experiment, or of a roll-out.

    A variant is one or the other.
    """
    for one in monitor.experiments:
        if one.challenger == variant:
            page = f" Page: {_page(monitor, one.name)}"
            for kind, metric, meaning in _OF_EXPERIMENTS[one.kind]:
                yield kind, metric, meaning + page
    if monitor.rollout is None or variant != monitor.rolled_out:
        return
    kinds = monitor.rollout.kinds
    rest = (
        " The roll-out is taken back by itself; this alarm falls silent within a window's length. "
        f"Page: {_page(monitor, '*')}"
    )
    harm = " Or, in a later stage, ".join(_HARM_OF_STAGES[kind] for kind in kinds)
    yield "experiment-harm", "ExperimentHarm", harm + rest
    if "ab" in kinds:
        yield "sample-ratio", "SampleRatioMismatch", _SHARE + rest


def _page(monitor: MonitorConfig, experiment: str) -> str:
    return f"{monitor.name}/experiments/{experiment}/report.html in the store."
