"""KernelSHAP: SHAP values of any model that can be asked for scores.

The value of a coalition is the model's mean output over reference rows whose cells are replaced,
for the features in the coalition, by those of the explained row. SHAP values are the weighted
least-squares fit of a linear function of membership to these values that is exact for the empty
and the full coalition: Lundberg and Lee, "A unified approach to interpreting model predictions",
NeurIPS 2017, theorem 2. Parameters are those of Clarify's ``shap`` method.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftgauge.attribution.coalitions import (
    Coalitions,
    all_coalitions,
    choose_coalitions,
    default_samples,
)
from driftgauge.attribution.reference import Reference
from driftgauge.attribution.rows import FeatureRows, join_rows
from driftgauge.attribution.values import Attributions, label_names
from driftgauge.errors import AttributionError

Scorer = Callable[[FeatureRows], NDArray[np.float64]]

# The logarithm of odds of 0 is infinite: probabilities keep this distance from 0 and 1.
_SMALLEST_PROBABILITY = 2.0**-53
# Synthetic rows in memory, unless a batch is larger.
_SCORED_TOGETHER = 1 << 14


@dataclass(frozen=True, kw_only=True)
class KernelSettings:
    """How KernelSHAP explains.

    Attributes
    ----------
    num_samples : int or None
        Coalitions for each explained row; None: Clarify's default.
    use_logit : bool
        Explain the log odds of the model's probability instead of the probability.
    seed : int
        The same seed, rows and model give the same values.
    batch_rows : int
        Most rows the scorer is given at once: rows of one invocation.
    budget : int or None
        Most invocations of the scorer; None: no limit.
    """

    num_samples: int | None = None
    use_logit: bool = False
    seed: int = 0
    batch_rows: int = 500
    budget: int | None = None

    def __post_init__(self) -> None:
        if self.num_samples is not None and self.num_samples < 2:
            raise AttributionError("num_samples is at least 2: a coalition and its complement")
        if self.batch_rows < 1:
            raise AttributionError("batch_rows is at least 1")
        if self.budget is not None and self.budget < 1:
            raise AttributionError("a budget is at least 1 invocation")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an explanation asks of the scorer, at most.

    Attributes
    ----------
    rows : int
        Rows that are explained.
    row_scores : int
        Scores that one explained row needs.
    invocations : int
        Of the scorer.
    """

    rows: int
    row_scores: int
    invocations: int


