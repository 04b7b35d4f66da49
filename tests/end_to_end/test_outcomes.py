"""The deployed stacks on the embedded AWS, from labels to a retraining that decay started.

The templates are those of ``cdk deploy``; nothing here calls a handler. The tests are chapters of
one story and run in order. Its days lie a few days back, so that CloudWatch still takes what is
published about an older one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from driftgauge.capture.keys import capture_key
from driftgauge.config import MonitorConfig, load_monitors
from driftgauge.labels.codec import decode_labels
from driftgauge.outcome_baseline import read_outcome_baseline
from driftgauge.outcome_verdict import OutcomesVerdict
from driftgauge.report.wording import moment
from driftgauge.store import MonitorStore, StoredLabels
from driftgauge.training.dataset import ServedRows, encode_baseline_rows, encode_rows
from driftgauge.training.logistic import LogisticModel, decode_model, encode_model, train_logistic
from driftgauge.windows import Window
from local.aws import EmbeddedAws
from local.deploy import deploy
from local.observation import AlarmReading, Execution, Observer, Resources, wait_for
from local.toolchain import ROOT, synthesize
from tests.end_to_end.orders import CHANNELS, Orders, capture_lines

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

pytestmark = [pytest.mark.end_to_end, pytest.mark.enable_socket]

DEPLOYMENT = "outcomes"
PATIENCE = 120.0
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST_DAY = TODAY - timedelta(days=10)
ROWS = 300
# As many as are sampled at most: what is explained does not depend on the date.
CHANGED_ROWS = 500
ORPHANS = 7
SLOPE = 2.0

# The days of the story.
LABELS_FIRST, IN_PIECES, LABELLED_LATE, QUIET, CHANGED, RETRAINED = range(6)

Found = TypeVar("Found")
Statistic = Literal["SampleCount", "Sum", "Maximum"]


def deliveries(day: int, *, rows: int, slope: float = SLOPE) -> Orders:
    """Return a day's deliveries, all within two hours; ``slope`` is what amounts mean for them."""
    generator = np.random.default_rng((2027, day + 2))
    standard = generator.normal(0.0, 1.0, rows)
    late = generator.random(rows) < 1.0 / (1.0 + np.exp(-slope * standard))
    start = int((FIRST_DAY + timedelta(days=day, hours=10)).timestamp())
    return Orders(
        amount=np.round(50.0 + 10.0 * standard, 2),
        channel=generator.choice(CHANNELS, rows, p=[0.5, 0.4, 0.1]),
        late=late.astype(np.float64),
        times=start + np.sort(generator.integers(0, 7200, rows)),
    )


def served(orders: Orders, model: LogisticModel) -> ServedRows:
    """Return labelled rows with a model's scores."""
    return ServedRows(
        columns=orders.columns,
        labels=orders.late,
        scores=model.score(orders.columns, rows=orders.late.shape[0]),
        times=orders.times,
    )


