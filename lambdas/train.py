"""The built-in trainer: a logistic regression on the rows that ``prepare`` wrote.

A function of one's own that takes this one's place gets the same event, reads ``files.train`` and
``files.scoring``, and writes ``files.model`` and ``files.predictions``.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.errors import TrainingError
from driftgauge.training.dataset import text_columns
from driftgauge.training.logistic import encode_model, train_logistic
from lambdas.retraining import plan_of, read_rows
from lambdas.runtime import logger, runtime


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Train a challenger and score what has to be scored."""
    run = runtime()
    plan = plan_of(event)
    config = run.monitors[plan.monitor]
    store = run.store(config.name)
    rows = read_rows(store, config, plan.files.train)
    texts = text_columns(rows.columns, config.features)
    learned = {name: column for name, column in rows.columns.items() if name not in texts}
    if texts and not learned:
        raise TrainingError(
            f"every input column is free text ({', '.join(texts)}), which the built-in trainer "
            "does not learn from: set retraining.trainer_function_arn, or retraining.trainer to a "
            "SageMaker image"
        )
    model = train_logistic(learned, rows.labels, version=plan.version, created=plan.started)
    store.objects.write(plan.files.model, encode_model(model), content_type="application/json")
    scoring = read_rows(store, config, plan.files.holdout, plan.files.served)
    scores = model.score(scoring.columns, rows=scoring.rows)
    lines = ["score", *(repr(score) for score in scores.tolist())]
    store.objects.write(
        plan.files.predictions, ("\n".join(lines) + "\n").encode(), content_type="text/csv"
    )
    if texts:
        logger.warning("texts are not learned from", monitor=config.name, columns=texts)
    logger.info("challenger trained", monitor=config.name, rows=model.rows, version=plan.version)
    return {"model_key": plan.files.model, "rows": model.rows, "left_out": list(texts)}
