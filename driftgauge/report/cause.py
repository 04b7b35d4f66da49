"""Where a drift comes from, in words: which columns, which segments of the rows, and since when.

Plain text, for the page and the alerts alike; whoever shows it escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from driftgauge.drift.scores import LOCATION, MISSING, RARE, SCALE
from driftgauge.drift.verdict import (
    FeatureEvidence,
    FeatureVerdict,
    JointTest,
    SegmentShift,
    WindowVerdict,
    weighted_sizes,
)
from driftgauge.report.markup import shorten
from driftgauge.report.wording import moment, points, share, signed, span

_NAME_LENGTH = 60
# A correlation's change that is surely none of chance.
_CLEAR_P: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A column that drifted in this window, or over all windows, or both.

    Attributes
    ----------
    name : str
        The column.
    feature : FeatureVerdict or None
        What this window alone says about it; None if it is not among the judged.
    evidence : FeatureEvidence or None
        What all windows say; None if that is less than what rings.
    """

    name: str
    feature: FeatureVerdict | None
    evidence: FeatureEvidence | None

    @property
    def drifted(self) -> bool:
        """Whether the column drifted in this window alone."""
        return self.feature is not None and self.feature.verdict == "drift"


def lasting(verdict: WindowVerdict) -> tuple[FeatureEvidence, ...]:
    """Return the columns whose evidence over time is what rings; none if nothing does.

    The evidence is an average over columns, so several weak ones can ring together: then it is
    the strongest. Columns that move as in the same season before are not what rings.
    """
    found = verdict.persistent
    if found is None or found.verdict != "drift":
        return ()
    seasonal = {feature.name for feature in verdict.features if feature.verdict == "seasonal"}
    known = tuple(one for one in found.features if one.name not in seasonal)
    return tuple(one for one in known if one.value >= found.threshold) or known[:1]


def causes_of(verdict: WindowVerdict) -> tuple[Cause, ...]:
    """Return the columns that drifted, by how much that matters; then those that only last.

    What evidence over time says about a drifted column counts if it would ring on its own,
    whether or not the monitor is still learning.
    """
    found = verdict.persistent
    known = found.features if found is not None else ()
    strong = {e.name: e for e in known if found is not None and e.value >= found.threshold}
    weights = weighted_sizes(verdict.features)
    drifted = sorted(
        (f for f in verdict.features if f.verdict == "drift"),
        key=lambda f: (-weights[f.name], f.name),
    )
    causes = [Cause(name=f.name, feature=f, evidence=strong.get(f.name)) for f in drifted]
    named = {cause.name for cause in causes}
    by_name = {f.name: f for f in verdict.features}
    causes += [
        Cause(name=one.name, feature=by_name.get(one.name), evidence=one)
        for one in lasting(verdict)
        if one.name not in named
    ]
    return tuple(causes)


def order_text(verdict: WindowVerdict) -> str:
    """Say what columns are ordered by."""
    if any(feature.importance is not None for feature in verdict.features):
        return "Ordered by effect times importance for the model."
    return "Ordered by effect; the importance of the columns is not known."


def segment_text(segment: SegmentShift, *, counts_shares: bool) -> str:
    """Say how far a column moved in one segment and elsewhere.

    Parameters
    ----------
    segment : SegmentShift
        The segment.
    counts_shares : bool
        Whether the judged column is categorical, so that shifts are differences of shares.

    Examples
    --------
    >>> found = SegmentShift(
    ...     column="carrier", category="MQ", baseline_share=0.1, window_share=0.12,
    ...     inside=0.41, outside=0.01,
    ... )
    >>> segment_text(found, counts_shares=False)
    'within carrier = MQ (12.0% of the rows) the mean moved +0.41 sd, elsewhere +0.01 sd'
    """
    write = points if counts_shares else _deviations
    what = "the share that moved furthest went" if counts_shares else "the mean moved"
    now, before = share(segment.window_share), share(segment.baseline_share)
    size = f"{now} of the rows" + ("" if _alike(segment) else f", {before} in the baseline")
    return (
        f"within {shorten(segment.column, _NAME_LENGTH)} = "
        f"{shorten(segment.category, _NAME_LENGTH)} ({size}) {what} {write(segment.inside)}, "
        f"elsewhere {write(segment.outside)}"
    )


def _alike(segment: SegmentShift) -> bool:
    return abs(segment.window_share - segment.baseline_share) < 0.05


def _deviations(value: float) -> str:
    return f"{signed(value)} sd"


def segment_lines(feature: FeatureVerdict, *, limit: int = 3) -> list[str]:
    """Say which segments carry a column's shift."""
    shares = feature.kind not in ("numeric", "discrete")
    return [segment_text(one, counts_shares=shares) for one in feature.segments[:limit]]