def truth_lines(labels: Mapping[str, float]) -> bytes:
    """Return labels by inference id as Model Monitor reads them."""
    lines = [
        {
            "groundTruthData": {"data": str(int(label)), "encoding": "CSV"},
            "eventMetadata": {"eventId": name},
            "eventVersion": "0",
        }
        for name, label in labels.items()
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def labels_of(orders: Orders) -> dict[str, float]:
    """Return the labels of deliveries by the inference ids that ``capture_lines`` gives them."""
    return {
        f"order-{moment}-{number}": late
        for number, (moment, late) in enumerate(
            zip(orders.times.tolist(), orders.late.tolist(), strict=True)
        )
    }


@dataclass(frozen=True, kw_only=True)
class World:
    """One deployment, and the hands that feed it."""

    observer: Observer
    machines: SFNClient

    @property
    def config(self) -> MonitorConfig:
        return self.observer.config

    @property
    def store(self) -> MonitorStore:
        return self.observer.store

    def window(self, day: int) -> Window:
        return self.config.grid.window_of(FIRST_DAY + timedelta(days=day))

    def champion(self) -> LogisticModel:
        current, _ = self.store.read_current()
        assert current.model is not None
        return decode_model(self.store.objects.read(self.store.model_key(current.model)))

    def put(self, key: str, data: bytes) -> None:
        self.observer.s3.put_object(
            Bucket=self.observer.resources.capture_bucket, Key=key, Body=data
        )

    def serve(self, day: int, orders: Orders) -> None:
        """Score a day's deliveries with the champion, and capture them."""
        key = capture_key(
            prefix=self.config.capture.prefix,
            endpoint=self.config.endpoint.name,
            variant=self.observer.variant,
            moment=self.window(day).end - timedelta(minutes=1),
            unique=f"day-{day}",
        )
        self.put(key, capture_lines(orders, self.champion()))

    def label(self, name: str, labels: Mapping[str, float], *, collected: datetime) -> None:
        """Upload labels as of the hour in which they were collected."""
        folder = f"{self.config.capture.ground_truth_prefix}/{collected:%Y/%m/%d/%H}"
        self.put(f"{folder}/{name}.jsonl", truth_lines(labels))

    def wait(self, what: str, probe: Callable[[], Found | None], *, function: str) -> Found:
        return wait_for(
            what,
            probe,
            seconds=PATIENCE,
            look=f"Look for errors of the function {DEPLOYMENT}-{function} in embedded-aws.log.",
        )

    def outcomes(self, day: int, *, rows: int = ROWS, labelled: int) -> OutcomesVerdict:
        """Wait until all rows of a day are judged, with that many labels, and are explained."""
        window = self.window(day)

        def probe() -> OutcomesVerdict | None:
            verdict = self.observer.outcomes(window, labelled=labelled)
            if verdict is None or verdict.labels.counts.rows < rows or not verdict.attributions:
                return None
            return verdict if self.observer.verdict(window, rows=rows) is not None else None

        return self.wait(
            f"the outcomes of day {day}: {rows} rows, {labelled} labels, and attributions",
            probe,
            function="evaluate",
        )

    def let_period_pass(self, day: int) -> None:
        """Wait until what was published last of a day shares no period with what follows."""
        key = self.store.report_key(
            variant=self.observer.variant, window=self.window(day), name="inputs.json"
        )
        # An evaluation writes it after its metrics; times of objects are in whole seconds.
        [written] = self.store.objects.list(key)
        over = written.modified + timedelta(seconds=1) + self.config.alarm_period
        self.wait(
            f"the alarms' period of day {day} to end",
            lambda: True if datetime.now(UTC) >= over else None,
            function="evaluate",
        )

    def report(self, day: int, name: str) -> dict[str, Any]:
        key = self.store.report_key(
            variant=self.observer.variant, window=self.window(day), name=name
        )
        document: dict[str, Any] = json.loads(self.store.objects.read(key))
        return document

    def alarm(self, kind: str | None, state: str) -> AlarmReading:
        def probe() -> AlarmReading | None:
            reading = self.observer.alarm(kind)
            return reading if reading.state == state else None

        return self.wait(
            f"alarm {kind or 'of the monitor'} to be {state}", probe, function="evaluate"
        )

    def metric(
        self, name: str, statistic: Statistic, *, start: datetime, end: datetime
    ) -> list[float]:
        """Return the datapoints of one of the monitor's metrics, a minute each, in order."""
        answer = self.observer.cloudwatch.get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "asked",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "driftgauge",
                            "MetricName": name,
                            "Dimensions": [
                                {"Name": "Monitor", "Value": self.config.name},
                                {"Name": "Variant", "Value": self.observer.variant},
                            ],
                        },
                        "Period": 60,
                        "Stat": statistic,
                    },
                }
            ],
            StartTime=start,
            EndTime=end,
            ScanBy="TimestampAscending",
        )
        [found] = answer["MetricDataResults"]
        return found["Values"]

    def ever(self, name: str, statistic: Statistic) -> float:
        """Return the sum over all datapoints of a metric, past windows' included."""
        end = datetime.now(UTC) + timedelta(minutes=1)
        return sum(self.metric(name, statistic, start=FIRST_DAY, end=end))

    def waiting_labels(self) -> int:
        everything = Window(FIRST_DAY - timedelta(days=1), TODAY + timedelta(days=1))
        return self._count(self.store.list_received_labels(window=everything))

    def matched_labels(self, day: int) -> int:
        return self._count(
            self.store.list_matched_labels(variant=self.observer.variant, window=self.window(day))
        )

    def _count(self, stored: Iterator[StoredLabels]) -> int:
        return sum(decode_labels(self.store.objects.read(one.key)).records for one in stored)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("outcomes")
    monitors = Path(__file__).parent / "outcome_monitors"
    assembly = synthesize(
        ROOT,
        assembly=folder / "cdk.out",
        context={"deployment": DEPLOYMENT, "monitors": str(monitors)},
        log=folder / "cdk-synth.log",
    )
    config = load_monitors(monitors)["deliveries"]
    with EmbeddedAws(folder=folder / "aws") as aws:
        outputs = deploy(assembly, aws)
        observer = Observer(
            aws=aws,
            resources=Resources.from_outputs(outputs, config),
            config=config,
            deployment=DEPLOYMENT,
        )
        yield World(observer=observer, machines=aws.client("stepfunctions"))


