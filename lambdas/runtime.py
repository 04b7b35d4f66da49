"""What every function shares: settings, logger, metrics, monitors, stores.

Settings are read once, on the first invocation of a cold start; what is missing is named.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from driftgauge.baseline import Baseline, read_baseline
from driftgauge.config import MonitorConfig, MonitorSet, read_monitor_set
from driftgauge.errors import BaselineError, ConfigError, ObjectNotFoundError
from driftgauge.outcome_baseline import OutcomeBaseline, read_outcome_baseline
from driftgauge.store import Current, MonitorStore, S3Objects

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_s3 import S3Client

NAMESPACE = "driftgauge"
# Step Functions' errors about the token of a task that has ended: answered, out of time, or its
# execution stopped.
TOKEN_IS_OVER = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")
_READERS = 16
_CACHED_BASELINES = 8
_Kept = TypeVar("_Kept")

logger = Logger()


class Settings(BaseModel):
    """The environment variables of a function, by name."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    STORE_BUCKET: str = Field(min_length=3)
    DEPLOYMENT: str = Field(default="driftgauge", min_length=1)
    LAMBDA_TASK_ROOT: Path = Path(__file__).resolve().parents[1]
    AWS_REGION: str = "us-east-1"
    CAPTURE_BUCKET: str | None = None
    ALERT_TOPIC_ARN: str | None = None
    CHAT_TOPIC_ARN: str | None = None
    DASHBOARD_NAME: str | None = None
    EVALUATE_LOG_GROUP: str | None = None
    APPROVAL_URL: str | None = None


def read_settings() -> Settings:
    """Read the environment.

    Raises
    ------
    ConfigError
        Naming every variable that is missing or wrong (never its value).
    """
    try:
        return Settings.model_validate(dict(os.environ))
    except ValidationError as error:
        problems = "; ".join(f"{x['loc'][0]}: {x['msg']}" for x in error.errors())
        raise ConfigError(f"environment of the function: {problems}") from None


class Runtime:
    """The connections and caches that live as long as the function's process."""

    def __init__(self, *, settings: Settings, monitors: MonitorSet) -> None:
        self.settings = settings
        self.monitors = monitors
        self._baselines: OrderedDict[tuple[str, str], Baseline] = OrderedDict()
        self._outcomes: OrderedDict[tuple[str, str], OutcomeBaseline | None] = OrderedDict()

    @cached_property
    def s3(self) -> S3Client:
        """The S3 client, with a connection for each reading thread."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            config=Config(
                max_pool_connections=_READERS, retries={"mode": "standard", "max_attempts": 5}
            ),
        )

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """The CloudWatch client, for what the embedded metric format cannot carry."""
        import boto3

        return boto3.client("cloudwatch")

    @cached_property
    def sagemaker(self) -> Any:
        """The SageMaker client, for what an endpoint is."""
        import boto3

        return boto3.client("sagemaker")

    def objects(self, bucket: str) -> S3Objects:
        """Return the objects of a bucket."""
        return S3Objects(bucket=bucket, client=self.s3)

    def store(self, monitor: str) -> MonitorStore:
        """Return the store of one monitor."""
        return MonitorStore(objects=self.objects(self.settings.STORE_BUCKET), monitor=monitor)

    def current(self, store: MonitorStore) -> tuple[Current, str]:
        """Return a monitor's pointer and its tag.

        Raises
        ------
        BaselineError
            If the monitor has no baseline yet, saying where to drop training data.
        """
        try:
            return store.read_current()
        except ObjectNotFoundError as error:
            place = f"{store.objects.uri}{store.training_data_prefix()}"
            raise BaselineError(
                f"monitor {store.monitor} has no baseline: put training data (.csv, .jsonl or "
                f".parquet) under {place}, then redrive the dead-letter queue"
            ) from error

    def baseline(self, store: MonitorStore, version: str) -> Baseline:
        """Return a baseline; versions never change, so they are kept in memory."""
        return _remembered(
            self._baselines,
            (store.monitor, version),
            lambda: read_baseline(
                lambda name: store.objects.read(store.baseline_key(version, name))
            ),
        )

    def outcome_baseline(self, store: MonitorStore, version: str) -> OutcomeBaseline | None:
        """Return what a baseline says of outcomes; None if nothing."""
        return _remembered(
            self._outcomes,
            (store.monitor, version),
            lambda: read_outcome_baseline(
                lambda name: store.objects.read(store.baseline_key(version, name))
            ),
        )


def _remembered(
    known: OrderedDict[tuple[str, str], _Kept], key: tuple[str, str], make: Callable[[], _Kept]
) -> _Kept:
    """Return what is kept in memory under a key, made if it is not there."""
    if key not in known:
        known[key] = make()
    known.move_to_end(key)
    while len(known) > _CACHED_BASELINES:
        known.popitem(last=False)
    return known[key]


@cache
def runtime() -> Runtime:
    """Return the process's runtime, connected on first use."""
    settings = read_settings()
    text = (settings.LAMBDA_TASK_ROOT / "monitors.json").read_text(encoding="utf-8")
    return Runtime(settings=settings, monitors=read_monitor_set(text))


def read_many(store: MonitorStore, keys: Iterable[str]) -> Iterator[bytes]:
    """Read many small objects with parallel requests, in the order of the keys.

    At most a few hundred are in memory at a time.
    """
    waiting = iter(keys)
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        while chunk := list(islice(waiting, _READERS * 16)):
            yield from pool.map(store.objects.read, chunk)


@dataclass(frozen=True)
class Measure:
    """One value of one metric."""

    name: str
    value: float
    unit: Literal["Count", "Percent", "Seconds", "None"] = "Count"


def publish_metrics(
    *,
    config: MonitorConfig,
    variant: str,
    measures: Iterable[Measure],
    moment: datetime | None = None,
) -> None:
    """Print metrics in CloudWatch's embedded metric format.

    Several measures of one name become values of one metric. The dimensions are Monitor and
    Variant alone: CloudWatch bills every further combination.
    """
    # An empty service keeps Powertools from adding its `service` dimension.
    metrics = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service="")
    metrics.add_dimension("Monitor", config.name)
    metrics.add_dimension("Variant", variant)
    if moment is not None:
        # Before the first value: the hundredth one prints what there is.
        metrics.set_timestamp(moment)
    fine = config.alarm_period < timedelta(minutes=1)
    for measure in measures:
        metrics.add_metric(
            name=measure.name,
            unit=measure.unit,
            value=measure.value,
            resolution=1 if fine else 60,
        )
    if metrics.metric_set:
        metrics.flush_metrics()


def now() -> datetime:
    """Return the present moment; one place, so that tests can set the clock."""
    return datetime.now(UTC)
