"""What is measured on one column, before it is corrected for the other columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.drift.cells import Comparison, coarse_groups, compare, merge, moved_cells
from driftgauge.drift.distances import psi, psi_bias
from driftgauge.drift.intervals import psi_interval
from driftgauge.drift.ordered import order_tests
from driftgauge.drift.significance import (
    Significance,
    combine,
    independence,
    novelty,
    share_p_value,
)
from driftgauge.drift.special import fisher_p_value
from driftgauge.drift.verdict import CellShift
from driftgauge.profile.profile import FeatureProfile

# Rows a coarse cell must expect for its emptiness to be part of the effect.
_EXPECTED = 5.0
# What the tests of an ordered column get of its error probability: Anderson-Darling, which finds
# shifts; Mood, which finds changes of scale; chi-squared, which sees what leaves the order alone,
# such as a spike at the median; and the test for new values. A column without order: the last two.
ORDER_SHARE = 0.83
_SCALE_SHARE = 0.08
_CELLS_SHARE = 0.05
_NOVEL_SHARE = 0.04


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """How far a column's values are from the reference's, and how likely that is by chance.

    Attributes
    ----------
    distance, effect : float
        Population stability index of the coarse cells; the same less its sampling bias.
    interval : tuple of float
        95 % confidence interval of the populations' distance.
    cells : int
        Coarse cells of the effect.
    ordered : bool
        Whether the values were tested for order.
    significance : Significance
        All tests of the column together.
    novel_p_value : float or None
        Of values the reference does not have; None where the kind of column knows none.
    moved : tuple of CellShift
        The cells that moved furthest.
    """

    distance: float
    effect: float
    interval: tuple[float, float]
    cells: int
    ordered: bool
    significance: Significance
    novel_p_value: float | None
    novel_share: float
    moved: tuple[CellShift, ...]


@dataclass(frozen=True, kw_only=True)
class Missing:
    """How far the share of missing values is from the reference's.

    Attributes
    ----------
    share, usual : float
        Missing rows as a share of all rows, in the window and in the reference.
    effect : float
        Population stability index of missing and present, less its sampling bias.
    p_value : float
        Two-sided.
    least : float
        The smallest p-value that so many missing rows in both could have had.
    """

    share: float
    usual: float
    effect: float
    p_value: float
    least: float

    @property
    def fewer(self) -> bool:
        """Whether the window lacks fewer values."""
        return self.share < self.usual


def measure(reference: FeatureProfile, window: FeatureProfile, dispersion: float) -> Measured:
    """Compare the values of one column, both sides with at least one."""
    comparison = compare(reference, window)
    groups = coarse_groups(comparison, dispersion)
    there, here = _effect_cells(comparison, groups, dispersion)
    m, n = comparison.baseline_rows, comparison.window_rows
    distance = psi(there, here)
    tests = _tests(comparison, groups, dispersion)
    return Measured(
        distance=distance,
        effect=distance - dispersion * psi_bias(there.shape[0], m, n),
        interval=psi_interval(there, here, baseline_rows=m, window_rows=n, dispersion=dispersion),
        cells=there.shape[0],
        ordered=tests[0][1].test == "anderson_darling",
        significance=combine(tests),
        novel_p_value=_novel_p_value(comparison, dispersion),
        novel_share=int(comparison.window[comparison.novel].sum()) / n,
        moved=moved_cells(comparison, groups),
    )


def measure_missing(
    reference: FeatureProfile, window: FeatureProfile, dispersion: float
) -> Missing | None:
    """Compare the shares of missing values; None if neither side lacks one or one has no row."""
    here, n, there, m = window.missing, window.rows, reference.missing, reference.rows
    both = here + there
    if not (n and m and both):
        return None
    index = psi([there, m - there], [here, n - here])
    ends = (max(0, both - m), min(both, n))
    return Missing(
        share=here / n,
        usual=there / m,
        effect=index - dispersion * psi_bias(2, m, n),
        p_value=share_p_value(here, n, there, m, dispersion=dispersion),
        least=min(fisher_p_value(end, both, n, n + m) for end in ends),
    )


def _effect_cells(
    comparison: Comparison, groups: NDArray[np.intp], dispersion: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    there, here = merge(comparison.left_out, groups), merge(comparison.window, groups)
    ratio = comparison.window_rows / comparison.baseline_rows
    # Where no row is and hardly any was to be expected, half a count would be a difference made up.
    expected = there * ratio >= _EXPECTED * dispersion
    used = (here > 0) | expected | (there == there.max())
    return there[used], here[used]


def _tests(
    comparison: Comparison, groups: NDArray[np.intp], dispersion: float
) -> list[tuple[float, Significance]]:
    """Test a column: ordered ones for order and for cells, others for cells."""
    there, here, novel = comparison.left_out, comparison.window, comparison.novel
    ordered = None
    if comparison.spec.kind in ("numeric", "discrete"):
        ordered = order_tests(there, here, dispersion=dispersion)
    if comparison.spec.kind == "numeric":
        # Every cell of a group is novel or none is.
        novel = merge(novel.astype(np.int64), groups) > 0
        there, here = merge(there, groups), merge(here, groups)
    cells = independence(there, here, novel, dispersion=dispersion)
    new = novelty(there, here, novel, dispersion=dispersion)
    last = [(_NOVEL_SHARE, new)] if new else []
    if ordered is None:
        return [(1.0 - _NOVEL_SHARE, cells), *last]
    location, scale = ordered
    return [(ORDER_SHARE, location), (_SCALE_SHARE, scale), (_CELLS_SHARE, cells), *last]


def _novel_p_value(comparison: Comparison, dispersion: float) -> float | None:
    if not comparison.novel.any():
        return None
    here = int(comparison.window[comparison.novel].sum())
    return share_p_value(
        here,
        comparison.window_rows,
        min(comparison.novel_once_left_out, comparison.baseline_rows),
        comparison.baseline_rows,
        dispersion=dispersion,
    )
