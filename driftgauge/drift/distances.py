"""Distances between two distributions that are given as counts in the same cells.

Every function takes one count or share for each cell and normalises both sides itself, so counts
and shares are equally good; only :func:`psi` with smoothing needs counts. Shares and results are
plain numbers without a unit unless a docstring says otherwise. A side without a single count has
no distribution: that is a ``ValueError``, never a distance of 0 or NaN.

The same name often means different things in different tools; each docstring says what is meant.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def shares(counts: ArrayLike) -> NDArray[np.float64]:
    """Divide counts by their sum.

    Parameters
    ----------
    counts : array_like, shape (B,)
        Zero or more, at least one above zero.

    Raises
    ------
    ValueError
        If a count is negative or not finite, or all are zero.

    Examples
    --------
    >>> shares([1, 3]).tolist()
    [0.25, 0.75]
    """
    values = np.asarray(counts, dtype=np.float64)
    total = float(values.sum())
    if not math.isfinite(total) or (values < 0.0).any():
        raise ValueError("counts must be finite and not negative")
    if total <= 0.0:
        raise ValueError("a distribution needs at least one count")
    scaled: NDArray[np.float64] = values / total
    return scaled


def psi(baseline: ArrayLike, window: ArrayLike, *, smoothing: float = 0.5) -> float:
    r"""Return the population stability index, in nats.

    .. math:: \sum_i (q_i - p_i) \ln(q_i / p_i)

    with p the baseline's and q the window's shares: the symmetrised Kullback-Leibler divergence
    KL(p, q) + KL(q, p), also known as Jeffreys divergence.

    Parameters
    ----------
    baseline, window : array_like, shape (B,)
        Counts.
    smoothing : float, default 0.5
        Added to each count of both sides, so that an empty cell has a finite logarithm. With 0
        a cell that is empty on one side only gives infinity.

    Returns
    -------
    float
        0 or more; 0 if the smoothed shares are equal. See :func:`psi_bias` for what sampling
        alone makes of it.

    References
    ----------
    .. [1] Yurdakul, B. (2018), Statistical properties of population stability index,
       dissertation 3208, Western Michigan University.

    Examples
    --------
    >>> round(psi([50, 50], [75, 25], smoothing=0.0), 6)
    0.274653
    >>> round(psi([50, 50, 0], [50, 40, 10]), 6)
    0.321694
    """
    p, q = _smoothed(baseline, smoothing), _smoothed(window, smoothing)
    used = (p > 0.0) | (q > 0.0)
    p, q = p[used], q[used]
    if (p == 0.0).any() or (q == 0.0).any():
        return math.inf
    return float(((q - p) * np.log(q / p)).sum())


def _smoothed(counts: ArrayLike, smoothing: float) -> NDArray[np.float64]:
    raw = shares(counts)  # refuses a side without a count, which smoothing would hide
    return raw if smoothing == 0.0 else shares(np.asarray(counts, dtype=np.float64) + smoothing)


def psi_bias(cells: int, baseline_rows: float, window_rows: float) -> float:
    """Return what sampling alone adds to the population stability index, in nats.

    (B - 1) (1/n + 1/m): the mean of the PSI of two samples of one distribution.

    Parameters
    ----------
    cells : int
        Number B of cells.
    baseline_rows, window_rows : float
        Sample sizes m and n.

    References
    ----------
    .. [1] Potgieter, C. et al. (2023), arXiv:2307.11878.

    Examples
    --------
    >>> psi_bias(10, 10_000, 100)
    0.0909
    """
    return (cells - 1) * (1.0 / window_rows + 1.0 / baseline_rows)


def ks(baseline: ArrayLike, window: ArrayLike) -> float:
    """Return the Kolmogorov-Smirnov statistic: the largest gap of the distribution functions.

    Parameters
    ----------
    baseline, window : array_like, shape (B,)
        Counts or shares of cells in increasing order of value.

    Returns
    -------
    float
        Between 0 and 1. Exact if every cell holds one value; on bins it is a lower bound, which
        falls short by at most the share of the heaviest bin.

    Examples
    --------
    >>> ks([1, 1, 0, 0], [0, 0, 1, 1])
    1.0
    """
    return float(np.abs(np.cumsum(shares(window) - shares(baseline))).max())


def jensen_shannon_divergence(p: ArrayLike, q: ArrayLike, *, base: float = 2.0) -> float:
    r"""Return the Jensen-Shannon divergence, in bits (or units of another base).

    .. math:: \tfrac12 KL(p, r) + \tfrac12 KL(q, r), \qquad r = (p + q) / 2

    Not its square root: see :func:`jensen_shannon_distance`.

    Parameters
    ----------
    p, q : array_like, shape (B,)
        Counts or shares. A cell that is empty on one or both sides is fine.
    base : float, default 2.0
        Base of the logarithm; ``math.e`` for nats.

    Returns
    -------
    float
        Between 0 and log_base(2), which is 1 in base 2. Symmetric.

    References
    ----------
    .. [1] Lin, J. (1991), Divergence measures based on the Shannon entropy, IEEE Transactions on
       Information Theory.

    Examples
    --------
    >>> round(jensen_shannon_divergence([0.5, 0.5, 0, 0], [0, 0.25, 0.25, 0.5]), 6)
    0.655639
    """
    first, second = shares(p), shares(q)
    middle = (first + second) / 2.0
    nats = 0.0
    for side in (first, second):
        used = side > 0.0
        nats += 0.5 * float((side[used] * np.log(side[used] / middle[used])).sum())
    return min(max(0.0, nats), math.log(2.0)) / math.log(base)


def jensen_shannon_distance(p: ArrayLike, q: ArrayLike, *, base: float = 2.0) -> float:
    """Return the Jensen-Shannon distance: the square root of the divergence, a metric.

    Parameters
    ----------
    p, q : array_like, shape (B,)
        Counts or shares.
    base : float, default 2.0
        Base of the logarithm. Tools differ: base 2 lets the distance end at 1, base e at 0.833.

    Returns
    -------
    float
        Between 0 and sqrt(log_base(2)). Symmetric.

    Examples
    --------
    >>> jensen_shannon_distance([1, 0], [0, 1])
    1.0
    >>> import math
    >>> round(jensen_shannon_distance([1, 0], [0, 1], base=math.e), 6)
    0.832555
    """
    return math.sqrt(jensen_shannon_divergence(p, q, base=base))


def wasserstein_1(
    baseline: ArrayLike, window: ArrayLike, positions: ArrayLike, *, scale: float = 1.0
) -> float:
    r"""Return the Wasserstein-1 (earth mover's) distance on a line.

    .. math:: \frac1s \sum_{i=1}^{B-1} |F_i - G_i| (x_{i+1} - x_i)

    with F, G the distribution functions after cell i and x the positions.

    Parameters
    ----------
    baseline, window : array_like, shape (B,)
        Counts or shares of the mass at each position.
    positions : array_like, shape (B,)
        Values or bin centers, increasing, in the feature's unit.
    scale : float, default 1.0
        Above 0. With the baseline's standard deviation the result counts standard deviations,
        otherwise it has the feature's unit.

    Returns
    -------
    float
        0 or more. Symmetric.

    Raises
    ------
    ValueError
        If positions do not increase, or scale is not above 0.

    Examples
    --------
    >>> wasserstein_1([1, 0, 0], [0, 0, 1], [0.0, 1.0, 4.0])
    4.0
    >>> wasserstein_1([1, 0, 0], [0, 0, 1], [0.0, 1.0, 4.0], scale=2.0)
    2.0
    """
    gaps = np.diff(np.asarray(positions, dtype=np.float64))
    if (gaps <= 0.0).any():
        raise ValueError("positions must increase")
    if not scale > 0.0:
        raise ValueError("scale must be above 0")
    apart = np.abs(np.cumsum(shares(window) - shares(baseline)))[:-1]
    return float(apart @ gaps) / scale


def l_infinity(p: ArrayLike, q: ArrayLike) -> float:
    """Return the L-infinity distance: the largest difference of the shares of one cell.

    Parameters
    ----------
    p, q : array_like, shape (B,)
        Counts or shares, cells in any order.

    Returns
    -------
    float
        Between 0 and 1. Symmetric.

    Examples
    --------
    >>> round(l_infinity([0.1, 0.9], [0.3, 0.7]), 12)
    0.2
    """
    return float(np.abs(shares(p) - shares(q)).max())


def normalized_difference(p: ArrayLike, q: ArrayLike) -> float:
    r"""Return the largest difference of counts over all counts.

    .. math:: \max_i |p_i - q_i| / (\sum p + \sum q)

    Unlike :func:`l_infinity` it does not divide each side by its own sum: sides of different
    size differ. TensorFlow Data Validation calls it the normalized absolute difference.

    Parameters
    ----------
    p, q : array_like, shape (B,)
        Counts, cells in any order.

    Returns
    -------
    float
        Between 0 and 1. Symmetric.

    Examples
    --------
    >>> normalized_difference([1, 3], [3, 3])
    0.2
    """
    shares(p), shares(q)  # refuse a side without a count
    first, second = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    return float(np.abs(first - second).max() / (first.sum() + second.sum()))


def hellinger(p: ArrayLike, q: ArrayLike) -> float:
    r"""Return the Hellinger distance.

    .. math:: \sqrt{\tfrac12 \sum_i (\sqrt{p_i} - \sqrt{q_i})^2} = \sqrt{1 - \sum_i \sqrt{p_i q_i}}

    Parameters
    ----------
    p, q : array_like, shape (B,)
        Counts or shares.

    Returns
    -------
    float
        Between 0 and 1. Symmetric.

    Examples
    --------
    >>> hellinger([1, 0], [0, 1])
    1.0
    """
    apart = np.sqrt(shares(p)) - np.sqrt(shares(q))
    return min(1.0, math.sqrt(0.5 * float((apart * apart).sum())))


def chi_squared(baseline: ArrayLike, window: ArrayLike) -> tuple[float, int]:
    r"""Return the two-sample (contingency-table) chi-squared statistic and its degrees of freedom.

    .. math:: \sum_i \frac{(m a_i - n b_i)^2}{n m (a_i + b_i)}

    for window counts a (sum n) and baseline counts b (sum m): both sides are samples, unlike the
    one-sample statistic that takes the baseline's shares for exact.

    Parameters
    ----------
    baseline, window : array_like, shape (B,)
        Counts, not shares. Cells empty on both sides do not count.

    Returns
    -------
    statistic : float
        0 or more. Symmetric.
    degrees : int
        Number of cells that are not empty on both sides, less 1.

    Examples
    --------
    >>> statistic, degrees = chi_squared([30, 70], [50, 50])
    >>> round(statistic, 6), degrees
    (8.333333, 1)
    """
    b = np.asarray(baseline, dtype=np.float64)
    a = np.asarray(window, dtype=np.float64)
    p, q = shares(b), shares(a)
    pooled = a + b
    used = pooled > 0.0
    m, n = float(b.sum()), float(a.sum())
    gap = (q - p)[used]
    return float((gap * gap / pooled[used]).sum() * n * m), int(used.sum()) - 1
