"""Windows judged one after the other, each with what came before it.

The deployed evaluation keeps evidence and profiles in the store between one window and the next.
Here they are kept in memory, so that past captures are judged as the monitor would have judged
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from driftgauge.baseline import Baseline
from driftgauge.drift.assessment import Occasion, Rules, assess_window
from driftgauge.drift.evidence import EvidenceState
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.profile.profile import Profile
from driftgauge.replay import ProfiledWindow
from driftgauge.windows import Window


class Rehearsal:
    """Judges the windows of one variant in time order.

    Parameters
    ----------
    baseline : Baseline
        What they are compared with.
    rules : Rules
        How to decide.
    monitor, variant : str
        Whose windows they are.
    length : timedelta, optional
        Of a window; None where windows are as long as it takes to have so many rows.
    find_variant : callable, optional
        Returns the profiles of another variant by window. Asked at most once for each, and only
        if a reference needs it.
    """

    def __init__(
        self,
        *,
        baseline: Baseline,
        rules: Rules,
        monitor: str,
        variant: str,
        length: timedelta | None,
        find_variant: Callable[[str], Mapping[Window, Profile]] = lambda variant: {},
    ) -> None:
        self._baseline = baseline
        self._rules = rules
        self._monitor, self._variant = monitor, variant
        self._length = length
        self._find_variant = cache(find_variant)
        self._evidence = EvidenceState.empty(baseline.spec.version)
        self._past: dict[Window, Profile] = {}
        self._first: datetime | None = None
        self._judged = 0
        trailing = [one.count for one in rules.references if one.kind == "trailing"]
        # Windows of a number of rows are at no earlier window's time: only trailing ones matter.
        self._kept = max(trailing, default=0) if length is None else None

    def judge(self, part: ProfiledWindow) -> WindowVerdict:
        """Judge the next window, and remember it."""
        window = part.window
        self._first = self._first or window.start
        self._judged += 1
        found = assess_window(
            baseline=self._baseline,
            profile=part.profile,
            rules=self._rules,
            occasion=self._occasion(window, is_evidence=True),
            evidence=self._evidence,
            past=self,
        )
        self._evidence = found.evidence
        if self._rules.references:
            self._past[window] = part.profile
            if self._kept is not None and len(self._past) > self._kept:
                del self._past[next(iter(self._past))]
        return found.verdict

    def judge_together(self, profile: Profile, window: Window) -> WindowVerdict:
        """Judge all windows so far as one; the evidence over time is theirs.

        There is nothing before it, so it is compared with the baseline only.
        """
        return assess_window(
            baseline=self._baseline,
            profile=profile,
            rules=Rules(
                decision=self._rules.decision,
                features=self._rules.features,
                mode=self._rules.mode,
            ),
            occasion=self._occasion(window, is_evidence=False),
            evidence=self._evidence,
            past=self,
        ).verdict

    def _occasion(self, window: Window, *, is_evidence: bool) -> Occasion:
        length = self._length
        if length is None:
            length = (window.end - (self._first or window.start)) / max(1, self._judged)
        return Occasion(
            monitor=self._monitor,
            variant=self._variant,
            window=window,
            evaluated_at=datetime.now(UTC).replace(microsecond=0),
            window_length=length,
            is_evidence=is_evidence,
        )

    def profile(self, window: Window, variant: str) -> Profile | None:
        """Return a window's profile; None if there is none."""
        if variant != self._variant:
            return self._find_variant(variant).get(window)
        return self._past.get(window)

    def before(self, window: Window, number: int) -> Sequence[Window]:
        """Return the windows just before one; on a grid also those without rows."""
        if self._length is not None:
            return [
                Window(window.start - step * self._length, window.end - step * self._length)
                for step in range(number, 0, -1)
            ]
        return list(self._past)[-number:]
