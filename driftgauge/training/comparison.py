"""Champion against challenger: two sets of scores on the same held-back rows, and a decision.

The numbers are proper scoring rules of probabilities. The decision rests on the paired difference
of log loss with an interval that knows that rows of one day move together.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from driftgauge.documents import decode_document, encode_document
from driftgauge.errors import TrainingError

# A score of exactly 0 or 1 that turns out wrong would cost infinitely much.
_SMALLEST_PROBABILITY = 1e-15
# A variance over fewer clusters than this says little; then shorter clusters are taken.
_FEWEST_CLUSTERS = 10
_CLUSTER_SECONDS = {"day": 86_400, "hour": 3_600}


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good the scores of one model are on some labelled rows.

    Attributes
    ----------
    log_loss : float
        Mean of -ln(probability given to what came true), nats per row; lower is better.
    brier : float
        Mean squared difference between probability and label, 0 to 1; lower is better.
    auc : float
        Chance that a positive row scores higher than a negative one, ties counted half.
    """

    log_loss: float
    brier: float
    auc: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The outcome of champion against challenger.

    Attributes
    ----------
    improvement : float
        Mean of champion's minus challenger's log loss over the rows, nats per row; above zero
        the challenger is better.
    low, high : float
        One-sided bounds of the improvement, each at ``confidence``.
    clusters : int
        Number of groups of rows that were taken as independent of each other.
    cluster : {"day", "hour", "row"}
        What such a group is.
    """

    rows: int
    positives: int
    champion: Quality
    challenger: Quality
    improvement: float
    low: float
    high: float
    confidence: float
    clusters: int
    cluster: str
    min_improvement: float
    challenger_wins: bool
    reason: str
    version: int = 1


def log_losses(labels: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row's log loss in nats.

    Examples
    --------
    >>> log_losses(np.array([1.0, 0.0]), np.array([0.5, 0.75])).round(4).tolist()
    [0.6931, 1.3863]
    """
    right = np.where(labels == 1.0, scores, 1.0 - scores)
    losses: NDArray[np.float64] = -np.log(np.clip(right, _SMALLEST_PROBABILITY, 1.0))
    return losses


