"""What both stories of the demo have in common: a first champion, weeks, messages, a retraining.

A story writes what an endpoint writes (captures, labels) and reads what came of it. Everything
between is the deployed stack's own doing; every number on screen is computed in the run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from driftgauge.config import MonitorConfig
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.store import Current
from driftgauge.training.comparison import Comparison, decode_comparison
from driftgauge.training.logistic import LogisticModel, decode_model, encode_model
from driftgauge.windows import Window
from local.endpoint import Endpoint, Serving
from local.observation import (
    AlarmReading,
    DemoError,
    Execution,
    Message,
    Observer,
    wait_for,
)
from local.screen import Screen
from local.traffic import Traffic


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long anything may take, in seconds."""

    baseline: float = 60.0
    verdict: float = 60.0
    alarm: float = 60.0
    retraining: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Week:
    """A week that was played, and what was read back of it."""

    window: Window
    serving: Serving
    verdict: WindowVerdict
    seconds: float


class Telling:
    """The hands and eyes of a story: what it does to one deployment, and what it asks of it."""

    def __init__(
        self,
        *,
        screen: Screen,
        observer: Observer,
        endpoint: Endpoint,
        out: Path,
        patience: Patience | None = None,
    ) -> None:
        self.screen = screen
        self.observer = observer
        self.out = out
        self.patience = patience or Patience()
        self._endpoint = endpoint
        self._inbox: list[Message] = []

    @property
    def config(self) -> MonitorConfig:
        """The monitor."""
        return self.observer.config

    def make_champion(self, name: str, table: bytes, model: LogisticModel) -> Current:
        """Put training data and model into S3, and wait for the baseline."""
        key = f"{self.observer.store.training_data_prefix()}{name}.csv"
        objects = self.observer.store.objects
        with self.screen.doing("training data and model put into S3, baseline made of them"):
            # The model first: what makes the baseline looks for it beside the data.
            objects.write(f"{key}.model.json", encode_model(model))
            objects.write(key, table, content_type="text/csv")
            return wait_for(
                f"a baseline made of s3://{self.observer.resources.store_bucket}/{key}",
                self.observer.current,
                seconds=self.patience.baseline,
                look="Look for errors of the function driftgauge-baseline in embedded-aws.log.",
            )

    def champion(self) -> LogisticModel:
        """Return the model in service."""
        store = self.observer.store
        return decode_model(store.objects.read(store.model_key(self._pointer().model or "")))

    def play_week(self, window: Window, traffic: Traffic) -> Week:
        """Serve a week, collect the labels that are known at its end, and wait for its verdict."""
        begin = time.monotonic()
        serving = self._endpoint.serve(traffic)
        self._endpoint.drop_labels(window.end)
        verdict = wait_for(
            f"a verdict on the week from {day(window.start)} with {traffic.rows} rows",
            lambda: self.observer.verdict(window, rows=traffic.rows),
            seconds=self.patience.verdict,
            look="Look for errors of the functions profile and evaluate in embedded-aws.log.",
        )
        return Week(
            window=window, serving=serving, verdict=verdict, seconds=time.monotonic() - begin
        )

    # Alarms and messages

    def wait_for_alarms(self, state: str, *kinds: str) -> AlarmReading:
        """Wait until one of some alarms, and the composite alarm, are in a state.

        For ``OK`` all of them have to be in it.
        """
        enough = all if state == "OK" else any

        def probe() -> AlarmReading | None:
            readings = [self.observer.alarm(kind) for kind in kinds]
            if self.observer.alarm().state != state:
                return None
            if not enough(reading.state == state for reading in readings):
                return None
            return next(reading for reading in readings if reading.state == state)

        return wait_for(
            f"{', '.join(kinds)} and the composite alarm of {self.config.name} to be {state}",
            probe,
            seconds=self.patience.alarm,
        )

    def collect_messages(self) -> None:
        """Take what SNS has delivered."""
        self._inbox.extend(self.observer.messages())

    def say_messages(self) -> None:
        """Say what SNS has delivered since the last time."""
        self.collect_messages()
        self.screen.say(f"Messages that SNS delivered: {len(self._inbox) or 'none'}")
        for message in self._inbox:
            self.screen.say(f"  {message.subject}")
        self._inbox.clear()

    def await_message(self, tone: str, what: str, *, about: str = "") -> Message:
        """Wait for a message whose subject starts with a tone and mentions something."""
        return wait_for(
            what,
            lambda: self._message(tone, about),
            seconds=self.patience.alarm,
            look="Look for errors of the function driftgauge-notify in embedded-aws.log.",
        )

    def _message(self, tone: str, about: str) -> Message | None:
        """Return the first such message since the last chapter."""
        self.collect_messages()
        tones = (m for m in self._inbox if m.subject.startswith(f"{tone}:"))
        return next((m for m in tones if about in m.subject), None)

    def await_first_silence(self) -> None:
        """Wait until the monitor rings for want of traffic, before the first capture."""
        silence = wait_for(
            "the silence alarm to ring before the first capture",
            lambda: found if (found := self.observer.alarm("silence")).state == "ALARM" else None,
            seconds=self.patience.alarm,
        )
        self.screen.say(
            f"No capture has arrived yet, so {silence.name} is in {silence.state}, as it should be."
        )

    # Retraining

    def follow_retraining(self) -> Comparison:
        """Follow the execution that an alarm started, until its model is promoted."""
        before = self._pointer()
        execution = wait_for(
            "the alarm to start the state machine",
            lambda: next(iter(self.observer.executions()), None),
            seconds=self.patience.retraining,
        )
        self.screen.say(f"Execution {execution.name}, started by EventBridge")
        execution, last = self._follow(execution)
        after = self._pointer()
        if execution.status != "SUCCEEDED" or after.model == before.model:
            raise DemoError(
                f"execution {execution.name} ended {execution.status} in {last}, and the champion "
                f"is still {before.model} {execution.error}".rstrip()
            )
        key = self.observer.store.retraining_key(execution.name, "comparison.json")
        comparison = decode_comparison(self.observer.store.objects.read(key))
        self.screen.say(comparison.reason)
        self.screen.say(
            f"  held back: {comparison.rows:,} flights, {comparison.clusters} "
            f"{comparison.cluster}s later than the training rows. "
            f"Area under the curve {comparison.champion.auc:.3f} -> "
            f"{comparison.challenger.auc:.3f}"
        )
        self.screen.say(
            f"Promoted in one write: {before.model} -> {after.model}, with baseline "
            f"{after.baseline}"
        )
        return comparison

    def _follow(self, execution: Execution) -> tuple[Execution, str]:
        shown = 0
        deadline = time.monotonic() + self.patience.retraining
        while True:
            execution = self.observer.refresh(execution)
            steps = self.observer.steps(execution)
            for step in steps[shown:]:
                self.screen.say(f"  {step.seconds:6.2f} s  {step.name}")
            shown = len(steps)
            if execution.ended:
                return execution, steps[-1].name
            if time.monotonic() > deadline:
                raise DemoError(
                    f"execution {execution.arn} is still {execution.status} after "
                    f"{self.patience.retraining:g} s"
                )
            time.sleep(0.1)

    def _pointer(self) -> Current:
        current = self.observer.current()
        if current is None:
            raise DemoError(f"{self.observer.store.current_key} has vanished")
        return current

    # The end

    def say_speed(self, weeks: list[Week]) -> None:
        """Say how much was played how fast."""
        played = sum(week.seconds for week in weeks) / len(weeks)
        length = self.config.window.total_seconds()
        rows = sum(week.serving.rows for week in weeks)
        self.screen.say(
            f"{rows:,} flights in {len(weeks)} weeks. One week played in {played:.1f} s on "
            f"average: 1 : {length / played:,.0f}."
        )

    def keep_reports(self, windows: dict[str, Window]) -> None:
        """Save the reports of some windows, and say where they and everything else are."""
        self.out.mkdir(parents=True, exist_ok=True)
        reports = {}
        for name, window in windows.items():
            path = self.out / f"report-{day(window.start)}.html"
            path.write_bytes(
                wait_for(
                    f"the report of the week from {day(window.start)}",
                    lambda window=window: self.observer.report(window),  # type: ignore[misc]
                    seconds=self.patience.verdict,
                )
            )
            reports[f"report, {name}"] = str(path)
        resources = self.observer.resources
        self.screen.facts(
            {
                "store": f"s3://{resources.store_bucket}/{self.config.name}/",
                "captures": f"s3://{resources.capture_bucket}/{self.config.capture.prefix}/",
                "alert topic": resources.topic,
                "state machine": resources.state_machine,
                "dashboard": resources.dashboard,
                **reports,
            }
        )


def day(moment: datetime) -> str:
    """Return a moment's day."""
    return f"{moment:%Y-%m-%d}"
