"""The world of the end-to-end tests of roll-outs: endpoints, their traffic, and what came of it."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from driftgauge.config import MonitorConfig
from driftgauge.experiments.codec import decode_blocks
from driftgauge.experiments.plan import decode_plan
from driftgauge.experiments.shadow_verdict import ShadowVerdict
from driftgauge.experiments.verdict import ExperimentVerdict
from driftgauge.training.dataset import encode_baseline_rows, encode_rows
from driftgauge.training.logistic import LogisticModel, encode_model, train_logistic
from driftgauge.windows import Window
from lambdas.experiment_decision import decode_decision
from lambdas.rollout_record import RollOut, read_rollout
from lambdas.state import read_state
from local.aws import EmbeddedAws
from local.observation import Execution, Observer, wait_for
from local.sagemaker.replaying import replay
from tests.end_to_end import rollout_crash
from tests.end_to_end.rollout_monitors import CHALLENGER, CHAMPION, IMAGE, ROLE
from tests.end_to_end.rollout_rows import Labels, Rows, served_rows, some_rows, truth_lines

ROWS_A_REQUEST = 50
# Requests a minute of the stories whose challengers are compared on live traffic.
LIVE: Mapping[str, int] = {"better": 60, "harmful": 200, "equal": 160}
# For what takes a comparison: two or three minutes, more where a window was not enough.
PATIENCE = 360.0
_PAST_WINDOWS, _PAST_REQUESTS = 3, 10
_MINUTE = timedelta(minutes=1)
# What a roll-out does, of the states that it passes.
_DEEDS = frozenset(
    {
        *("CreateEndpointConfig", "UpdateEndpoint", "SetWeights", "AwaitVerdict"),
        *("Promote", "ApproveModel", "RejectModel", "RollBack"),
    }
)
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class State:
    """What a roll-out that fails must leave as it was."""

    config: str
    weights: dict[str, float]
    baseline: str
    model: str | None


@dataclass(frozen=True, kw_only=True)
class Harm:
    """What it took to find a harmful canary.

    Attributes
    ----------
    planned : int
        Rows that the canary's plan needs, of both arms.
    counted : int
        Rows in the windows that were judged.
    sent : int
        Rows of all requests from the first one that the challenger answered until the last one.
    seconds : float
        From the canary's beginning until then.
    """

    planned: int
    counted: int
    sent: int
    seconds: float


@dataclass(kw_only=True)
class Story:
    """One monitor with its endpoint, and what was sent to it.

    Attributes
    ----------
    sent : list
        Moments of the live requests, and the variant that answered.
    before : State
        When its first champion began to serve.
    """

    aws: EmbeddedAws
    observer: Observer
    config: MonitorConfig
    sent: list[tuple[datetime, str]] = field(default_factory=list)
    before: State = State(config="", weights={}, baseline="", model=None)
    _messages: list[tuple[str, str]] = field(default_factory=list)
    _seeds: itertools.count[int] = field(default_factory=lambda: itertools.count(10))

    def __post_init__(self) -> None:
        self.sagemaker: Any = self.aws.client("sagemaker")
        self.runtime: Any = self.aws.client("sagemaker-runtime")
        self.machines: Any = self.aws.client("stepfunctions")

    @property
    def name(self) -> str:
        """The monitor's."""
        return self.config.name

    # Before the roll-out

    def begin(self) -> None:
        """Make the first champion, let it serve a while, and start the live stories."""
        # Who has learnt the contrary of what is true now errs more often than not: the alarm on
        # that starts a retraining.
        contrary = self.name == "better"
        rows = some_rows(0, 3000, reversed_world=contrary)
        # Too unsure of itself: any model is better by its log loss.
        model = train_logistic(
            rows.columns, rows.late, version="first", created=datetime.now(UTC), l2=2500.0
        )
        self.sagemaker.create_model_package_group(ModelPackageGroupName=f"{self.name}-models")
        self._create_endpoint(model)
        self._drop_training_data(model, rows, some_rows(1, 3000, reversed_world=contrary))
        self.wait("the first baseline", self.observer.current)
        self.wait("the endpoint", lambda: self.status() == "InService" or None)
        self.before = self.state()
        window = self.config.grid.window_of(self._live_a_past())
        self.wait("the past", lambda: self._is_judged(window) or None)
        if self.name in LIVE and not contrary:
            self.start(force=True)

    def _is_judged(self, window: Window) -> bool:
        if self.observer.outcomes(window, labelled=100) is None:
            return False
        newest = read_state(self.observer.store, CHAMPION).newest
        return newest is not None and newest >= window

    def _drop_training_data(self, model: LogisticModel, rows: Rows, held_back: Rows) -> None:
        store = self.observer.store
        key = f"{store.training_data_prefix()}rows.csv"
        store.objects.write(f"{key}.model.json", encode_model(model))
        judged = encode_rows(served_rows(model, held_back), prediction="score", label="late")
        store.objects.write(f"{key}.outcomes.csv", judged)
        served = served_rows(model, rows)
        store.objects.write(
            key, encode_baseline_rows(served, prediction="score", scores=served.scores)
        )

    def _create_endpoint(self, model: LogisticModel) -> None:
        bucket, key = self.observer.resources.capture_bucket, f"artifacts/{self.name}.tar.gz"
        files = {"model.json": encode_model(model), "features.json": b'["amount", "channel"]'}
        self.observer.s3.put_object(Bucket=bucket, Key=key, Body=_archive(files))
        first = f"{self.name}-first"
        self.sagemaker.create_model(
            ModelName=first,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{key}"},
        )
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=first,
            ProductionVariants=[
                {
                    "VariantName": CHAMPION,
                    "ModelName": first,
                    "InstanceType": "ml.m5.large",
                    # One alone takes all traffic at once.
                    "InitialInstanceCount": 2,
                    "InitialVariantWeight": 1.0,
                }
            ],
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": f"s3://{bucket}/{self.config.capture.prefix}",
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
            },
        )
        self.sagemaker.create_endpoint(
            EndpointName=self.config.endpoint.name, EndpointConfigName=first
        )

    def _live_a_past(self) -> datetime:
        """Serve and label some minutes of yesterday; return when the last one began."""
        start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=26)
        moment = start
        client = self.aws.client("sagemaker-runtime")
        replay(client, lambda: moment)
        labels: Labels = {}
        for number in range(_PAST_WINDOWS):
            moment = start + number * _MINUTE
            labels |= self._send(client, _PAST_REQUESTS)
        self.sent.clear()
        self.label(labels, collected=moment)
        return moment

    # Traffic

    def serve(self, requests: int) -> None:
        """Send requests, and upload their labels: the harmful story's not before its canary."""
        labels = self._send(self.runtime, requests)
        record = self.rollout()
        if self.name != "harmful" or (record is not None and record.stage == "canary"):
            self.label(labels)

    def _send(self, client: Any, requests: int) -> Labels:
        seed = next(self._seeds)
        rows = some_rows(seed, requests * ROWS_A_REQUEST)
        labels: Labels = {}
        for number in range(requests):
            part = slice(number * ROWS_A_REQUEST, (number + 1) * ROWS_A_REQUEST)
            some = Rows(amount=rows.amount[part], channel=rows.channel[part], late=rows.late[part])
            inference = f"{self.name}-{seed}-{number}"
            variant = self._invoke(client, some.body, inference)
            self.sent.append((datetime.now(UTC), variant))
            labels[inference] = some.late
        return labels

    def _invoke(self, client: Any, body: bytes, inference: str) -> str:
        answer = client.invoke_endpoint(
            EndpointName=self.config.endpoint.name,
            Body=body,
            ContentType="text/csv",
            InferenceId=inference,
        )
        answer["Body"].read()
        return str(answer["InvokedProductionVariant"])

    def label(self, labels: Labels, *, collected: datetime | None = None) -> None:
        """Upload labels as of the hour in which they were collected."""
        hour = collected or datetime.now(UTC)
        key = f"{self.config.capture.ground_truth_prefix}/{hour:%Y/%m/%d/%H}/{next(self._seeds)}"
        self.observer.s3.put_object(
            Bucket=self.observer.resources.capture_bucket,
            Key=f"{key}.jsonl",
            Body=truth_lines(labels),
        )

    def serve_while_deploying(self, arn: str) -> None:
        """Send requests while the endpoint is updated by an execution."""

        def is_updated() -> bool | None:
            return True if self.status() == "Updating" or self._is_over(arn) else None

        self.wait("the endpoint to be updated", is_updated)
        while self.status() == "Updating":
            self.serve(10)

    # Executions

    def wait(
        self, what: str, probe: Callable[[], Found | None], *, seconds: float = PATIENCE
    ) -> Found:
        """Wait for something of this story."""
        return wait_for(f"{what} of {self.name}", probe, seconds=seconds, look=str(self.aws.log))

    def start(self, **event: Any) -> str:
        """Start an execution, and return its ARN."""
        answer = self.machines.start_execution(
            stateMachineArn=self.observer.resources.state_machine,
            input=json.dumps({"monitor": self.name, **event}),
        )
        arn: str = answer["executionArn"]
        return arn

    def executions(self) -> list[Execution]:
        """Return all executions, the oldest first; wait for the first one."""
        return self.wait("an execution", lambda: self.observer.executions() or None)

    def ended(self, arn: str) -> Execution:
        """Wait until an execution has ended."""

        def probe() -> Execution | None:
            found = next(one for one in self.observer.executions() if one.arn == arn)
            return found if found.ended else None

        return self.wait("the end of an execution", probe)

    def next_execution(self, *, after: Execution) -> Execution:
        """Wait for the execution that was started after another one, and for its end."""

        def probe() -> Execution | None:
            later = [one for one in self.observer.executions() if one.started > after.started]
            return later[0] if later and later[0].ended else None

        return self.wait("another execution", probe)

    def _is_over(self, arn: str) -> bool:
        return next(one for one in self.observer.executions() if one.arn == arn).ended

    def steps(self, execution: Execution) -> list[str]:
        """Return the names of the states that an execution entered."""
        return [step.name for step in self.observer.steps(execution)]

    def deeds(self, execution: Execution) -> list[str]:
        """Return the states by which an execution's roll-out changed or awaited something."""
        return [step for step in self.steps(execution) if step in _DEEDS]

    def crash(self, moment: str) -> None:
        """Let the next promotion crash; see ``rollout_crash``."""
        self.observer.store.objects.write(f"{self.name}/crash", moment.encode())

    # What is seen

    def told(self, title: str, text: str) -> bool:
        """Wait for a message about the monitor whose subject and text hold some words."""

        def probe() -> bool | None:
            # Texts are broken into lines.
            self._messages += [
                (one.subject, " ".join(one.text.split())) for one in self.observer.messages()
            ]
            found = (
                f": {self.name}: " in subject and title in subject and text in said
                for subject, said in self._messages
            )
            return any(found) or None

        return self.wait(f"a message of {title!r} and {text!r}", probe, seconds=60.0)

    def state(self) -> State:
        """Return what serves and what is in force."""
        shown = self._endpoint()
        current, _ = self.observer.store.read_current()
        return State(
            config=shown["EndpointConfigName"],
            weights={
                one["VariantName"]: one["CurrentWeight"] for one in shown["ProductionVariants"]
            },
            baseline=current.baseline,
            model=current.model,
        )

    def _endpoint(self) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_endpoint(
            EndpointName=self.config.endpoint.name
        )
        return found

    def status(self) -> str:
        """Return the endpoint's status."""
        return str(self._endpoint()["EndpointStatus"])

    def watched_alarms(self) -> list[str]:
        """Return the alarms that the endpoint's last deployment watched."""
        last = self._endpoint()["LastDeploymentConfig"]["AutoRollbackConfiguration"]
        return [one["AlarmName"] for one in last["Alarms"]]

    def rollout(self) -> RollOut | None:
        """Return what is known of the newest roll-out."""
        return read_rollout(self.observer.store)

    @property
    def alarm(self) -> str:
        """Name of the alarm that stands for all of the monitor's."""
        return f"{self.observer.deployment}-{self.name}"

    def rings(self) -> bool:
        """Tell whether the monitor's alarm is in ALARM."""
        answer = self.observer.cloudwatch.describe_alarms(
            AlarmNames=[self.alarm], AlarmTypes=["CompositeAlarm"]
        )
        return [one["StateValue"] for one in answer["CompositeAlarms"]] == ["ALARM"]

    def rang(self, kind: str) -> bool:
        """Tell whether an alarm of the challenger has been in ALARM."""
        name = f"{self.alarm}-{CHALLENGER}-{kind}"
        answer = self.observer.cloudwatch.describe_alarm_history(
            AlarmName=name, HistoryItemType="StateUpdate"
        )
        return any("to ALARM" in one["HistorySummary"] for one in answer["AlarmHistoryItems"])

    def is_restored(self) -> bool:
        """Tell whether all is as it was before the roll-out, and no challenger is approved."""
        record = self.rollout()
        return (
            self.state() == self.before
            and record is not None
            and (record.status, record.before.config) == ("restored", self.before.config)
            and "Approved" not in self.packages()
        )

    def packages(self) -> list[str]:
        """Return the approval status of every model package, the oldest first."""
        listed = self.sagemaker.list_model_packages(
            ModelPackageGroupName=f"{self.name}-models",
            SortBy="CreationTime",
            SortOrder="Ascending",
        )
        return [one["ModelApprovalStatus"] for one in listed["ModelPackageSummaryList"]]

    def serves_challenger(self) -> bool:
        """Tell whether endpoint, pointer, baseline and record agree on the newest challenger.

        The endpoint serves it as the champion's variant, with all of the traffic.
        """
        record, state = self.rollout(), self.state()
        assert record is not None
        version = record.challenger
        shown = self.sagemaker.describe_endpoint_config(EndpointConfigName=state.config)
        [variant] = shown["ProductionVariants"]
        store = self.observer.store
        return (
            record.status == "promoted"
            and state.config == f"driftgauge-{self.name}-{version}-full"
            and variant["ModelName"] == f"driftgauge-{self.name}-{version}"
            and "ShadowProductionVariants" not in shown
            and state.weights == {CHAMPION: 1.0}
            and (state.baseline, state.model) == (version, version)
            and bool(store.objects.read(store.baseline_key(version, "baseline.json")))
        )

    def experiment(self, stage: str) -> ExperimentVerdict | ShadowVerdict:
        """Return the decision of a stage of the only roll-out."""
        decision = decode_decision(self._of_stage(stage, "decision.json"))
        assert b"<html" in self._of_stage(stage, "report.html")
        return decision

    def _of_stage(self, stage: str, name: str) -> bytes:
        objects = self.observer.store.objects
        keys = [one.key for one in objects.list(f"{self.name}/experiments/")]
        [key] = [key for key in keys if key.endswith(f"-{stage}/{name}")]
        return objects.read(key)

    def harm(self) -> Harm:
        """Return how much traffic it took to find that the canary is harmful."""
        [needed] = decode_plan(self._of_stage("canary", "plan.json")).requirements
        blocks = decode_blocks(self._of_stage("canary", "blocks"))
        decision = decode_decision(self._of_stage("canary", "decision.json"))
        served = [at for at, variant in self.sent if variant == CHALLENGER]
        first, last = served[0], served[-1]
        return Harm(
            planned=needed.champion_rows + needed.challenger_rows,
            counted=blocks.sums("champion", needed.metric).rows
            + blocks.sums("challenger", needed.metric).rows,
            sent=ROWS_A_REQUEST * sum(first <= at <= last for at, _ in self.sent),
            seconds=(last - decision.started).total_seconds(),
        )