def area_under_curve(labels: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve, from the mid-ranks of the scores (Mann and Whitney).

    Examples
    --------
    >>> area_under_curve(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2.0
    positive = labels == 1.0
    many, few = int((~positive).sum()), int(positive.sum())
    if not many or not few:
        raise TrainingError("the area under the curve needs rows of both labels")
    rank_sum = float(middle[inverse][positive].sum())
    return (rank_sum - few * (few + 1) / 2.0) / (few * many)


def measure_quality(labels: NDArray[np.float64], scores: NDArray[np.float64]) -> Quality:
    """Measure one model's scores.

    Parameters
    ----------
    labels : ndarray of float64, shape (rows,)
        0 or 1.
    scores : ndarray of float64, shape (rows,)
        Probabilities.

    Raises
    ------
    TrainingError
        If a score is no probability or a label is missing.
    """
    if not np.isin(labels, (0.0, 1.0)).all():
        raise TrainingError("quality needs a label, 0 or 1, for every row")
    if not ((scores >= 0.0) & (scores <= 1.0)).all():
        raise TrainingError(
            "the scores are not all between 0 and 1: log loss and Brier score need probabilities; "
            "set `prediction` to the output column that holds one"
        )
    return Quality(
        log_loss=float(log_losses(labels, scores).mean()),
        brier=float(((scores - labels) ** 2).mean()),
        auc=area_under_curve(labels, scores),
    )


def student_quantile(probability: float, freedom: int) -> float:
    """Return a quantile of Student's t, expanded around the normal one.

    Abramowitz and Stegun 26.7.5, four terms: within 1e-3 for nine degrees of freedom or more
    and probabilities between 0.01 and 0.99.

    Examples
    --------
    >>> round(student_quantile(0.95, 18), 3)
    1.734
    """
    x = NormalDist().inv_cdf(probability)
    n = float(freedom)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / n**power for power, term in enumerate(terms, start=1))


def _clusters(times: NDArray[np.int64]) -> tuple[str, NDArray[np.intp]]:
    for unit, seconds in _CLUSTER_SECONDS.items():
        _, inverse = np.unique(times // seconds, return_inverse=True)
        if inverse.max() + 1 >= _FEWEST_CLUSTERS:
            return unit, inverse
    return "row", np.arange(times.shape[0])


def compare_scores(
    labels: NDArray[np.float64],
    champion: NDArray[np.float64],
    challenger: NDArray[np.float64],
    *,
    times: NDArray[np.int64],
    min_improvement: float = 0.0,
    confidence: float = 0.95,
) -> Comparison:
    """Decide whether the challenger beats the champion.

    It does when the lower bound of the improvement of log loss exceeds ``min_improvement``. The
    bound uses the cluster-robust standard error of the mean paired difference d,
    ``sqrt(G / (G - 1) * sum over clusters (sum of (d - mean d))**2) / rows``, and Student's t with
    G - 1 degrees of freedom. The G clusters are days; hours, or rows at last, where the rows span
    fewer than ten of them. Source: Liang and Zeger 1986, Biometrika 73(1), for an intercept-only
    model.

    Parameters
    ----------
    labels, champion, challenger : ndarray of float64, shape (rows,)
        Labels (0 or 1) and both models' probabilities of the same rows.
    times : ndarray of int64, shape (rows,)
        Inference times, seconds since 1970-01-01T00:00:00Z.
    min_improvement : float
        How much lower the challenger's log loss must be, nats per row.
    confidence : float
        Of each one-sided bound.

    Raises
    ------
    TrainingError
        If there are fewer than ten rows, not both labels, or scores that are no probabilities.
    """
    rows = int(labels.shape[0])
    if rows < _FEWEST_CLUSTERS:
        raise TrainingError(
            f"{rows} held-back rows are too few to compare two models on: raise holdout_share or "
            "lengthen retraining.lookback"
        )
    before, after = measure_quality(labels, champion), measure_quality(labels, challenger)
    difference = log_losses(labels, champion) - log_losses(labels, challenger)
    improvement = float(difference.mean())
    unit, cluster_of_row = _clusters(times)
    sums = np.bincount(cluster_of_row, weights=difference - improvement)
    clusters = int(sums.shape[0])
    error = float(np.sqrt(clusters / (clusters - 1) * (sums**2).sum())) / rows
    margin = student_quantile(confidence, clusters - 1) * error
    wins = improvement - margin > min_improvement
    return Comparison(
        rows=rows,
        positives=int((labels == 1.0).sum()),
        champion=before,
        challenger=after,
        improvement=improvement,
        low=improvement - margin,
        high=improvement + margin,
        confidence=confidence,
        clusters=clusters,
        cluster=unit,
        min_improvement=min_improvement,
        challenger_wins=wins,
        reason=_reason(before, after, improvement, improvement - margin, min_improvement, wins),
    )


def _reason(
    champion: Quality,
    challenger: Quality,
    improvement: float,
    low: float,
    required: float,
    wins: bool,
) -> str:
    losses = f"log loss {challenger.log_loss:.4f} against the champion's {champion.log_loss:.4f}"
    if wins:
        return f"The challenger is better: {losses}, an improvement of at least {low:.4f}."
    if improvement > required:
        return (
            f"The challenger is not surely better: {losses}, but the improvement may be as low as "
            f"{low:.4f} where more than {required:g} is required."
        )
    return f"The challenger is not better by more than {required:g}: {losses}."


def encode_comparison(comparison: Comparison) -> bytes:
    """Write ``comparison.json``."""
    return encode_document(comparison)


def decode_comparison(data: bytes) -> Comparison:
    """Read ``comparison.json``.

    Raises
    ------
    TrainingError
        If the text is not a comparison this version can read.
    """
    return decode_document(data, Comparison, name="comparison.json", error=TrainingError)
