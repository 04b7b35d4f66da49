"""Tail probabilities of the distributions that the tests need, in plain Python and numpy.

They replace ``scipy.stats`` at run time, where importing it would cost more than judging a window.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_EPSILON = 2.0**-53
_TINY = 1e-300
_STANDARD_NORMAL = NormalDist()
# Nodes of the Chebyshev-Gauss rule on each interval of Smirnov's formula; 48 give 1e-12.
_NODES = 48
_CHEBYSHEV = np.cos((np.arange(_NODES) + 0.5) * math.pi / _NODES)
# Terms of a hypergeometric tail summed at once.
_CHUNK = 512


def normal_sf(z: float) -> float:
    """Return P(Z > z) of the standard normal distribution.

    Examples
    --------
    >>> round(normal_sf(1.959963984540054), 12)
    0.025
    """
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def normal_pdf(z: float) -> float:
    """Return the density of the standard normal distribution.

    Examples
    --------
    >>> round(normal_pdf(0.0), 6)
    0.398942
    """
    return math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def normal_isf(p: float) -> float:
    """Return z with P(Z > z) = p: the upper quantile of the standard normal distribution.

    Parameters
    ----------
    p : float
        Between 0 and 1, both excluded.

    Examples
    --------
    >>> round(normal_isf(0.025), 12)
    1.95996398454
    """
    return -_STANDARD_NORMAL.inv_cdf(p)


def chi_squared_sf(x: float, degrees: float) -> float:
    """Return P(X > x) of the chi-squared distribution.

    The regularised upper incomplete gamma function Q(degrees / 2, x / 2): its power series below
    the mean, its continued fraction (modified Lentz) above.

    Parameters
    ----------
    x : float
        Zero or less gives 1.
    degrees : float
        Degrees of freedom, above 0.

    References
    ----------
    .. [1] Abramowitz and Stegun, Handbook of Mathematical Functions, 6.5.29 and 6.5.31.

    Examples
    --------
    >>> round(chi_squared_sf(3.841458820694124, 1), 12)
    0.05
    >>> f"{chi_squared_sf(100.0, 3):.6e}"
    '1.554159e-21'
    """
    a, y = degrees / 2.0, x / 2.0
    if y <= 0.0:  # half of the smallest number there is rounds to zero
        return 1.0
    front = math.exp(a * math.log(y) - y - math.lgamma(a))
    if y < a + 1.0:
        return max(0.0, 1.0 - front * _lower_series(a, y))
    return min(1.0, front * _upper_fraction(a, y))


def _lower_series(a: float, y: float) -> float:
    term = total = 1.0 / a
    k = a
    while term > total * _EPSILON:
        k += 1.0
        term *= y / k
        total += term
    return total


def _upper_fraction(a: float, y: float) -> float:
    b = y + 1.0 - a
    c = 1.0 / _TINY
    d = 1.0 / b
    result = d
    change = 0.0
    k = 0
    while abs(change - 1.0) > 4.0 * _EPSILON and k < 10_000:
        k += 1
        numerator = -k * (k - a)
        b += 2.0
        d = numerator * d + b
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = b + numerator / c
        c = c if abs(c) > _TINY else _TINY
        change = d * c
        result *= change
    return result


def noncentral_chi_squared_sf(x: float, degrees: float, noncentrality: float) -> float:
    r"""Return P(X > x) of the noncentral chi-squared distribution.

    .. math:: \sum_{j \ge 0} e^{-\lambda/2} \frac{(\lambda/2)^j}{j!}
              P(\chi^2_{\nu + 2j} > x)

    Summed around the heaviest Poisson weight; the tails of successive degrees follow from
    each other. Accurate to 1e-10, absolutely.

    Parameters
    ----------
    x : float
        Zero or less gives 1.
    degrees : float
        Degrees of freedom nu, above 0.
    noncentrality : float
        lambda, 0 or more.

    References
    ----------
    .. [1] Benton, D. and Krishnamoorthy, K. (2003), Computing discrete mixtures of continuous
       distributions, Computational Statistics and Data Analysis.

    Examples
    --------
    >>> round(noncentral_chi_squared_sf(10.0, 3, 2.0), 8)
    0.10143504
    """
    return noncentral_tail(x, degrees, noncentrality)[0]


def noncentral_tail(x: float, degrees: float, noncentrality: float) -> tuple[float, float]:
    """Return P(X > x) of the noncentral chi-squared distribution and its slope in lambda."""
    if x <= 0.0:
        return 1.0, 0.0
    half, mean = x / 2.0, noncentrality / 2.0
    reach = 9.0 * math.sqrt(mean) + 30.0
    first, last = max(0, int(mean - reach)), int(mean + reach)
    j = np.arange(first, last + 1, dtype=np.float64)
    middle = int(mean)
    # Poisson weights from their ratios, upwards and downwards from the mode.
    ratios = np.log(mean / np.maximum(j, 1.0)) if mean > 0.0 else np.where(j > 0.0, -np.inf, 0.0)
    ratios[0] = 0.0
    logs = np.cumsum(ratios)
    weights = np.exp(logs - logs[middle - first])
    weights /= weights.sum()
    # P(chi2 of a degree two higher > x) is larger by (x/2)^a e^(-x/2) / Gamma(a + 1), a = nu / 2.
    a = degrees / 2.0 + first
    front = a * math.log(half) - half - math.lgamma(a + 1.0)
    logs = front + np.cumsum(np.log(half / (degrees / 2.0 + j))) - math.log(half / a)
    gains = np.exp(np.minimum(logs, 0.0))
    below = chi_squared_sf(x, degrees + 2.0 * first)
    tails = below + np.cumsum(gains) - gains
    # d/dlambda sf = (sf of two degrees more - sf) / 2.
    return min(1.0, float(weights @ tails)), 0.5 * float(weights @ gains)


def noncentrality_for(x: float, degrees: float, probability: float) -> float:
    """Return the lambda at which a noncentral chi-squared variable exceeds x so often.

    Parameters
    ----------
    x : float
        0 or more.
    degrees : float
        Degrees of freedom, above 0.
    probability : float
        Between 0 and 1, both excluded.

    Returns
    -------
    float
        0 if x is exceeded more often even without noncentrality.

    Examples
    --------
    >>> found = noncentrality_for(10.0, 3, 0.9)
    >>> round(noncentral_chi_squared_sf(10.0, 3, found), 8)
    0.9
    """
    if noncentral_tail(x, degrees, 0.0)[0] >= probability:
        return 0.0
    low, high = 0.0, math.inf
    # Sankaran's view: the square root of X is about normal with variance one.
    root = math.sqrt(x) - normal_isf(probability)
    value = max(1e-3, root * root - degrees + 1.0) if root > 0.0 else 1e-3
    for _ in range(100):
        tail, slope = noncentral_tail(x, degrees, value)
        apart = tail - probability
        if abs(apart) < 1e-8:
            break
        low, high = (value, high) if apart < 0.0 else (low, value)
        step = value - apart / slope if slope > 0.0 else math.inf
        inside = low < step < high
        bisected = 2.0 * value + 1.0 if high == math.inf else (low + high) / 2.0
        closer = step if inside else bisected
        if abs(closer - value) <= 1e-12 * closer:
            break
        value = closer
    return value


def weighted_chi_squared_sf(x: float, weights: tuple[float, ...]) -> float:
    r"""Return P(w_1 Z_1^2 + ... + w_k Z_k^2 > x) for independent standard normal Z.

    Smirnov's formula for distinct weights, an even number of them: with r_i = 1 / w_i increasing,

    .. math:: \frac{1}{\pi} \sum_{i=1}^{k/2} (-1)^{i+1} \int_{r_{2i-1}}^{r_{2i}}
              \frac{e^{-xu/2}}{u \sqrt{|\prod_j (1 - w_j u)|}} \, du

    The integrand's inverse square roots at both ends are the weight of the Chebyshev-Gauss rule,
    so that few nodes give full accuracy, in the far tail too.

    Parameters
    ----------
    x : float
        Zero or less gives 1.
    weights : tuple of float, length k
        Positive and strictly decreasing; k is even.

    References
    ----------
    .. [1] Smirnov, N. V. (1937), On the distribution of the omega-squared criterion.
    .. [2] Slepian, D. (1958), Fluctuations of random noise power, Bell System Technical Journal.

    Examples
    --------
    Two weights of almost one make a chi-squared variable with two degrees of freedom.

    >>> abs(weighted_chi_squared_sf(5.991464547107979, (1.000001, 0.999999)) - 0.05) < 1e-9
    True
    """
    if x <= 0.0:
        return 1.0
    nodes, coefficients = _smirnov_rule(weights)
    return min(1.0, max(0.0, float(coefficients @ np.exp(nodes * (-x / 2.0)))))


@lru_cache(maxsize=64)
def _smirnov_rule(
    weights: tuple[float, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes u and coefficients c with P(... > x) = sum of c exp(-x u / 2)."""
    nodes, coefficients = [], []
    for first in range(0, len(weights), 2):
        low, high = 1.0 / weights[first], 1.0 / weights[first + 1]
        u = (low + high) / 2.0 + (high - low) / 2.0 * _CHEBYSHEV
        # (u - low)(high - u) cancels against the rule's weight; the other factors stay.
        rest = np.full(_NODES, weights[first] * weights[first + 1])
        for weight in weights[:first] + weights[first + 2 :]:
            rest *= np.abs(1.0 - weight * u)
        sign = 1.0 if first % 4 == 0 else -1.0
        nodes.append(u)
        coefficients.append(sign / (_NODES * u * np.sqrt(rest)))
    return np.concatenate(nodes), np.concatenate(coefficients)


