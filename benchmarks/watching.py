"""driftgauge as a rule beside others: windows of samples in, alarms and their reasons out.

Every window is profiled and assessed by the functions that are deployed, evidence included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Sample, is_numeric
from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.drift.assessment import Occasion, Rules, assess_window
from driftgauge.drift.evidence import EvidenceState
from driftgauge.drift.references import StoredWindows
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.profile.build import profile_columns
from driftgauge.profile.profile import Profile
from driftgauge.settings import DecisionSettings, ReferenceSettings
from driftgauge.windows import Window

EPOCH = datetime(2013, 1, 1, tzinfo=UTC)


def as_column(values: NDArray[np.generic]) -> Column:
    """Dress a sample as a captured column; a number that is not one is missing."""
    rows = values.shape[0]
    if not is_numeric(values):
        words, codes = np.unique(values.astype(str), return_inverse=True)
        return Column(
            numbers=np.full(rows, np.nan),
            codes=codes.astype(np.int32),
            words=tuple(words.tolist()),
            types=TypeCounts(text=rows),
        )
    numbers = values.astype(np.float64)
    absent = np.isnan(numbers)
    present = rows - int(absent.sum())
    whole = not np.issubdtype(values.dtype, np.floating)
    return Column(
        numbers=numbers,
        types=TypeCounts(integral=present) if whole else TypeCounts(fractional=present),
        missing=absent if absent.any() else None,
    )


def baseline_of(reference: Sample, version: str = "reference") -> Baseline:
    """Build the baseline of a sample."""
    rows = next(iter(reference.values())).shape[0]
    columns = {name: as_column(values) for name, values in reference.items()}
    table = Table(rows=rows, columns=columns)
    return build_baseline([table], version=version, created=EPOCH)


@dataclass(frozen=True)
class Reasons:
    """What rang in a window: columns by name, and what looks at more than one of them."""

    columns: frozenset[str]
    persistent: frozenset[str]
    joint: bool
    seasonal: frozenset[str]

    @property
    def alarm(self) -> bool:
        """Whether anything rang."""
        return bool(self.columns or self.persistent or self.joint)


def reasons_of(verdict: WindowVerdict) -> Reasons:
    """Say what rang in a window."""
    persistent, joint = verdict.persistent, verdict.joint
    rang = persistent is not None and persistent.verdict == "drift"
    return Reasons(
        columns=frozenset(f.name for f in verdict.features if f.verdict == "drift"),
        persistent=frozenset(
            f"{f.name} ({f.aspect})"
            for f in (persistent.features[:1] if persistent and rang else ())
        ),
        joint=joint is not None and joint.verdict == "drift",
        seasonal=frozenset(f.name for f in verdict.features if f.verdict == "seasonal"),
    )


class Driftgauge:
    """A monitor with default settings that sees one window after the other."""

    def __init__(
        self,
        baseline: Baseline,
        *,
        length: timedelta,
        first: datetime = EPOCH,
        references: Sequence[ReferenceSettings] = (),
    ) -> None:
        self._baseline = baseline
        self._length = length
        self._next = first
        self._rules = Rules(decision=DecisionSettings(), references=references)
        self._evidence = EvidenceState.empty(baseline.version)
        self._profiles: dict[Window, Profile] = {}

    def judge(self, window: Sample) -> WindowVerdict:
        """Assess the next window."""
        rows = next(iter(window.values())).shape[0]
        columns = {name: as_column(values) for name, values in window.items()}
        profile = profile_columns(self._baseline.spec, columns, rows=rows)
        where = Window(self._next, self._next + self._length)
        self._next = where.end
        if self._rules.references:
            self._profiles[where] = profile
        assessment = assess_window(
            baseline=self._baseline,
            profile=profile,
            rules=self._rules,
            occasion=Occasion(
                monitor="benchmark",
                variant="AllTraffic",
                window=where,
                evaluated_at=where.end,
                window_length=self._length,
            ),
            evidence=self._evidence,
            past=StoredWindows(lambda asked, _: self._profiles.get(asked)),
        )
        self._evidence = assessment.evidence
        return assessment.verdict

    def drifted(self, window: Sample) -> set[str]:
        """Name what rang in the next window."""
        found = reasons_of(self.judge(window))
        return {*found.columns, *found.persistent, *(("joint",) if found.joint else ())}