def test_the_baseline_knows_quality_bias_and_attributions(world: World) -> None:
    store = world.store
    training = deliveries(-1, rows=3000)
    model = train_logistic(training.columns, training.late, version="first", created=FIRST_DAY)
    rows, held_back = served(training, model), served(deliveries(-2, rows=2000), model)
    key = f"{store.training_data_prefix()}deliveries.csv"
    store.objects.write(f"{key}.model.json", encode_model(model))
    store.objects.write(
        f"{key}.outcomes.csv", encode_rows(held_back, prediction="score", label="late")
    )
    store.objects.write(key, encode_baseline_rows(rows, prediction="score", scores=rows.scores))
    current = world.wait("the first baseline", world.observer.current, function="baseline")
    baseline = read_outcome_baseline(
        lambda name: store.objects.read(store.baseline_key(current.baseline, name))
    )
    assert baseline is not None
    # Of the rows that the model has not learnt from.
    assert baseline.counts is not None
    assert baseline.counts.labelled == 2000
    assert baseline.bias is not None
    assert baseline.sums is not None


def test_labels_that_come_before_their_predictions_wait_for_them(world: World) -> None:
    day = LABELS_FIRST
    orders = deliveries(day, rows=ROWS)
    world.label("early", labels_of(orders), collected=world.window(day).start + timedelta(hours=12))
    world.wait(
        f"{ROWS} labels to wait",
        lambda: True if world.ever("UnmatchedLabels", "Sum") == ROWS else None,
        function="labels",
    )
    assert world.waiting_labels() == ROWS
    world.serve(day, orders)
    verdict = world.outcomes(day, labelled=ROWS)
    counts = verdict.labels.counts
    assert (counts.rows, counts.labelled) == (ROWS, ROWS)
    assert (counts.duplicates, counts.corrected, counts.mismatched) == (0, 0, 0)
    assert world.waiting_labels() == 0
    assert world.matched_labels(day) == ROWS


