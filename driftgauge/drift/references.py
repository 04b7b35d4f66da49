"""References: the same window against something else than the baseline.

The reference of a window is the merged profile of other windows of the same monitor: the ones just
before it (trailing), those at the same time of earlier periods (season), or the same window of
another variant. Profiles merge exactly, so a reference needs no row again; it is judged by the same
tests as the baseline.

All windows that a reference names are taken, whether they drifted themselves or not. A trailing
reference is there to follow the traffic, and the December it should resemble drifted as well.
Choosing the windows that look like the baseline would make every reference a second baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import numpy as np

from driftgauge.drift.decision import judge_features
from driftgauge.drift.verdict import FeatureVerdict, ReferenceVerdict
from driftgauge.profile.layout import layout_of
from driftgauge.profile.profile import Profile, merge_profiles
from driftgauge.windows import Window

if TYPE_CHECKING:
    from driftgauge.settings import DecisionSettings, FeatureSettings, ReferenceSettings

# Where between a window and its season drifts are looked for: parts of the period.
_BETWEEN = (0.25, 0.5, 0.75)


class PastWindows(Protocol):
    """What a reference is made from."""

    def profile(self, window: Window, variant: str) -> Profile | None:
        """Return a window's profile against the same baseline; None if there is none."""

    def before(self, window: Window, number: int) -> Sequence[Window]:
        """Return so many windows just before a window, or as many as there are."""


@dataclass(frozen=True)
class StoredWindows:
    """Windows of a regular grid, whose profiles a function finds."""

    find: Callable[[Window, str], Profile | None]

    def profile(self, window: Window, variant: str) -> Profile | None:
        """Return a window's profile; None if there is none."""
        return self.find(window, variant)

    def before(self, window: Window, number: int) -> Sequence[Window]:
        """Return the windows of the same length that end where a window starts."""
        length = window.end - window.start
        return [moved(window, -step * length) for step in range(number, 0, -1)]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A window and how it is judged, whatever it is compared with.

    Attributes
    ----------
    baseline, profile : Profile
        The baseline's rows and the window's, counted in the same cells.
    window : Window
        The interval of inference time.
    variant : str
        Whose window it is.
    decision : DecisionSettings
        The limits.
    features : mapping of str to FeatureSettings
        Overrides by column.
    dispersions : mapping of str to float
        How many times more windows vary than independent rows would, by column.
    """

    baseline: Profile
    profile: Profile
    window: Window
    variant: str
    decision: DecisionSettings
    features: Mapping[str, FeatureSettings]
    dispersions: Mapping[str, float]

    def against(self, reference: Profile, words: str) -> tuple[FeatureVerdict, ...]:
        """Judge the window's columns against a reference, which reasons call by these words."""
        return judge_features(
            baseline=reference,
            profile=self.profile,
            decision=self.decision,
            features=self.features,
            dispersions=self.dispersions,
            reference=words,
        )