class Traffic(threading.Thread):
    """A story's live traffic: a burst at the beginning of every minute, until it is stopped."""

    def __init__(self, story: Story, *, requests: int) -> None:
        super().__init__(name=f"traffic-{story.name}", daemon=True)
        self._story = story
        self._requests = requests
        self._over = threading.Event()

    def run(self) -> None:
        """Send until the story's execution is over."""
        while not self._over.wait(_seconds_to_next_minute()):
            executions = self._story.observer.executions()
            if executions and all(one.ended for one in executions):
                return
            self._story.serve(self._requests)

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self.join()


def _seconds_to_next_minute() -> float:
    moment = datetime.now(UTC)
    begun = moment.second + moment.microsecond / 1e6
    # Well inside of it: the clocks of windows and captures are of whole seconds.
    return (62.0 - begun) if begun >= 2.0 else 2.0 - begun


def let_promote_crash(story: Story, deployment: str) -> None:
    """Put the function that dies on demand in the place of ``promote``."""
    functions, name = story.aws.client("lambda"), f"{deployment}-promote"
    place = functions.get_function(FunctionName=name)["Code"]["Location"]
    with urllib.request.urlopen(place) as code:  # noqa: S310 - the embedded AWS's own address
        packed = io.BytesIO(code.read())
    module = Path(rollout_crash.__file__)
    with zipfile.ZipFile(packed, "a") as files:
        files.write(module, module.name)
    functions.update_function_code(FunctionName=name, ZipFile=packed.getvalue())
    functions.update_function_configuration(FunctionName=name, Handler=f"{module.stem}.handler")


def _archive(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as members:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            members.addfile(member, io.BytesIO(data))
    return packed.getvalue()
