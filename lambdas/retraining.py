"""What the steps of a retraining hand to each other through the state machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from driftgauge.capture.table import read_table
from driftgauge.config import MonitorConfig
from driftgauge.errors import ConfigError, ObjectNotFoundError, TrainingError
from driftgauge.store import MonitorStore
from driftgauge.training.dataset import ServedRows, decode_rows

Trainer = Literal["builtin", "function", "sagemaker", "pipeline"]
Outcome = Literal["promoted", "kept", "failed", "restored"]
# What an execution is there for: a new model, or to put back what served before a roll-out.
Action = Literal["retrain", "restore"]


@dataclass(frozen=True, kw_only=True)
class RetrainingFiles:
    """Keys of the objects that one execution works on, all in the store's bucket.

    Attributes
    ----------
    train : str
        Labelled rows to learn from: inputs, the champion's score, label, inference time.
    holdout : str
        Later labelled rows that models are compared on. Not for trainers.
    served : str
        Rows that the new baseline is made from, labelled or not.
    scoring : str
        Inputs of the holdout's rows and then of the served rows, without labels: what a trainer
        has to score.
    model : str
        The challenger, written by the built-in trainer or one's own function.
    predictions : str
        The challenger's score of every row of ``scoring``, in order: CSV with one column.
    comparison : str
        Champion against challenger.
    baseline : str
        Training table of the new baseline: served rows with the challenger's scores.
    outcomes : str
        The holdout with the challenger's scores: labelled rows that it has not learnt from, which
        the new baseline's quality and bias are measured on.
    """

    train: str
    holdout: str
    served: str
    scoring: str
    model: str
    predictions: str
    comparison: str
    baseline: str
    outcomes: str

    @classmethod
    def of(cls, store: MonitorStore, execution: str) -> RetrainingFiles:
        """Return the keys of one execution."""
        return cls(
            train=store.retraining_key(execution, "train.csv"),
            holdout=store.retraining_key(execution, "holdout.csv"),
            served=store.retraining_key(execution, "served.csv"),
            scoring=store.retraining_key(execution, "scoring.csv"),
            model=store.retraining_key(execution, "model.json"),
            predictions=store.retraining_key(execution, "predictions.csv"),
            comparison=store.retraining_key(execution, "comparison.json"),
            baseline=store.retraining_key(execution, "baseline.csv"),
            outcomes=store.retraining_key(execution, "outcomes.csv"),
        )


@dataclass(frozen=True, kw_only=True)
class SageMakerJob:
    """The arguments of a training job; all empty unless the monitor configures one."""

    name: str = ""
    image: str = ""
    role_arn: str = ""
    instance_type: str = ""
    instance_count: int = 1
    volume_gb: int = 1
    max_runtime: int = 3600
    hyperparameters: dict[str, str] = field(default_factory=dict)
    train_uri: str = ""
    scoring_uri: str = ""
    output_uri: str = ""


@dataclass(frozen=True, kw_only=True)
class PipelineRun:
    """The arguments of a pipeline's execution; empty unless the monitor configures one."""

    name: str = ""
    parameters: tuple[dict[str, str], ...] = ()
    max_runtime: int = 86_400


@dataclass(frozen=True, kw_only=True)
class RollOutPlan:
    """How a challenger comes to serve; all empty where only the pointer moves.

    Attributes
    ----------
    endpoint, champion : str
        Names of the endpoint and of the variant that serves.
    stages : tuple of str
        What the endpoint goes through, in order.
    model : str
        Name of the challenger's model in SageMaker.
    image, role_arn, environment
        Of the container that serves it.
    group : str
        Group of the model registry; empty if challengers are not registered.
    package : str
        ARN of the model package of a challenger that is taken back; empty if it was not
        registered, and for a new one.
    stage_limit : int
        Seconds that a stage may take.
    """

    endpoint: str = ""
    champion: str = ""
    stages: tuple[str, ...] = ()
    model: str = ""
    image: str = ""
    role_arn: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    group: str = ""
    package: str = ""
    stage_limit: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the guard decided: whether to retrain, and with what.

    The state machine keeps it in its variable ``$plan`` and hands it to every step. Nothing in it
    is null, because an absent value ends an execution.
    """

    go: bool
    action: Action = "retrain"
    notify: bool
    reason: str
    monitor: str
    variant: str
    execution: str
    execution_arn: str
    started: datetime
    version: str
    drift_since: datetime
    until: datetime
    bucket: str
    files: RetrainingFiles
    trainer: Trainer
    trainer_function_arn: str
    sagemaker: SageMakerJob
    pipeline: PipelineRun = PipelineRun()
    rollout: RollOutPlan = RollOutPlan()
    approval: bool
    approval_timeout: int


@dataclass(frozen=True, kw_only=True)
class Champion:
    """What was in force when the retraining looked; empty strings for nothing."""

    baseline: str
    model: str


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What ``prepare`` found."""

    enough: bool
    reason: str
    rows: int
    labelled: int
    champion: Champion