def kolmogorov_sf(t: float) -> float:
    r"""Return the limit of P(sqrt(n) D_n > t) for the Kolmogorov-Smirnov statistic D_n.

    .. math:: 2 \sum_{k \ge 1} (-1)^{k-1} e^{-2 k^2 t^2}

    and for small t the equivalent theta series, which converges where this one does not.

    Examples
    --------
    >>> round(kolmogorov_sf(1.3580986393225505), 10)
    0.05
    """
    if t <= 0.0:
        return 1.0
    if t < 1.0:
        factor = math.pi**2 / (8.0 * t * t)
        below = sum(math.exp(-((2 * k - 1) ** 2) * factor) for k in range(1, 8))
        return 1.0 - math.sqrt(2.0 * math.pi) / t * below
    return 2.0 * sum((-1.0) ** (k - 1) * math.exp(-2.0 * (k * t) ** 2) for k in range(1, 8))


def ks_p_value(statistic: float, n: int, m: int) -> float:
    """Return the p-value of the two-sample Kolmogorov-Smirnov statistic.

    Stephens' correction of the limit for the effective sample size e = n m / (n + m):
    t = D (sqrt(e) + 0.12 + 0.11 / sqrt(e)). Conservative when values tie or are binned.

    References
    ----------
    .. [1] Stephens, M. A. (1970), Use of the Kolmogorov-Smirnov, Cramer-von Mises and related
       statistics without extensive tables, Journal of the Royal Statistical Society B.

    Examples
    --------
    >>> round(ks_p_value(0.2, 100, 10_000), 5)
    0.00059
    """
    root = math.sqrt(n * m / (n + m))
    return kolmogorov_sf(statistic * (root + 0.12 + 0.11 / root))