def test_labels_in_pieces_are_counted_exactly_and_fill_the_reports(world: World) -> None:
    day = IN_PIECES
    orders = deliveries(day, rows=ROWS)
    right = labels_of(orders)
    names = list(right)
    end = world.window(day).end
    first = {name: right[name] for name in names[:200]}
    wrong = {name: 1.0 - right[name] for name in names[:5]}
    world.serve(day, orders)
    world.label("first", {**first, **wrong}, collected=end + timedelta(hours=1))
    world.outcomes(day, labelled=200)
    # Five that were wrong, three that are known already, and the rest.
    second = {name: right[name] for name in (*names[:5], *names[10:13], *names[200:])}
    world.label("second", second, collected=end + timedelta(hours=3))
    verdict = world.outcomes(day, labelled=ROWS)
    counts = verdict.labels.counts
    assert (counts.rows, counts.labelled) == (ROWS, ROWS)
    assert (counts.duplicates, counts.corrected, counts.mismatched) == (3, 5, 0)
    assert verdict.quality is not None
    assert verdict.quality.verdict == "ok"
    # The third one has too few rows.
    assert {one.category for one in verdict.quality.segments} == {"web", "phone"}

    late = world.champion().score(orders.columns, rows=ROWS) >= 0.5
    statistics = world.report(day, "quality/statistics.json")
    assert statistics["dataset"]["item_count"] == ROWS
    accuracy = statistics["binary_classification_metrics"]["accuracy"]["value"]
    assert accuracy == pytest.approx(float((late == (orders.late == 1.0)).mean()))
    assert world.report(day, "quality/constraint_violations.json") == {"violations": []}

    assert metric_of(world.report(day, "bias/analysis.json"), "DPPL") == pytest.approx(
        share_on_time(late, orders.channel != "phone")
        - share_on_time(late, orders.channel == "phone")
    )
    explained = world.report(day, "explainability/analysis.json")["explanations"]["kernel_shap"]
    [values] = (label["global_shap_values"] for label in explained.values())
    assert set(values) == {"amount", "channel"}
    assert values["amount"] > 10 * values["channel"]


