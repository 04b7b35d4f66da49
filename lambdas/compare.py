"""Champion against challenger, on labelled rows that neither has learned from.

The champion's scores are those it gave in service. The challenger's come from its trainer, one
for every row of ``scoring.csv``: a CSV file, or inside of SageMaker's ``output.tar.gz``.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from aws_lambda_powertools.utilities.typing import LambdaContext
from numpy.typing import NDArray

from driftgauge.capture.table import read_table
from driftgauge.errors import TrainingError
from driftgauge.store import MonitorStore
from driftgauge.training.comparison import compare_scores, encode_comparison
from driftgauge.training.dataset import encode_baseline_rows, encode_rows
from lambdas.retraining import Plan, columns_of, plan_of, read_rows
from lambdas.runtime import logger, runtime
from lambdas.training_output import model_uri, read_predictions_file, trained_by_sagemaker


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Compare, and write what the new baseline is made from if the challenger wins."""
    run = runtime()
    plan = plan_of(event)
    config = run.monitors[plan.monitor]
    store = run.store(config.name)
    prediction, label = columns_of(config)
    holdout = read_rows(store, config, plan.files.holdout)
    served = read_rows(store, config, plan.files.served)
    scores = read_predictions(store, plan, rows=holdout.rows + served.rows)
    comparison = compare_scores(
        holdout.labels,
        holdout.scores,
        scores[: holdout.rows],
        times=holdout.times,
        min_improvement=config.retraining.min_improvement,
    )
    store.objects.write(
        plan.files.comparison, encode_comparison(comparison), content_type="application/json"
    )
    if comparison.challenger_wins:
        table = encode_baseline_rows(served, prediction=prediction, scores=scores[holdout.rows :])
        store.objects.write(plan.files.baseline, table, content_type="text/csv")
        judged = replace(holdout, scores=scores[: holdout.rows])
        table = encode_rows(judged, prediction=prediction, label=label)
        store.objects.write(plan.files.outcomes, table, content_type="text/csv")
    logger.info(
        "models compared",
        monitor=config.name,
        rows=comparison.rows,
        challenger_wins=comparison.challenger_wins,
        improvement=comparison.improvement,
        low=comparison.low,
    )
    return {
        "challenger_wins": comparison.challenger_wins,
        "reason": comparison.reason,
        "rows": comparison.rows,
        "champion_log_loss": comparison.champion.log_loss,
        "challenger_log_loss": comparison.challenger.log_loss,
        "improvement": comparison.improvement,
        "low": comparison.low,
        "high": comparison.high,
        "model_uri": model_uri(store, plan) if trained_by_sagemaker(plan) else "",
    }


def read_predictions(store: MonitorStore, plan: Plan, *, rows: int) -> NDArray[np.float64]:
    """Read the challenger's scores, shape (rows,).

    Raises
    ------
    TrainingError
        If they are not one number between 0 and 1 for each row of ``scoring.csv``.
    """
    key, data = read_predictions_file(store, plan)
    tables = read_table(io.BytesIO(data), source=key, format="csv", header=None)
    columns = [list(table.columns.values()) for table in tables]
    if any(len(some) != 1 for some in columns):
        raise TrainingError(f"{key}: expected one column, the score of each row of scoring.csv")
    scores = np.concatenate([some[0].numbers for some in columns]) if columns else np.empty(0)
    if scores.shape[0] != rows:
        raise TrainingError(f"{key}: {scores.shape[0]} scores for the {rows} rows of scoring.csv")
    if not ((scores >= 0.0) & (scores <= 1.0)).all():
        raise TrainingError(f"{key}: a score is not a number between 0 and 1")
    return scores