def _stirling_error(n: float) -> float:
    """Return log(n!) less Stirling's approximation of it."""
    if n <= 15.0:
        approximation = (n + 0.5) * math.log(n) - n + 0.5 * math.log(2.0 * math.pi)
        return math.lgamma(n + 1.0) - approximation
    square = n * n
    series = 1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square
    return (1 / 12 - series / square) / n


def _deviance(x: float, expected: float) -> float:
    """Return x log(x / expected) + expected - x without cancellation."""
    if abs(x - expected) < 0.1 * (x + expected):
        v = (x - expected) / (x + expected)
        total = (x - expected) * v
        term = 2.0 * x * v
        square = v * v
        for k in range(3, 1000, 2):
            term *= square
            updated = total + term / k
            if updated == total:
                break
            total = updated
        return total
    return x * math.log(x / expected) + expected - x


def binomial_log_pmf(k: int, n: int, p: float) -> float:
    """Return log P(X = k) of the binomial distribution, by Loader's saddle-point expansion.

    References
    ----------
    .. [1] Loader, C. (2000), Fast and accurate computation of binomial probabilities.

    Examples
    --------
    >>> round(math.exp(binomial_log_pmf(2, 4, 0.5)), 12)
    0.375
    """
    if p <= 0.0 or p >= 1.0:
        return 0.0 if k == (n if p >= 1.0 else 0) else -math.inf
    if k in (0, n):
        return n * (math.log1p(-p) if k == 0 else math.log(p))
    log_pmf = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    log_pmf -= _deviance(k, n * p) + _deviance(n - k, n * (1.0 - p))
    return log_pmf + 0.5 * math.log(n / (2.0 * math.pi * k * (n - k)))