def aspect_text(evidence: FeatureEvidence, feature: FeatureVerdict | None) -> str:
    """Say what about a column changed for good, and by how much.

    Examples
    --------
    >>> from datetime import UTC
    >>> since = datetime(2026, 1, 27, tzinfo=UTC)
    >>> usage = FeatureEvidence(
    ...     name="usage", aspect="location", value=900.0, shift=0.08, since=since
    ... )
    >>> aspect_text(usage, None)
    'values moved up (+0.08 sd of their ranks)'
    """
    shift, aspect = evidence.shift, evidence.aspect
    ordered = feature is None or feature.kind in ("numeric", "discrete")
    if ordered and aspect == LOCATION:
        return f"values moved {'up' if shift > 0 else 'down'} ({signed(shift)} sd of their ranks)"
    if ordered and aspect == SCALE:
        word = "spread further" if shift > 0 else "drew together"
        return f"values {word} ({signed(shift)} sd of their ranks' squares)"
    what = {MISSING: "missing values", RARE: "all other values"}.get(
        aspect, shorten(aspect, _NAME_LENGTH)
    )
    return f"share of {what} {points(shift)}"


def since_text(since: datetime, verdict: WindowVerdict) -> str:
    """Say from which window on, in UTC."""
    text = f"{moment(since)} UTC"
    if since >= verdict.window_start:
        return f"{text}: this window is the first"
    return f"{text}, {span(since, verdict.window_end)} before the end of this window"


def joint_test(verdict: WindowVerdict, name: str) -> JointTest | None:
    """Return one of the tests of how columns go together."""
    tests = verdict.joint.tests if verdict.joint is not None else ()
    return next((test for test in tests if test.name == name), None)


def joint_names(verdict: WindowVerdict) -> tuple[str, str] | None:
    """Return the two columns whose correlation changed most, if some pair surely changed."""
    association = joint_test(verdict, "association")
    if verdict.joint is None or verdict.joint.verdict != "drift" or not verdict.joint.pairs:
        return None
    if association is None or association.adjusted_p_value > _CLEAR_P:
        return None
    pair = verdict.joint.pairs[0]
    return pair.first, pair.second


def joint_text(verdict: WindowVerdict) -> str:
    """Say in a sentence that columns go together otherwise; empty if they do not."""
    if verdict.joint is None or verdict.joint.verdict != "drift":
        return ""
    names = joint_names(verdict)
    if names is None:
        return "The joint distribution of the columns is not the baseline's."
    pair = verdict.joint.pairs[0]
    first, second = (shorten(name, _NAME_LENGTH) for name in names)
    return (
        f"Columns go together otherwise than in the baseline: the correlation of {first} and "
        f"{second} went from {signed(pair.baseline)} to {signed(pair.window)}."
    )


def lasting_text(verdict: WindowVerdict) -> str:
    """Say in a sentence which shift lasts, and since when; empty if none does."""
    found = lasting(verdict)
    if not found:
        rings = verdict.persistent is not None and verdict.persistent.verdict == "drift"
        return "All windows together show a lasting drift." if rings else ""
    lead = found[0]
    feature = next((f for f in verdict.features if f.name == lead.name), None)
    name = shorten(lead.name, _NAME_LENGTH)
    what = aspect_text(lead, feature)
    if lead.since >= verdict.window_start:
        return f"Beside all windows before, {name} drifts in this one: {what}."
    return (
        f"All windows together show a lasting drift of {name} since {moment(lead.since)} UTC: "
        f"{what}."
    )


def seasonal_lines(verdict: WindowVerdict) -> list[str]:
    """Say which columns differ from the baseline but not from their season."""
    seasons = [reference.name for reference in verdict.references if reference.kind == "season"]
    if not seasons:
        return []
    return [
        f"{shorten(f.name, _NAME_LENGTH)} drifts from the baseline, not from "
        f"{' or '.join(seasons)}: seasonal, no alarm."
        for f in verdict.features
        if f.verdict == "seasonal"
    ]


def known_before_lines(verdict: WindowVerdict) -> dict[str, str]:
    """Say by column which drifts the preceding windows show already."""
    lines: dict[str, str] = {}
    for reference in verdict.references:
        if reference.kind != "trailing":
            continue
        same = {f.name for f in reference.features if f.verdict == "ok"}
        lines |= {
            f.name: f"{shorten(f.name, _NAME_LENGTH)} drifts from the baseline, not from "
            f"{reference.name}: this window looks like those before it."
            for f in verdict.features
            if f.verdict == "drift" and f.name in same
        }
    return lines
