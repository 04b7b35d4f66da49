"""Corrections of p-values for how many tests were made."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Correction = Literal["holm", "benjamini_hochberg"]
Floats = NDArray[np.float64]


def holm(p_values: Floats, *, weights: Floats | None = None) -> Floats:
    """Return Holm's adjusted p-values: reject those at most alpha to keep the family's error there.

    The i-th smallest of k is multiplied by k - i + 1, then made monotone and capped at 1. With
    weights, p / w are put in order, and multiplied by the weights that are left.

    Parameters
    ----------
    p_values : ndarray of float64, shape (k,)
    weights : ndarray of float64, shape (k,), optional
        Above 0; a test of weight 0.1 gets a tenth of the error probability. Default: all 1.

    Returns
    -------
    ndarray of float64, shape (k,)
        In the order of the input.

    References
    ----------
    .. [1] Holm, S. (1979), A simple sequentially rejective multiple test procedure, Scandinavian
       Journal of Statistics.

    Examples
    --------
    >>> [float(p) for p in holm(np.array([0.01, 0.04, 0.03]))]
    [0.03, 0.06, 0.06]
    """
    shares = np.ones_like(p_values) if weights is None else weights
    weighted = p_values / shares
    order = np.argsort(weighted, kind="stable")
    left = np.cumsum(shares[order][::-1])[::-1]
    adjusted = np.empty_like(weighted)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(weighted[order] * left))
    return adjusted


def benjamini_hochberg(p_values: Floats, *, weights: Floats | None = None) -> Floats:
    """Return Benjamini and Hochberg's adjusted p-values.

    Rejecting those at most alpha keeps the expected share of false rejections among all
    rejections there, if the tests are independent or positively dependent. The i-th smallest of
    k is multiplied by k / i, then made monotone from above. With weights, p / w are put in order,
    and k is the sum of the weights.

    Parameters
    ----------
    p_values : ndarray of float64, shape (k,)
    weights : ndarray of float64, shape (k,), optional
        Above 0. Default: all 1.

    Returns
    -------
    ndarray of float64, shape (k,)
        In the order of the input; none above Holm's.

    References
    ----------
    .. [1] Benjamini, Y. and Hochberg, Y. (1995), Controlling the false discovery rate, Journal of
       the Royal Statistical Society B.
    .. [2] Genovese, C., Roeder, K. and Wasserman, L. (2006), False discovery control with p-value
       weighting, Biometrika.

    Examples
    --------
    >>> [round(float(p), 3) for p in benjamini_hochberg(np.array([0.01, 0.04, 0.03]))]
    [0.03, 0.04, 0.04]
    """
    shares = np.ones_like(p_values) if weights is None else weights
    weighted = p_values / shares
    order = np.argsort(-weighted, kind="stable")
    ranks = np.arange(p_values.shape[0], 0, -1)
    adjusted = np.empty_like(weighted)
    raised = weighted[order] * shares.sum() / ranks
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(raised))
    return adjusted


def adjust(p_values: Floats, correction: Correction, *, weights: Floats | None = None) -> Floats:
    """Correct p-values by the method a monitor asks for.

    Examples
    --------
    >>> adjust(np.array([0.02, 0.03]), "benjamini_hochberg").tolist()
    [0.03, 0.03]
    """
    correct = holm if correction == "holm" else benjamini_hochberg
    return correct(p_values, weights=weights)
