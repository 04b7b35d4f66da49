"""``driftgauge replay --ground-truth``: how predictions turned out, and which detectors fire."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from driftgauge.capture.ground_truth import GroundTruth, read_ground_truth
from driftgauge.cli import screen
from driftgauge.cli.places import CAPTURE_SUFFIXES, Source, find
from driftgauge.columns import Rejects, RowBatch
from driftgauge.config import DecisionSettings, MonitorConfig
from driftgauge.drift.outcome_stream import (
    DETECTOR_NAMES,
    Direction,
    OutcomeWatch,
    watch_outcomes,
)
from driftgauge.errors import CaptureError
from driftgauge.profile.spec import ProfileSpec
from driftgauge.report.markup import shorten
from driftgauge.report.wording import DASH, count, moment, plural, share
from driftgauge.training.dataset import collect_labels
from driftgauge.training.outcomes import OutcomeCounts, WindowOutcomes
from driftgauge.windows import Window, WindowGrid

_THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class WatchedWindow:
    """One window's outcomes and what the detectors say of them."""

    outcomes: WindowOutcomes
    learning: bool
    fired: Mapping[str, Direction]


class LabelledReplay:
    """Joins the captures of a replay with ground truth, and watches the windows' error rates.

    Parameters
    ----------
    truths : iterable of GroundTruth
        Is read at once; labels are held by event id.
    rejects : Rejects
        What ``truths`` rejects.
    prediction : str
        Column of the score.
    threshold : float
        A score of at least this predicts 1.
    grid : WindowGrid
        Windows of the replay.
    learning_windows : int
        First windows with labels, which only teach.

    Raises
    ------
    CaptureError
        If there is no record of ground truth.
    """

    def __init__(
        self,
        *,
        truths: Iterable[GroundTruth],
        rejects: Rejects,
        prediction: str,
        threshold: float,
        grid: WindowGrid,
        learning_windows: int,
    ) -> None:
        labels, self._records, self._replaced = collect_labels(truths)
        self._ids = len(labels)
        if not labels:
            reasons = ", ".join(f"{reason} {count(n)}" for reason, n in rejects.counts.items())
            raise CaptureError(
                "the ground truth holds no label that could be read"
                + (f" ({reasons})" if reasons else "")
                + ": each line is an object with groundTruthData and eventMetadata.eventId"
            )
        self._rejects = rejects
        self._prediction = prediction
        self._threshold = threshold
        self._learning_windows = learning_windows
        self._columns: set[str] = set()
        self._counts = OutcomeCounts(
            labels=labels, prediction=prediction, threshold=threshold, grid=grid
        )
        self._watch: OutcomeWatch | None = None
        self._windows: dict[Window, WatchedWindow] = {}

    def passing(self, batches: Iterable[RowBatch]) -> Iterator[RowBatch]:
        """Pass batches on and count how their rows turned out."""
        for batch in batches:
            self._columns.update(batch.columns)
            self._counts.add(batch)
            yield batch

    def watch(self) -> None:
        """Give the windows to the detectors, once all captures are read.

        Raises
        ------
        CaptureError
            If no row has both a label and a score; the message says which of them is missing.
        """
        found = self._counts.by_window()
        whole = sum(found.values(), WindowOutcomes())
        if whole.rows and not whole.labelled:
            raise CaptureError(self._why_nothing(whole))
        self._watch = watch_outcomes(
            ((one.error_rate or 0.0, one.labelled) for one in found.values()),
            learning_windows=self._learning_windows,
        )
        self._windows = {
            window: WatchedWindow(outcomes=one, learning=learning, fired=fired)
            for (window, one), learning, fired in zip(
                found.items(), self._watch.learning, self._watch.fired, strict=True
            )
        }
        self._report()

    def _why_nothing(self, whole: WindowOutcomes) -> str:
        if whole.unusable_scores == whole.rows:
            names = ", ".join(sorted(self._columns))
            return (
                f"no captured row has a number in the column {self._prediction}: name the score's "
                f"column with --prediction or in the monitor file; captured columns: {names}"
            )
        if not self._counts.matched:
            return (
                f"none of the {count(self._ids)} event ids of the ground truth is that of a "
                "captured row: it must name the call's inferenceId where the caller gave one, "
                "else its eventId; check also that captures and ground truth are of the same "
                "endpoint and time"
            )
        return (
            "no captured row with a score has a usable label "
            f"({plural(whole.unusable_labels, 'row')} with another): labels must be 0 or 1, "
            "true or false, and one for each row of the call; write whether what the score is "
            "the probability of came true"
        )

    def _report(self) -> None:
        """Say on standard error what was left out."""
        whole = sum((one.outcomes for one in self._windows.values()), WindowOutcomes())
        left = {
            plural(self._rejects.total, "record") + " rejected": self._rejects.total,
            plural(self._replaced, "label") + " replaced by later ones": self._replaced,
            plural(self._unmatched, "event id") + " without a captured row": self._unmatched,
            plural(whole.unusable_labels, "row")
            + " without a 0/1 label of their own": whole.unusable_labels,
            plural(whole.unusable_scores, "row")
            + f" without a number in {self._prediction}": whole.unusable_scores,
            plural(whole.outside, "score") + " outside 0 to 1, so no log loss there": whole.outside,
        }
        told = [text for text, number in left.items() if number]
        if told:
            screen.note(f"{plural(self._records, 'label')} of ground truth: {', '.join(told)}")

    @property
    def _unmatched(self) -> int:
        return self._ids - self._counts.matched

    def document(self, window: Window) -> dict[str, Any]:
        """Return what ``--json`` prints about a window."""
        watched = self._windows[window]
        one = watched.outcomes
        effect = self._watch.design_effect if self._watch else None
        return {
            "prediction": self._prediction,
            "threshold": self._threshold,
            "labelled": one.labelled,
            "coverage": one.coverage,
            "errors": one.errors,
            "error_rate": one.error_rate,
            "log_loss": one.log_loss,
            "unusable_labels": one.unusable_labels,
            "unusable_scores": one.unusable_scores,
            "learning": watched.learning,
            "fired": dict(watched.fired),
            "design_effect": asdict(effect) if effect else None,
            "ground_truth": {
                "records": self._records,
                "replaced": self._replaced,
                "unmatched": self._unmatched,
                "rejected": dict(self._rejects.counts),
            },
        }

    def show(self) -> None:
        """Print the table of outcomes and what it comes down to."""
        name = shorten(self._prediction, 40)
        table = Table(
            title=f"Outcomes: an error is {name} on the wrong side of {self._threshold:g}",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        for column in ("Window from", "Rows", "Labelled", "Coverage", "Errors", "Log loss"):
            left = column == "Window from"
            table.add_column(column, justify="left" if left else "right", no_wrap=True)
        table.add_column("Fires")
        for window, watched in self._windows.items():
            table.add_row(*_cells(window, watched), style=_style(watched))
        out = screen.console()
        out.print(table)
        for line in self._summary():
            out.print(Text(line))

    def _summary(self) -> Iterator[str]:
        effect = self._watch.design_effect if self._watch else None
        if effect is None:
            labelled = sum(one.outcomes.labelled > 0 for one in self._windows.values())
            yield (
                f"{plural(labelled, 'window')} with labels, fewer than the "
                f"{self._learning_windows} that teach how much windows differ: no detector fires."
            )
            return
        yield (
            f"The first {effect.windows} windows with labels teach: error rate "
            f"{share(effect.error_rate)}; windows vary {effect.measured:.1f} times as much as "
            f"independent rows would, up to {effect.used:.1f} (90% bound). The detectors count "
            f"each row as 1/{effect.used:.1f}."
        )
        yield _firings(self._windows)


def _firings(windows: Mapping[Window, WatchedWindow]) -> str:
    """Say which detectors fire, and where each does so first."""
    first: dict[str, Window] = {}
    for window, watched in windows.items():
        for name in watched.fired:
            first.setdefault(name, window)
    if not first:
        return "No detector fires."
    told = [f"{DETECTOR_NAMES[name]} from {moment(at.start)}" for name, at in first.items()]
    silent = [label for name, label in DETECTOR_NAMES.items() if name not in first]
    rest = f"; {', '.join(silent)} nowhere" if silent else ""
    return f"Detectors fire, first in the window: {', '.join(told)}{rest}."


def _cells(window: Window, watched: WatchedWindow) -> Sequence[str]:
    one = watched.outcomes
    fired = [
        DETECTOR_NAMES[name] + (" (fall)" if way == "fall" else "")
        for name, way in watched.fired.items()
    ]
    return (
        window.start.astimezone(UTC).strftime("%Y-%m-%d %H:%M"),
        count(one.rows),
        count(one.labelled),
        share(one.coverage),
        DASH if one.error_rate is None else share(one.error_rate),
        DASH if one.log_loss is None else f"{one.log_loss:.4f}",
        "learns" if watched.learning else ", ".join(fired),
    )


def _style(watched: WatchedWindow) -> str:
    if "rise" in watched.fired.values():
        return "bold red"
    return "dim" if watched.learning or not watched.outcomes.labelled else ""


def open_outcomes(
    arguments: argparse.Namespace,
    *,
    config: MonitorConfig | None,
    spec: ProfileSpec,
    length: timedelta | int,
    anchor: datetime,
) -> LabelledReplay | None:
    """Read the ground truth of a replay; None if none is asked for.

    Raises
    ------
    CaptureError
        If options contradict each other, no column of the score is named, or there is no label.
    StoreError
        If there is no such file.
    """
    if arguments.ground_truth is None:
        if arguments.prediction is not None or arguments.threshold is not None:
            raise CaptureError(
                "--prediction and --threshold say how --ground-truth is used: add it"
            )
        return None
    if not isinstance(length, timedelta):
        raise CaptureError(
            "--ground-truth needs windows by time, since detectors need them in the order of "
            "time and of equal length: give --window 1d, not a number of rows"
        )
    threshold = _THRESHOLD if arguments.threshold is None else arguments.threshold
    if not math.isfinite(threshold):
        raise CaptureError(f"--threshold {threshold} is not a finite number")
    prediction = arguments.prediction or _prediction_of(config, spec)
    decision = config.decision if config else DecisionSettings()
    sources = find(arguments.ground_truth, suffixes=CAPTURE_SUFFIXES)
    rejects = Rejects()
    return LabelledReplay(
        truths=_read(sources, rejects),
        rejects=rejects,
        prediction=prediction,
        threshold=threshold,
        grid=WindowGrid(length, anchor),
        learning_windows=decision.persistence.learning_windows,
    )


def _prediction_of(config: MonitorConfig | None, spec: ProfileSpec) -> str:
    if config is not None and config.prediction:
        return config.prediction
    if len(spec.outputs) == 1:
        return spec.outputs[0]
    known = f"the baseline's outputs are {', '.join(spec.outputs)}"
    raise CaptureError(
        "--ground-truth needs the column of the score: name it with --prediction or as "
        f"prediction in the monitor file; {known if spec.outputs else 'the baseline has no output'}"
    )


def _read(sources: Sequence[Source], rejects: Rejects) -> Iterator[GroundTruth]:
    with screen.progress(sum(s.size for s in sources), "Reading ground truth") as advance:
        for source in sources:
            with source.open(advance) as stream:
                yield from read_ground_truth(stream, source=source.name, rejects=rejects)