def plan_explanation(
    *, features: int, rows: int, reference_rows: int, settings: KernelSettings
) -> Plan:
    """Say how many rows the budget allows to explain.

    Raises
    ------
    AttributionError
        If the budget does not suffice for one row.

    Examples
    --------
    >>> settings = KernelSettings(budget=10, batch_rows=1000)
    >>> plan_explanation(features=14, rows=500, reference_rows=1, settings=settings)
    Plan(rows=4, row_scores=2077, invocations=10)
    """
    samples = settings.num_samples or default_samples(features)
    row_scores = min(samples, all_coalitions(features)) * reference_rows + 1
    batch = settings.batch_rows

    def invocations(count: int) -> int:
        return -(-(reference_rows) // batch) + -(-count * row_scores // batch)

    if settings.budget is not None:
        first = -(-reference_rows // batch)
        rows = min(rows, (settings.budget - first) * batch // row_scores)
        if rows < 1:
            raise AttributionError(
                f"a budget of {settings.budget} invocations of {batch} rows does not suffice to "
                f"explain one row, which needs {invocations(1)}; allow more, use fewer reference "
                "rows or a smaller num_samples"
            )
    return Plan(rows=rows, row_scores=row_scores, invocations=invocations(rows))


def sample_rows(rows: FeatureRows, count: int, *, seed: int) -> FeatureRows:
    """Return at most so many rows, drawn without replacement, in their order."""
    if rows.rows <= count:
        return rows
    chosen = np.random.default_rng(seed).choice(rows.rows, size=count, replace=False)
    return rows.take(np.sort(chosen))


def explain_by_kernel(
    scorer: Scorer,
    rows: FeatureRows,
    reference: Reference,
    *,
    settings: KernelSettings | None = None,
    labels: tuple[str, ...] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Attributions:
    """Explain rows by KernelSHAP.

    Parameters
    ----------
    scorer : callable
        From rows to scores, shape (rows,) or (rows, outputs).
    rows : FeatureRows
        To explain. With a budget, as many of them as it allows, drawn by the seed.
    reference : Reference
        What "unknown" means.
    settings : KernelSettings or None
        None: Clarify's defaults.
    labels : tuple of str or None
        Names of the outputs; None: ``label0``, ...
    progress : callable or None
        Is told the number of rows as they are explained.

    Returns
    -------
    Attributions
        Exact where all coalitions fit in ``num_samples``.

    Raises
    ------
    AttributionError
        If the budget does not suffice for one row, or the scorer returns something else than
        finite scores.
    """
    settings = settings or KernelSettings()
    plan = plan_explanation(
        features=len(rows.names),
        rows=rows.rows,
        reference_rows=reference.rows.rows,
        settings=settings,
    )
    rows = sample_rows(rows, plan.rows, seed=settings.seed)
    run = _Run(scorer, rows, reference, settings)
    expected = run.expected()
    if labels is not None and len(labels) != len(expected):
        raise AttributionError(f"the model has {len(expected)} outputs, not {len(labels)}")
    values = np.zeros((len(expected), rows.rows, len(rows.names)))
    for row, phi in run.explained(expected):
        values[:, row] = phi
        if progress is not None:
            progress(1)
    return Attributions(
        features=rows.names,
        labels=labels or label_names(len(expected)),
        values=values,
        expected=expected,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """One row to explain: its varying features, coalitions and synthetic rows."""

    row: int
    varying: NDArray[np.intp]
    coalitions: Coalitions | None
    source: NDArray[np.intp]


class _Run:
    """One explanation: rows and reference in one pool of cells."""

    def __init__(
        self, scorer: Scorer, rows: FeatureRows, reference: Reference, settings: KernelSettings
    ) -> None:
        self._scorer = scorer
        self._pool = join_rows([reference.rows, rows])
        self._first = reference.rows.rows
        self._rows = rows.rows
        self._weights = reference.weights / reference.weights.sum()
        self._settings = settings

    def expected(self) -> NDArray[np.float64]:
        own = np.arange(self._first)[:, None]
        scores = self._score_batches(np.broadcast_to(own, (self._first, len(self._pool.names))))
        return self._linked(self._weights @ scores)

    def explained(self, expected: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield each row's number and values; shape (labels, features).

        Rows that are scored together fill whole batches, so that the budget is used up.
        """
        step = self._settings.batch_rows
        enough = max(step, _SCORED_TOGETHER // step * step)
        tasks: deque[_Task] = deque()
        source = np.empty((0, len(self._pool.names)), dtype=np.intp)
        scores = np.empty((0, len(expected)))
        for row in range(self._rows):
            tasks.append(self._task(row))
            source = np.concatenate((source, tasks[-1].source))
            last = row == self._rows - 1
            if len(source) < enough and not last:
                continue
            whole = len(source) if last else len(source) // step * step
            scores = np.concatenate((scores, self._score_batches(source[:whole])))
            source = source[whole:]
            while tasks and len(tasks[0].source) <= len(scores):
                task = tasks.popleft()
                own, scores = scores[: len(task.source)], scores[len(task.source) :]
                yield task.row, self._values(task, own, expected)

    def _score_batches(self, source: NDArray[np.intp]) -> NDArray[np.float64]:
        step = self._settings.batch_rows
        return np.concatenate(
            [
                self._score(self._pool.compose(source[start : start + step]))
                for start in range(0, len(source), step)
            ]
        )

    def _task(self, row: int) -> _Task:
        own = self._first + row
        d = len(self._pool.names)
        references = np.arange(self._first)
        varying = np.flatnonzero(~self._pool.same_cells(own, references))
        whole = np.full((1, d), own, dtype=np.intp)
        if len(varying) < 2:
            return _Task(row=row, varying=varying, coalitions=None, source=whole)
        samples = min(
            self._settings.num_samples or default_samples(len(varying)),
            all_coalitions(len(varying)),
        )
        rng = np.random.default_rng((self._settings.seed, row))
        coalitions = choose_coalitions(len(varying), samples, rng)
        members = np.zeros((len(coalitions.members), d), dtype=np.bool_)
        members[:, varying] = coalitions.members
        mixed = np.where(members[:, None, :], own, references[None, :, None]).reshape(-1, d)
        return _Task(
            row=row, varying=varying, coalitions=coalitions, source=np.concatenate((whole, mixed))
        )

    def _values(
        self, task: _Task, scores: NDArray[np.float64], expected: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        values = np.zeros((scores.shape[1], len(self._pool.names)))
        gain = self._linked(scores[0]) - expected
        if task.coalitions is None:
            values[:, task.varying] = gain[:, None]
            return values
        worth = scores[1:].reshape(len(task.coalitions.members), self._first, -1)
        mean = np.einsum("cbk,b->ck", worth, self._weights)
        values[:, task.varying] = solve_kernel(task.coalitions, self._linked(mean) - expected, gain)
        return values

    def _linked(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self._settings.use_logit:
            return scores
        low = _SMALLEST_PROBABILITY
        if ((scores < 0.0) | (scores > 1.0)).any():
            raise AttributionError(
                "use_logit needs probabilities, but a score lies outside 0 to 1: leave it out"
            )
        p = np.clip(scores, low, 1.0 - low)
        odds: NDArray[np.float64] = np.log(p) - np.log1p(-p)
        return odds

    def _score(self, rows: FeatureRows) -> NDArray[np.float64]:
        scores = np.asarray(self._scorer(rows))
        if scores.dtype.kind not in "fiub":
            raise AttributionError(f"the scorer returned {scores.dtype}, not numbers")
        if scores.ndim not in (1, 2) or scores.shape[0] != rows.rows or scores.size == 0:
            raise AttributionError(
                f"the scorer returned an array of shape {scores.shape} for {rows.rows} rows; "
                "return one score a row, or one row of scores a row"
            )
        scores = scores.astype(np.float64)
        if not np.isfinite(scores).all():
            raise AttributionError("the scorer returned a score that is not finite")
        return scores.reshape(rows.rows, -1)


def solve_kernel(
    coalitions: Coalitions, worth: NDArray[np.float64], gain: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit the values of the features to the worth of coalitions.

    Minimises ``sum w (worth - members @ phi)**2`` under the condition ``phi.sum() == gain``, by
    expressing the last value by the others.

    Parameters
    ----------
    coalitions : Coalitions
    worth : ndarray of float64, shape (coalitions, outputs)
        Output with these features known less the output with none.
    gain : ndarray of float64, shape (outputs,)
        The same with all known.

    Returns
    -------
    ndarray of float64, shape (outputs, features)

    Examples
    --------
    >>> chosen = choose_coalitions(3, 6, np.random.default_rng(0))
    >>> worth = chosen.members @ np.array([[1.0], [2.0], [-4.0]])
    >>> solve_kernel(chosen, worth, np.array([-1.0])).round(9).tolist()
    [[1.0, 2.0, -4.0]]
    """
    members = coalitions.members.astype(np.float64)
    design = members[:, :-1] - members[:, -1:]
    target = worth - members[:, -1:] * gain
    root = np.sqrt(coalitions.weights)[:, None]
    others = np.linalg.lstsq(root * design, root * target, rcond=None)[0]
    return np.concatenate((others, gain[None, :] - others.sum(axis=0, keepdims=True))).T
