"""The bias metrics of SageMaker Clarify, computed from counts.

Facet a is the advantaged group, facet d the disadvantaged one; differences are a minus d unless
said otherwise, so that a positive value is to the disadvantage of d for most metrics.

Everywhere 0/0 is 0, x/0 is infinite with the sign of x, and the difference of two equal infinities
is 0. Formulas: Amazon SageMaker developer guide, "Measure Pre-training Bias" and "Measure
Post-training Data and Model Bias"; Hardt et al., "Amazon SageMaker Clarify: Machine Learning Bias
Detection and Explainability in the Cloud", KDD 2021.

What differs from Clarify's published code: KL, JS and LP there leave out outcomes that one group
does not have, so that KL can be negative and may call the most biased data fair. Here they are
those of the definition: such a KL is infinite. The flip test has the sign of the code, which is
opposite to the guide's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ratio(numerator: float, denominator: float) -> float:
    """Return a quotient; 0/0 is 0 and x/0 is infinite.

    Examples
    --------
    >>> ratio(0, 0), ratio(-2, 0), ratio(1, 4)
    (0.0, -inf, 0.25)
    """
    if denominator == 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return float(numerator / denominator)


def difference(one: float, other: float) -> float:
    """Return a difference; that of two equal infinities is 0.

    Examples
    --------
    >>> difference(math.inf, math.inf), difference(1.0, math.inf)
    (0.0, -inf)
    """
    return 0.0 if one == other else one - other


def class_imbalance(rows_a: float, rows_d: float) -> float:
    """Return CI = (n_a - n_d) / (n_a + n_d): how much one group outnumbers the other.

    Examples
    --------
    >>> class_imbalance(3, 1)
    0.5
    """
    return ratio(rows_a - rows_d, rows_a + rows_d)


def proportion_difference(a: Sequence[float], d: Sequence[float]) -> float:
    """Return q_a - q_d, the difference of positive shares: DPL of labels, DPPL of predictions.

    Parameters
    ----------
    a, d : sequence of two floats
        Negative and positive outcomes of each group.

    Examples
    --------
    >>> proportion_difference((1, 3), (2, 2))
    0.25
    """
    return ratio(a[1], a[0] + a[1]) - ratio(d[1], d[0] + d[1])


def kullback_leibler(a: ArrayLike, d: ArrayLike) -> float:
    """Return KL = sum of P_a ln(P_a / P_d), in nats; infinite if d lacks an outcome that a has.

    Parameters
    ----------
    a, d : array_like of float, shape (outcomes,)
        Counts or shares of each outcome.

    Examples
    --------
    >>> round(kullback_leibler([1, 1], [1, 5]), 7)
    0.2938933
    """
    p, q = _shares(a), _shares(d)
    some = p > 0
    if np.any(q[some] == 0):
        return math.inf
    # The order of Clarify's sum, so that its files are reproduced to the last digits.
    return float(np.sum(p[some] * np.log(p[some] / q[some])))


def jensen_shannon(a: ArrayLike, d: ArrayLike) -> float:
    """Return JS = (KL(P_a, M) + KL(P_d, M)) / 2 in nats, where M is the mean of both.

    Examples
    --------
    >>> round(jensen_shannon([1, 1], [1, 5]), 8)
    0.06465997
    """
    p, q = _shares(a), _shares(d)
    middle = (p + q) / 2
    return 0.5 * (kullback_leibler(p, middle) + kullback_leibler(q, middle))


def lp_norm(a: ArrayLike, d: ArrayLike) -> float:
    """Return LP: the Euclidean distance of the two groups' shares of outcomes.

    Examples
    --------
    >>> round(lp_norm([1, 1], [1, 5]), 8)
    0.47140452
    """
    return float(np.linalg.norm(_shares(a) - _shares(d)))


def total_variation(a: ArrayLike, d: ArrayLike) -> float:
    """Return TVD: half the sum of absolute differences of the shares.

    Examples
    --------
    >>> round(total_variation([1, 1], [1, 5]), 8)
    0.33333333
    """
    return 0.5 * float(np.sum(np.abs(_shares(a) - _shares(d))))


def kolmogorov_smirnov(a: ArrayLike, d: ArrayLike) -> float:
    """Return KS: the largest absolute difference of the shares of an outcome.

    Examples
    --------
    >>> round(kolmogorov_smirnov([1, 1], [1, 5]), 8)
    0.33333333
    """
    return float(np.max(np.abs(_shares(a) - _shares(d))))


def conditional_disparity(counts: ArrayLike) -> float:
    """Return CDD = sum of n_i DD_i / n over groups i: CDDL of labels, CDDPL of predictions.

    The disparity DD of a group is the share of facet d among its negative outcomes, less that
    among its positive ones.

    Parameters
    ----------
    counts : array_like of float, shape (groups, 2, 2)
        By group, facet (a, d) and outcome (negative, positive).

    Examples
    --------
    >>> conditional_disparity([[[1, 3], [3, 1]]])
    0.5
    """
    table = np.asarray(counts, dtype=np.float64)
    totals = table.sum(axis=(1, 2))
    if not totals.sum():
        return 0.0
    outcomes = table.sum(axis=1)
    shares = np.divide(table[:, 1], outcomes, out=np.zeros_like(outcomes), where=outcomes > 0)
    return float(np.sum(totals * (shares[:, 0] - shares[:, 1])) / totals.sum())


def disparate_impact(a: Sequence[float], d: Sequence[float]) -> float:
    """Return DI = q'_d / q'_a, the ratio of positive shares of predictions; 1 is fair.

    Examples
    --------
    >>> disparate_impact((2, 2), (3, 1))
    0.5
    """
    return ratio(ratio(d[1], d[0] + d[1]), ratio(a[1], a[0] + a[1]))


# What follows compares labels with predictions: counts[label][prediction] of either group.
Confusion = Sequence[Sequence[float]]


def conditional_acceptance(a: Confusion, d: Confusion) -> float:
    """Return DCA = c_a - c_d, c = observed positives / predicted positives.

    Examples
    --------
    >>> conditional_acceptance([[1, 1], [1, 1]], [[1, 1], [3, 1]])
    -1.0
    """
    return difference(*(ratio(g[1][0] + g[1][1], g[0][1] + g[1][1]) for g in (a, d)))


def conditional_rejection(a: Confusion, d: Confusion) -> float:
    """Return DCR = r_d - r_a, r = observed negatives / predicted negatives."""
    return difference(*(ratio(g[0][0] + g[0][1], g[0][0] + g[1][0]) for g in (d, a)))


def recall_difference(a: Confusion, d: Confusion) -> float:
    """Return RD = TPR_a - TPR_d."""
    return difference(*(ratio(g[1][1], g[1][0] + g[1][1]) for g in (a, d)))


def specificity_difference(a: Confusion, d: Confusion) -> float:
    """Return SD = TNR_d - TNR_a."""
    return difference(*(ratio(g[0][0], g[0][0] + g[0][1]) for g in (d, a)))


def acceptance_rate_difference(a: Confusion, d: Confusion) -> float:
    """Return DAR = PPV_a - PPV_d: the share of predicted positives that are positive."""
    return difference(*(ratio(g[1][1], g[0][1] + g[1][1]) for g in (a, d)))


def rejection_rate_difference(a: Confusion, d: Confusion) -> float:
    """Return DRR = NPV_d - NPV_a: the share of predicted negatives that are negative."""
    return difference(*(ratio(g[0][0], g[0][0] + g[1][0]) for g in (d, a)))


def accuracy_difference(a: Confusion, d: Confusion) -> float:
    """Return AD = ACC_a - ACC_d."""
    return difference(
        *(ratio(g[0][0] + g[1][1], g[0][0] + g[0][1] + g[1][0] + g[1][1]) for g in (a, d))
    )


def treatment_equality(a: Confusion, d: Confusion) -> float:
    """Return TE = tau_d - tau_a, tau = false negatives / false positives.

    Examples
    --------
    >>> treatment_equality([[1, 1], [1, 1]], [[1, 0], [1, 1]])
    inf
    """
    return difference(*(ratio(g[1][0], g[0][1]) for g in (d, a)))


def generalized_entropy(a: Confusion, d: Confusion) -> float:
    """Return GE = (mean of (b / mu)^2 - 1) / 2 for benefits b = prediction - label + 1.

    It is the inequality of benefits among all rows, whatever their group: a false positive has
    benefit 2, a false negative 0. Source: Speicher et al., "A Unified Approach to Quantifying
    Algorithmic Unfairness", KDD 2018, with alpha = 2.

    Examples
    --------
    >>> generalized_entropy([[1, 1], [1, 1]], [[0, 0], [0, 0]])
    0.25
    """
    even = a[0][0] + a[1][1] + d[0][0] + d[1][1]
    twice = a[0][1] + d[0][1]
    rows = even + twice + a[1][0] + d[1][0]
    mean = ratio(even + 2 * twice, rows)
    # Relative to the mean; where all benefits are 0, they are equal.
    return 0.0 if mean == 0 else 0.5 * ((even + 4 * twice) / rows / mean**2 - 1)


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(counts, dtype=np.float64)
    total = values.sum()
    return values / total if total > 0 else values