def reference_windows(
    settings: ReferenceSettings, *, window: Window, variant: str, past: PastWindows
) -> tuple[tuple[Window, str], ...]:
    """Return the windows that a reference consists of, each with its variant, oldest first.

    Examples
    --------
    >>> from driftgauge.settings import ReferenceSettings
    >>> from driftgauge.windows import parse_time
    >>> monday = Window(parse_time("2026-03-02T00:00:00Z"), parse_time("2026-03-03T00:00:00Z"))
    >>> season = ReferenceSettings(kind="season", windows=2, period=timedelta(days=7))
    >>> found = reference_windows(
    ...     season, window=monday, variant="blue", past=StoredWindows(lambda window, variant: None)
    ... )
    >>> [str(window.start.date()) for window, _ in found]
    ['2026-02-16', '2026-02-23']
    """
    if settings.kind == "variant" and settings.variant is not None:
        return ((window, settings.variant),)
    if settings.kind == "season" and settings.period is not None:
        steps = range(settings.count, 0, -1)
        return tuple((moved(window, -step * settings.period), variant) for step in steps)
    return tuple((one, variant) for one in past.before(window, settings.count))


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a window is compared with: the merged profile of some windows that have rows."""

    settings: ReferenceSettings
    windows: int
    profile: Profile


def gather_references(
    judged: Judged, *, references: Sequence[ReferenceSettings], past: PastWindows
) -> tuple[Reference, ...]:
    """Merge the profiles of each reference; a variant is no reference of itself."""
    found = []
    for settings in references:
        if settings.variant == judged.variant:
            continue
        wanted = reference_windows(
            settings, window=judged.window, variant=judged.variant, past=past
        )
        profiles = [past.profile(*one) for one in wanted]
        some = [profile for profile in profiles if profile is not None and profile.rows]
        merged = merge_profiles(some, judged.profile.spec)
        found.append(Reference(settings=settings, windows=len(some), profile=merged))
    return tuple(found)


def judge_against_references(
    judged: Judged, *, references: Sequence[Reference], verdicts: Sequence[FeatureVerdict]
) -> tuple[ReferenceVerdict, ...]:
    """Compare a window with each of its references.

    A column that drifted from the baseline is ``ok`` only where the reference has rows enough to
    show it: if as many rows that look like the baseline would not make the same column drift, its
    verdict is ``insufficient_data``.

    Parameters
    ----------
    judged : Judged
        The window.
    references : sequence of Reference
        What it is compared with.
    verdicts : sequence of FeatureVerdict
        The window against the baseline.
    """
    drifted = {verdict.name for verdict in verdicts if verdict.verdict == "drift"}
    found = []
    for reference in references:
        features = judged.against(reference.profile, "the reference")
        blind = _unseen_drift(judged, reference.profile, features, drifted)
        found.append(
            ReferenceVerdict(
                name=reference.settings.name,
                kind=reference.settings.kind,
                windows=reference.windows,
                rows=reference.profile.rows,
                features=tuple(_undecided(f) if f.name in blind else f for f in features),
            )
        )
    return tuple(found)


def _unseen_drift(
    judged: Judged,
    reference: Profile,
    features: Sequence[FeatureVerdict],
    drifted: Set[str],
) -> set[str]:
    """Return the drifted columns for which the reference has too few rows to say anything.

    The question is put to the test itself: would it find the window's difference from the
    baseline, had the baseline as few rows as the reference?
    """
    open_ = {f.name for f in features if f.verdict == "ok"} & drifted
    if not open_ or reference.rows >= judged.baseline.rows:
        return set()
    small = thinned(judged.baseline, reference.rows)
    seen = {f.name for f in judged.against(small, "the baseline") if f.verdict == "drift"}
    return open_ - seen


def _undecided(feature: FeatureVerdict) -> FeatureVerdict:
    reason = (
        "No significant difference from the reference, but it has too few rows to show one as "
        "large as that from the baseline."
    )
    return replace(feature, verdict="insufficient_data", reason=reason)


def thinned(profile: Profile, rows: int) -> Profile:
    """Return a profile of about so many rows with the same shares, for counts and tallies only.

    Cells keep their share of the counts up to the cell in which it is rounded, so that many small
    cells do not all come to nothing.
    """
    share = rows / profile.rows
    layout = layout_of(profile.spec)
    counts = np.concatenate(
        [
            np.diff(np.rint(np.cumsum(profile.counts[start:end]) * share), prepend=0.0)
            for start, end in zip(layout.starts[:-1], layout.starts[1:], strict=True)
        ]
    )
    return replace(
        profile,
        rows=rows,
        counts=counts.astype(np.int64),
        tallies=np.rint(profile.tallies * share).astype(np.int64),
    )


def profile_between(
    judged: Judged, *, references: Sequence[ReferenceSettings], past: PastWindows
) -> Profile:
    """Return the merged profile of some windows between the season's and this one.

    They are those a quarter, a half and three quarters of a period ago, as far as they are there.

    Parameters
    ----------
    judged : Judged
        The window.
    references : sequence of ReferenceSettings
        Those of kind ``season`` say what to look at.
    past : PastWindows
        Where profiles come from.
    """
    length = judged.window.end - judged.window.start
    periods = {one.period for one in references if one.period is not None}
    offsets = {int(part * (period / length)) * length for period in periods for part in _BETWEEN}
    # What is between by a long period may be the season of a short one.
    between = [o for o in sorted(offsets) if o and all(o % period for period in periods)]
    found = [past.profile(moved(judged.window, -offset), judged.variant) for offset in between]
    return merge_profiles((one for one in found if one is not None), judged.profile.spec)


def lasting_columns(judged: Judged, *, columns: frozenset[str], between: Profile) -> frozenset[str]:
    """Return those of the columns whose drift did not come and go since the season before.

    A change that stays resembles its own past after one period, but is no season: the windows in
    between resemble it as well. Where these have too few rows to differ, nothing is known.

    Parameters
    ----------
    judged : Judged
        The window.
    columns : frozenset of str
        The drifted columns in question.
    between : Profile
        The rows in between, see ``profile_between``.
    """
    features = judged.against(between, "the windows in between")
    alike = {f.name for f in features if f.verdict == "ok"} & columns
    return frozenset(alike - _unseen_drift(judged, between, features, alike))


def seasonal_columns(
    verdicts: Sequence[FeatureVerdict], references: Sequence[ReferenceVerdict]
) -> frozenset[str]:
    """Return the drifted columns that differ from no season's reference that could tell.

    At least one must have been able to; trailing windows and other variants have no say.
    """
    seasons = [reference for reference in references if reference.kind == "season"]
    outcomes = {
        verdict.name: {
            feature.verdict
            for reference in seasons
            for feature in reference.features
            if feature.name == verdict.name
        }
        for verdict in verdicts
        if verdict.verdict == "drift"
    }
    return frozenset(n for n, found in outcomes.items() if found - {"insufficient_data"} == {"ok"})


def mark_seasonal(
    verdicts: Sequence[FeatureVerdict],
    references: Sequence[ReferenceVerdict],
    *,
    columns: frozenset[str],
) -> tuple[FeatureVerdict, ...]:
    """Change the verdict of seasonal columns: reported, but no alarm.

    Parameters
    ----------
    verdicts : sequence of FeatureVerdict
        Against the baseline.
    references : sequence of ReferenceVerdict
        Against the references, which the reason names.
    columns : frozenset of str
        ``seasonal_columns`` without ``lasting_columns``.
    """
    names = ", ".join(reference.name for reference in references if reference.kind == "season")
    return tuple(
        replace(
            verdict,
            verdict="seasonal",
            reason=f"{verdict.reason} It does not differ from the same season ({names}), so it "
            "is no alarm.",
        )
        if verdict.name in columns
        else verdict
        for verdict in verdicts
    )


def moved(window: Window, by: timedelta) -> Window:
    """Return a window moved in time."""
    return Window(window.start + by, window.end + by)