def hypergeometric_sf(k: int, marked: int, drawn: int, total: int) -> float:
    """Return P(X >= k): ``drawn`` of ``total`` balls hold at least k of the ``marked`` ones.

    With ``drawn`` = rows of the window, ``total`` = rows of window and baseline, ``marked`` = such
    rows in both and ``k`` = such rows in the window it is the one-sided p-value of Fisher's exact
    test.

    Parameters
    ----------
    k : int
        Note the inclusive bound, unlike ``scipy.stats.hypergeom.sf``.
    marked, drawn, total : int
        Neither ``marked`` nor ``drawn`` exceeds ``total``.

    Examples
    --------
    All three of three rows lack a value that none of seven lacked: 1 / binomial(10, 3).

    >>> round(hypergeometric_sf(3, 3, 3, 10), 12) == round(1 / 120, 12)
    True
    """
    least = max(0, marked + drawn - total)
    most = min(marked, drawn)
    if k <= least:
        return 1.0
    if k > most:
        return 0.0
    if k * total <= marked * drawn:
        # At or below the mean: the other tail is the shorter sum.
        below = hypergeometric_sf(drawn - k + 1, total - marked, drawn, total)
        return max(0.0, 1.0 - below)
    log_first = _hypergeometric_log_pmf(k, marked, drawn, total)
    return min(1.0, math.exp(log_first) * _falling_terms(k, marked, drawn, total))


def hypergeometric_pmf(k: int, marked: int, drawn: int, total: int) -> float:
    """Return P(X = k): ``drawn`` of ``total`` balls hold exactly k of the ``marked`` ones.

    Examples
    --------
    >>> round(hypergeometric_pmf(1, 2, 2, 4), 12) == round(4 / 6, 12)
    True
    """
    if not max(0, marked + drawn - total) <= k <= min(marked, drawn):
        return 0.0
    return math.exp(_hypergeometric_log_pmf(k, marked, drawn, total))


def _hypergeometric_log_pmf(k: int, marked: int, drawn: int, total: int) -> float:
    share = drawn / total
    return (
        binomial_log_pmf(k, marked, share)
        + binomial_log_pmf(drawn - k, total - marked, share)
        - binomial_log_pmf(drawn, total, share)
    )


def fisher_p_value(k: int, marked: int, drawn: int, total: int) -> float:
    """Return the two-sided p-value of Fisher's exact test, by the least likely outcomes.

    The chance of all outcomes that are not more likely than k.

    Parameters
    ----------
    k, marked, drawn, total : int
        As in :func:`hypergeometric_sf`.

    References
    ----------
    .. [1] Irwin, J. O. (1935), Tests of significance for differences between percentages based on
       small numbers, Metron.

    Examples
    --------
    >>> round(fisher_p_value(3, 4, 4, 8), 6) == round(34 / 70, 6)
    True
    """
    least, most = max(0, marked + drawn - total), min(marked, drawn)
    if least == most:
        return 1.0
    # Outcomes mirrored: the observed one lies in the upper tail.
    if k * total < marked * drawn:
        return fisher_p_value(drawn - k, total - marked, drawn, total)
    upper = hypergeometric_sf(k, marked, drawn, total)
    limit = _hypergeometric_log_pmf(k, marked, drawn, total) + 1e-7
    # Below the mode the chances fall: the largest outcome there that is no more likely.
    low, high = least - 1, (marked + 1) * (drawn + 1) // (total + 2)
    while high - low > 1:
        middle = (low + high) // 2
        if _hypergeometric_log_pmf(middle, marked, drawn, total) <= limit:
            low = middle
        else:
            high = middle
    if low < least:
        return min(1.0, upper)
    lower = hypergeometric_sf(drawn - low, total - marked, drawn, total)
    return min(1.0, upper + lower)


def _falling_terms(k: int, marked: int, drawn: int, total: int) -> float:
    """Return the sum of P(X = j) / P(X = k) over j >= k, for k above the mean."""
    result, last, start = 1.0, 1.0, k
    most = min(marked, drawn)
    while start < most and last > result * _EPSILON:
        j = np.arange(start, min(start + _CHUNK, most), dtype=np.float64)
        ratios = (marked - j) * (drawn - j) / ((j + 1.0) * (total - marked - drawn + j + 1.0))
        terms = last * np.cumprod(ratios)
        result += float(terms.sum())
        last = float(terms[-1])
        start += _CHUNK
    return result
