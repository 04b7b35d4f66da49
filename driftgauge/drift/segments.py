"""Which segments carry the shift of a column: the rows with one category of another column.

The sums of products that profiles keep (``profile.joint``) hold, for each heavy category, how many
rows have it and the sum of every other column's score over those rows. So the mean of a drifted
column inside a segment and outside of it is known for baseline and window alike, without any row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from driftgauge.drift.verdict import SegmentShift
from driftgauge.profile.joint import Component, JointMoments, JointSpec, joint_moments
from driftgauge.profile.profile import Profile

# Rows of a segment, and of all others, on both sides.
_LEAST_ROWS = 30
# The shift inside a segment must differ from that outside by so many standard errors.
_CLEAR = 4.0
_SHOWN = 3
_COMPLETE = 0.99


@dataclass(frozen=True, kw_only=True)
class _Segment:
    """Rows with one category, in one profile: how many, and the judged component's mean."""

    rows: float
    rows_outside: float
    inside: float
    outside: float

    @property
    def share(self) -> float:
        return self.rows / (self.rows + self.rows_outside)

    @property
    def known(self) -> bool:
        return min(self.rows, self.rows_outside) >= _LEAST_ROWS


def segment_shifts(
    *, baseline: Profile, profile: Profile, feature: str
) -> tuple[SegmentShift, ...]:
    """Return the segments that carry the shift of a column.

    A segment carries it if the column moved further inside than outside, in the same direction,
    by a difference of at least four standard errors. What a segment contributes is the shift of
    all rows less that of the rows outside. Of a column with several categories, the one that
    contributes most is named.

    Parameters
    ----------
    baseline, profile : Profile
        What the column drifted from, and the window; of one specification.
    feature : str
        The drifted column. Of a categorical column, the category is followed whose share moved
        furthest.

    Returns
    -------
    tuple of SegmentShift
        By contribution, at most three; none if the column has no part in the sums over whole
        rows.
    """
    spec = baseline.spec.joint
    if spec is None or not (baseline.joint.shape[0] and profile.joint.shape[0]):
        return ()
    before, now = joint_moments(spec, baseline.joint), joint_moments(spec, profile.joint)
    if min(before.rows, now.rows) < _LEAST_ROWS:
        return ()
    judged = _judged_component(spec, before, now, feature)
    if judged is None:
        return ()
    scale = 1.0
    if spec.components[judged].kind == "score":
        scale = float(before.deviations[judged])
    total = float(now.means[judged] - before.means[judged])
    best: dict[str, tuple[float, SegmentShift]] = {}
    for row, component, rest in _segments(spec, baseline, feature):
        old = _segment(before, row, judged, rest=rest is not None)
        new = _segment(now, row, judged, rest=rest is not None)
        inside, outside = new.inside - old.inside, new.outside - old.outside
        contribution = (total - outside) * math.copysign(1.0, total)
        carries = contribution > 0 and abs(inside) > abs(outside) and inside * total > 0
        if not (old.known and new.known and carries):
            continue
        if not _clear(spec, before, judged, old, new):
            continue
        shift = SegmentShift(
            column=component.column,
            category=component.category if rest is None else rest,
            baseline_share=old.share,
            window_share=new.share,
            inside=inside / scale,
            outside=outside / scale,
        )
        if component.column not in best or contribution > best[component.column][0]:
            best[component.column] = contribution, shift
    ranked = sorted(best.values(), key=lambda found: -found[0])
    return tuple(shift for _, shift in ranked[:_SHOWN])


def _judged_component(
    spec: JointSpec, before: JointMoments, now: JointMoments, feature: str
) -> int | None:
    own = [
        i
        for i, component in enumerate(spec.components)
        if component.column == feature and component.kind != "spread"
    ]
    apart = np.abs(now.means - before.means)
    return max(own, key=lambda i: float(apart[i]), default=None)


def _segments(
    spec: JointSpec, baseline: Profile, feature: str
) -> list[tuple[int, Component, str | None]]:
    """Return the segments of all other columns: component, and the category it leaves over.

    Where all but one of a column's categories are components, the rows without them are the
    segment of the last one.
    """
    found: list[tuple[int, Component, str | None]] = []
    categories: dict[str, list[int]] = {}
    for i, component in enumerate(spec.components):
        if component.kind == "category" and component.column != feature:
            found.append((i, component, None))
            categories.setdefault(component.column, []).append(i)
    for column, rows in categories.items():
        known = baseline.feature(column)
        named = {spec.components[i].category for i in rows}
        others = set(known.spec.categories) - named
        if len(rows) == 1 and len(others) == 1 and known.counted >= _COMPLETE * known.rows:
            found.append((rows[0], spec.components[rows[0]], others.pop()))
    return found


def _segment(moments: JointMoments, row: int, judged: int, *, rest: bool) -> _Segment:
    """Return a category's rows, or with ``rest`` all others, and the judged component's means."""
    rows, held = float(moments.sums[row]), float(moments.products[row, judged])
    others, left = moments.rows - rows, float(moments.sums[judged]) - held
    if rest:
        rows, held, others, left = others, left, rows, held
    return _Segment(
        rows=rows,
        rows_outside=others,
        inside=held / max(1.0, rows),
        outside=left / max(1.0, others),
    )


def _clear(
    spec: JointSpec, before: JointMoments, judged: int, old: _Segment, new: _Segment
) -> bool:
    """Return whether the shifts inside and outside differ by far more than chance."""
    variance = 0.0
    for part in (old, new):
        for rows, mean in ((part.rows, part.inside), (part.rows_outside, part.outside)):
            if spec.components[judged].kind == "category":
                # Half a row each way: no share is certain.
                share = (mean * rows + 0.5) / (rows + 1.0)
                variance += share * (1.0 - share) / rows
            else:
                variance += float(before.deviations[judged]) ** 2 / rows
    apart = (new.inside - old.inside) - (new.outside - old.outside)
    return abs(apart) >= _CLEAR * math.sqrt(variance)