def share_on_time(late: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float((~late[among]).mean())


def metric_of(analysis: Mapping[str, Any], name: str) -> float:
    """Return a bias metric of the only facet."""
    [facets] = analysis["post_training_bias_metrics"]["facets"].values()
    [facet] = facets
    [value] = (one["value"] for one in facet["metrics"] if one["name"] == name)
    return float(value)


def test_late_labels_judge_an_old_window_anew_and_leave_its_drift_alone(world: World) -> None:
    day = LABELLED_LATE
    orders, later = deliveries(day, rows=ROWS), deliveries(QUIET, rows=ROWS)
    world.serve(day, orders)
    unlabelled = world.outcomes(day, labelled=0)
    assert unlabelled.labels.counts.labelled == 0
    world.serve(QUIET, later)
    world.label("quiet", labels_of(later), collected=world.window(QUIET).end)
    world.outcomes(QUIET, labelled=ROWS)
    drift = ("DriftedFeatures", "DriftedPredictions", "WindowRows", "FeatureDistance")
    published = {name: world.ever(name, "SampleCount") for name in drift}
    judged = world.report(day, "verdicts.json")["evaluated_at"]
    assert "Quality is not judged" in page(world, day)

    world.label("late", labels_of(orders), collected=world.window(day).end + timedelta(days=4))
    verdict = world.outcomes(day, labelled=ROWS)
    assert verdict.evaluated_at > unlabelled.evaluated_at
    assert verdict.quality is not None
    assert verdict.quality.verdict == "ok"
    accuracy = next(m.value for m in verdict.quality.metrics if m.name == "accuracy")
    # The window is not the newest one that labels judged: what is published carries its own end.
    end = world.window(day).end
    values = world.wait(
        "the quality of the old window as a metric",
        lambda: (
            world.metric("RealisedQuality", "Maximum", start=end, end=end + timedelta(minutes=1))
            or None
        ),
        function="evaluate",
    )
    assert values == [pytest.approx(accuracy)]
    assert {name: world.ever(name, "SampleCount") for name in drift} == published
    assert world.report(day, "verdicts.json")["evaluated_at"] == judged
    assert f"as good as in the baseline: accuracy {accuracy:.3f}" in page(world, day)


def page(world: World, day: int) -> str:
    report = world.observer.report(world.window(day))
    assert report is not None
    return report.decode()


def test_labels_without_predictions_are_counted(world: World) -> None:
    before = world.ever("UnmatchedLabels", "Sum")
    orphans = {f"order-nobody-{number}": 1.0 for number in range(ORPHANS)}
    world.label("orphans", orphans, collected=world.window(QUIET).end + timedelta(hours=2))
    world.wait(
        f"{ORPHANS} more unmatched labels",
        lambda: True if world.ever("UnmatchedLabels", "Sum") == before + ORPHANS else None,
        function="labels",
    )
    assert world.waiting_labels() == ORPHANS
    for kind in ("quality-decay", "concept-drift", "feature-drift", None):
        world.alarm(kind, "OK")
    assert world.observer.executions() == []


def test_a_changed_world_rings_about_quality_while_the_columns_stay_quiet(world: World) -> None:
    list(world.observer.messages())
    day = CHANGED
    orders = deliveries(day, rows=CHANGED_ROWS, slope=-SLOPE)
    world.serve(day, orders)
    world.label("changed", labels_of(orders), collected=world.window(day).end)
    verdict = world.outcomes(day, rows=CHANGED_ROWS, labelled=CHANGED_ROWS)
    assert verdict.quality is not None
    assert verdict.quality_decay
    assert verdict.concept_drift
    world.alarm("quality-decay", "ALARM")
    world.alarm("concept-drift", "ALARM")
    world.alarm(None, "ALARM")
    assert world.observer.alarm("feature-drift").state == "OK"
    assert world.observer.alarm("prediction-drift").state == "OK"

    def told() -> str | None:
        messages = (m for m in world.observer.messages() if m.subject.startswith("ALARM: deliv"))
        return next((m.text for m in messages if "accuracy" in m.text.lower()), None)

    text = world.wait("a message that says what decayed", told, function="notify")
    realised = next(m.value for m in verdict.quality.decayed if m.name == "accuracy")
    assert f"to {realised:.3f}, concept drift" in text
    assert moment(world.window(day).start) in text


def test_the_decay_starts_one_retraining_that_promotes_model_and_outcomes(world: World) -> None:
    def ended() -> list[Execution] | None:
        executions = world.observer.executions()
        return executions if executions and all(e.ended for e in executions) else None

    [execution] = world.wait("the retraining to end", ended, function="guard")
    assert execution.status == "SUCCEEDED", execution.error
    request = json.loads(world.machines.describe_execution(executionArn=execution.arn)["input"])
    variant = world.observer.variant
    assert request["alarm"] == f"{DEPLOYMENT}-deliveries-{variant}-retraining"
    assert world.observer.steps(execution)[-1].name == "Promoted"
    store = world.store
    current, _ = store.read_current()
    [first] = current.history
    assert current.model not in (None, first.model)
    assert current.baseline != first.baseline
    baseline = read_outcome_baseline(
        lambda name: store.objects.read(store.baseline_key(current.baseline, name))
    )
    assert baseline is not None
    # The half of the changed day that was held back.
    assert baseline.counts is not None
    assert baseline.counts.labelled == CHANGED_ROWS // 2
    assert baseline.bias is not None
    assert baseline.sums is not None


def test_the_new_model_is_judged_by_its_own_quality_and_the_alarms_fall_silent(
    world: World,
) -> None:
    world.let_period_pass(CHANGED)
    current, _ = world.store.read_current()
    day = RETRAINED
    orders = deliveries(day, rows=CHANGED_ROWS, slope=-SLOPE)
    world.serve(day, orders)
    world.label("retrained", labels_of(orders), collected=world.window(day).end)
    verdict = world.outcomes(day, rows=CHANGED_ROWS, labelled=CHANGED_ROWS)
    assert verdict.baseline_version == current.baseline
    assert verdict.quality is not None
    assert verdict.quality.verdict == "ok", verdict.quality
    assert not verdict.concept_drift
    assert not verdict.attribution_drift
    for kind in ("quality-decay", "concept-drift", "retraining", None):
        world.alarm(kind, "OK")
    assert len(world.observer.executions()) == 1
