"""Fixed bins of a score between 0 and 1, the same for every model.

1,000 equal bins, of which the ten at either end are split further in equal ratios down to 1e-12,
because scores of rare events crowd there: 1,782 bins. Scores rounded to three decimals never share
a bin, and are therefore counted without loss.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

# Label of a row in a histogram: the class is not this one, it is, or it is not known yet.
OTHER, EVENT, UNKNOWN = range(3)
_EQUAL = 1000
_SPLIT = 10
_PER_DECADE = 40
_DECADES = 10
BINS = _EQUAL - 2 * _SPLIT + 2 * (_PER_DECADE * _DECADES + 1)
# Coarse bins of the reliability diagram and of the expected calibration error.
RELIABILITY_BINS = 10


@cache
def edges() -> NDArray[np.float64]:
    """Return the ``BINS`` - 1 inner edges, increasing; an edge belongs to the bin above it.

    Examples
    --------
    >>> edges().shape == (BINS - 1,), bool((np.diff(edges()) > 0).all())
    (True, True)
    """
    middle = np.arange(_SPLIT, _EQUAL - _SPLIT + 1) / _EQUAL
    steps = np.arange(_PER_DECADE * _DECADES, 0, -1)
    low = _SPLIT / _EQUAL * 10.0 ** (-steps / _PER_DECADE)
    inner = np.concatenate([low, middle, 1.0 - low[::-1]])
    inner.setflags(write=False)
    return inner


@cache
def centers() -> NDArray[np.float64]:
    """Return the middle of each bin, shape (BINS,)."""
    bounds = np.concatenate([[0.0], edges(), [1.0]])
    middle: NDArray[np.float64] = (bounds[1:] + bounds[:-1]) / 2
    middle.setflags(write=False)
    return middle


def bins_of(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each score between 0 and 1.

    Examples
    --------
    >>> bins_of(np.array([0.0, 1.0])).tolist() == [0, BINS - 1]
    True
    >>> np.unique(bins_of(np.arange(1001) / 1000)).size
    1001
    """
    return np.searchsorted(edges(), scores, side="right")