@dataclass(frozen=True, kw_only=True)
class Step:
    """What an endpoint needs next to reach a stage of a roll-out.

    Attributes
    ----------
    action : str
        ``"wait"`` for what is under way; make the challenger's ``"model"``, ``"create"`` an
        endpoint configuration, ``"update"`` the endpoint or ``"weigh"`` its variants with
        ``request``; ``"reached"``: nothing; ``"failed"``: the stage cannot be reached.
    request : dict
        Of SageMaker's API, for integrations that take all of its members; empty where none is
        made.
    then : str
        Of a stage that is reached: ``"compare"`` the variants, the ``"next"`` stage,
        ``"promote"``; or ``"restored"``: all is as it was before. Of one that failed: ``"keep"``
        the champion, because SageMaker rolled the challenger back; empty for everything else.
    stage, next : str
        This stage and the one after it, empty after the last.
    experiment : str
        Name of the comparison; empty if there is none.
    seconds : int
        How long a comparison may take.
    reason : str
        In words, for people.
    """

    action: Literal["wait", "model", "create", "update", "weigh", "reached", "failed"]
    request: dict[str, Any] = field(default_factory=dict)
    then: Literal["", "compare", "next", "promote", "restored", "keep"] = ""
    stage: str
    next: str = ""
    experiment: str = ""
    seconds: int = 1
    reason: str


@dataclass(frozen=True, kw_only=True)
class LastRetraining:
    """``{monitor}/retraining/last.json``: how the last retraining ended, for the cool-down."""

    execution: str
    outcome: Outcome
    reason: str
    finished: datetime
    version: int = 1


def read_last(store: MonitorStore) -> LastRetraining | None:
    """Return how the last retraining ended; None before the first."""
    try:
        return msgspec.json.decode(store.objects.read(last_key(store)), type=LastRetraining)
    except ObjectNotFoundError:
        return None


def last_key(store: MonitorStore) -> str:
    """Key of the record of the last retraining."""
    return f"{store.monitor}/retraining/last.json"


def columns_of(config: MonitorConfig) -> tuple[str, str]:
    """Return the names of the prediction and the label column.

    Raises
    ------
    ConfigError
        If the monitor does not name them.
    """
    if config.prediction is None or config.label is None:
        raise ConfigError(f"monitor {config.name}: retraining needs `prediction` and `label`")
    return config.prediction, config.label


def read_rows(store: MonitorStore, config: MonitorConfig, *keys: str) -> ServedRows:
    """Read rows that ``prepare`` wrote, several files one after the other."""
    prediction, label = columns_of(config)
    tables = []
    for key in keys:
        with store.objects.open(key) as stream:
            source = f"{store.objects.uri}{key}"
            tables += list(read_table(stream, source=source, format="csv", header=True))
    if not tables:
        raise TrainingError(f"{', '.join(keys)}: no rows")
    return decode_rows(tables, prediction=prediction, label=label)


def plan_of(event: dict[str, Any]) -> Plan:
    """Read the plan from a step's event."""
    return msgspec.convert(event["plan"], type=Plan)


def to_payload(value: Any) -> dict[str, Any]:
    """Turn a dataclass into what a function may return: plain JSON types."""
    payload: dict[str, Any] = msgspec.to_builtins(value)
    return payload
