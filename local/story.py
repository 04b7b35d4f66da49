"""The demo's story: what is played, what is waited for, what is told.

This file writes what an endpoint writes (captures, labels) and reads what came of it. Everything
between is the deployed stack's own doing; every number on screen is computed in the run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from driftgauge.config import MonitorConfig
from driftgauge.drift.verdict import FeatureVerdict, WindowVerdict
from driftgauge.store import Current
from driftgauge.training.comparison import Comparison, decode_comparison
from driftgauge.training.dataset import encode_baseline_rows
from driftgauge.training.logistic import encode_model, train_logistic
from driftgauge.windows import Window
from local.endpoint import Endpoint, Serving
from local.flights import Flights, utc
from local.observation import (
    AlarmReading,
    DemoError,
    Execution,
    Message,
    Observer,
    wait_for,
)
from local.screen import Screen, WeekRow, WeekTable
from local.traffic import served_rows

TRAINED_ON = Window(utc(2015, 1, 1), utc(2015, 4, 1))
MERGER = utc(2015, 7, 1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which weeks are played, and how long anything may take."""

    first: datetime
    weeks_after: int
    baseline_seconds: float = 60.0
    verdict_seconds: float = 60.0
    alarm_seconds: float = 60.0
    retraining_seconds: float = 120.0


FULL = Plan(first=utc(2015, 4, 1), weeks_after=8)
# The retraining looks back 60 days, so the weeks from 6 May on are needed in any case.
FAST = Plan(first=utc(2015, 5, 6), weeks_after=2)


@dataclass(frozen=True, kw_only=True)
class Week:
    """A week that was played, and what was read back of it."""

    window: Window
    serving: Serving
    verdict: WindowVerdict
    seconds: float


class Story:
    """The narrated run against one deployment."""

    def __init__(
        self,
        *,
        screen: Screen,
        observer: Observer,
        endpoint: Endpoint,
        flights: Flights,
        plan: Plan,
        out: Path,
    ) -> None:
        self._screen = screen
        self._observer = observer
        self._endpoint = endpoint
        self._flights = flights
        self._plan = plan
        self._out = out
        self._weeks: list[Week] = []
        self._inbox: list[Message] = []

    @property
    def _config(self) -> MonitorConfig:
        return self._observer.config

    def tell(self) -> None:
        """Play the story from the first baseline to the end of the last week."""
        self._make_champion()
        quiet = self._config.grid.between(self._plan.first, MERGER)
        self._screen.heading("The first week")
        self._play_first_week(quiet[0])
        self._screen.heading(f"{len(quiet) - 1} more weeks before July")
        self._play(quiet[1:])
        self._say_what_rang()
        self._screen.heading("The week from 1 July")
        drifted = self._play_until_alarm(self._config.grid.window_of(MERGER))
        self._show_drift(drifted)
        self._screen.heading("The retraining that the alarm started")
        self._follow_retraining()
        after = self._config.grid.between(
            drifted.window.end, drifted.window.end + self._plan.weeks_after * self._config.window
        )
        self._screen.heading(f"{len(after)} weeks with the new model, judged against its baseline")
        self._observer.let_period_pass("feature-drift")
        self._play(after, await_silence=True)
        self._say_what_rang()
        self._finish(drifted)

    # The first champion

    def _make_champion(self) -> None:
        training = self._flights.between(TRAINED_ON.start, TRAINED_ON.end)
        model = train_logistic(
            training.columns(),
            training.late.astype(float),
            version="january-to-march",
            created=TRAINED_ON.end,
        )
        rows = served_rows(training, model)
        prediction = self._config.prediction or "prediction"
        table = encode_baseline_rows(rows, prediction=prediction, scores=rows.scores)
        key = f"{self._observer.store.training_data_prefix()}january-to-march.csv"
        objects = self._observer.store.objects
        with self._screen.doing("training data and model put into S3, baseline made of them"):
            # The model first: what makes the baseline looks for it beside the data.
            objects.write(f"{key}.model.json", encode_model(model))
            objects.write(key, table, content_type="text/csv")
            current = wait_for(
                f"a baseline made of s3://{self._observer.resources.store_bucket}/{key}",
                self._observer.current,
                seconds=self._plan.baseline_seconds,
                look="Look for errors of the function driftgauge-baseline in embedded-aws.log.",
            )
        self._screen.say(
            f"  {training.rows:,} flights of January to March, {training.late.mean():.1%} of them "
            f"more than 15 minutes late. Baseline and champion: {current.baseline}"
        )

    # Weeks

    def _play_first_week(self, window: Window) -> None:
        """Play a week of traffic after none at all, for which the monitor rings, too."""
        silence = wait_for(
            "the silence alarm to ring before the first capture",
            lambda: found if (found := self._observer.alarm("silence")).state == "ALARM" else None,
            seconds=self._plan.alarm_seconds,
        )
        self._screen.say(
            f"No capture has arrived yet, so {silence.name} is in {silence.state}, as it should be."
        )
        self._play([window], await_silence=True)
        wait_for(
            "the message on the SNS topic that all is well",
            lambda: self._message("OK"),
            seconds=self._plan.alarm_seconds,
            look="Look for errors of the function driftgauge-notify in embedded-aws.log.",
        )
        self._say_messages()

    def _play(self, windows: list[Window], *, await_silence: bool = False) -> None:
        table = self._screen.weeks(len(windows))
        with table.showing():
            for window in windows:
                week = self._play_week(table, window)
                if week.verdict.alarm:
                    self._add(table, week)
                    raise DemoError(
                        f"the week from {_day(window.start)} should be quiet, but is judged "
                        f"{_judgement(week.verdict)}: {_worst(week.verdict).reason}"
                    )
                if await_silence:
                    await_silence = False
                    table.doing("waiting for the alarm to fall silent")
                    self._wait_for_alarms("OK")
                self._add(table, week)
            table.doing("done")

    def _play_week(self, table: WeekTable, window: Window) -> Week:
        table.doing(f"week from {_day(window.start)}")
        begin = time.monotonic()
        flights = self._flights.between(window.start, window.end)
        serving = self._endpoint.serve(flights)
        self._endpoint.drop_labels(window.end)
        verdict = wait_for(
            f"a verdict on the week from {_day(window.start)} with {flights.rows} rows",
            lambda: self._observer.verdict(window, rows=flights.rows),
            seconds=self._plan.verdict_seconds,
            look="Look for errors of the functions profile and evaluate in embedded-aws.log.",
        )
        week = Week(
            window=window,
            serving=serving,
            verdict=verdict,
            seconds=time.monotonic() - begin,
        )
        self._weeks.append(week)
        return week

    def _add(self, table: WeekTable, week: Week) -> None:
        self._inbox.extend(self._observer.messages())
        table.add(_row(week, self._observer.alarm()))

    def _wait_for_alarms(self, state: str) -> AlarmReading:
        """Wait until feature drift and the monitor's composite alarm are in a state."""

        def probe() -> AlarmReading | None:
            drift = self._observer.alarm("feature-drift")
            monitor = self._observer.alarm()
            return drift if drift.state == monitor.state == state else None

        return wait_for(
            f"feature-drift and the composite alarm of {self._config.name} to be {state}",
            probe,
            seconds=self._plan.alarm_seconds,
        )

    def _play_until_alarm(self, window: Window) -> Week:
        table = self._screen.weeks(1)
        with table.showing():
            week = self._play_week(table, window)
            table.doing("waiting for the alarm")
            drift = self._wait_for_alarms("ALARM")
            self._add(table, week)
            table.doing("done")
        after = (drift.since - week.serving.last_written).total_seconds()
        debounce = self._config.debounce.total_seconds()
        self._screen.say(
            f"{drift.name} is in ALARM, {after:.1f} s after the week's last capture object was "
            f"written; {debounce:g} s of these are the debounce."
        )
        return week

    def _say_what_rang(self) -> None:
        drifts = sum(week.verdict.alarm for week in self._weeks)
        largest = max(
            (f for week in self._weeks for f in week.verdict.features if f.verdict != "drift"),
            key=lambda feature: feature.effect or 0.0,
        )
        self._screen.say(
            f"{len(self._weeks)} weeks so far, {drifts} with drift. The largest effect that was "
            f"judged ok is {largest.effect or 0.0:.4f} ({largest.name}); worth an alarm are "
            f"{self._config.decision.min_effect:g} and more, if significant."
        )
        self._say_messages()

    def _say_messages(self) -> None:
        self._inbox.extend(self._observer.messages())
        self._screen.say(f"Messages that SNS delivered: {len(self._inbox) or 'none'}")
        for message in self._inbox:
            self._screen.say(f"  {message.subject}")
        self._inbox.clear()

    # Drift

    def _show_drift(self, week: Week) -> None:
        for feature in week.verdict.drifted_inputs:
            moved = ", ".join(
                f"{cell.label} {cell.baseline_share:.1%} -> {cell.window_share:.1%}"
                for cell in feature.moved
            )
            self._screen.say(f"{feature.name}: {moved}")
        self._screen.say(
            "What happened: American Airlines and US Airways were merging in 2015. From 1 July on, "
            "no flight in the data has the code US, and AA has about twice its share."
        )
        message = wait_for(
            "the alert about the drift on the SNS topic",
            lambda: self._message("ALARM"),
            seconds=self._plan.alarm_seconds,
            look="Look for errors of the function driftgauge-notify in embedded-aws.log.",
        )
        self._screen.verbatim(f"SNS delivered: {message.subject}", message.text)

    def _message(self, tone: str) -> Message | None:
        """Return the first message since the last chapter whose subject starts with a tone."""
        self._inbox.extend(self._observer.messages())
        return next((m for m in self._inbox if m.subject.startswith(f"{tone}:")), None)

    # Retraining

    def _follow_retraining(self) -> None:
        before = self._pointer()
        execution = wait_for(
            "the alarm to start the state machine",
            lambda: next(iter(self._observer.executions()), None),
            seconds=self._plan.retraining_seconds,
        )
        self._screen.say(f"Execution {execution.name}, started by EventBridge")
        execution, last = self._follow(execution)
        after = self._pointer()
        if execution.status != "SUCCEEDED" or after.model == before.model:
            raise DemoError(
                f"execution {execution.name} ended {execution.status} in {last}, and the champion "
                f"is still {before.model} {execution.error}".rstrip()
            )
        comparison = self._comparison(execution)
        self._screen.say(comparison.reason)
        self._screen.say(
            f"  held back: {comparison.rows:,} flights, {comparison.clusters} "
            f"{comparison.cluster}s later than the training rows. "
            f"Area under the curve {comparison.champion.auc:.3f} -> "
            f"{comparison.challenger.auc:.3f}"
        )
        self._screen.say(
            f"Promoted in one write: {before.model} -> {after.model}, with baseline "
            f"{after.baseline}"
        )

    def _follow(self, execution: Execution) -> tuple[Execution, str]:
        shown = 0
        deadline = time.monotonic() + self._plan.retraining_seconds
        while True:
            execution = self._observer.refresh(execution)
            steps = self._observer.steps(execution)
            for step in steps[shown:]:
                self._screen.say(f"  {step.seconds:6.2f} s  {step.name}")
            shown = len(steps)
            if execution.ended:
                return execution, steps[-1].name
            if time.monotonic() > deadline:
                raise DemoError(
                    f"execution {execution.arn} is still {execution.status} after "
                    f"{self._plan.retraining_seconds:g} s"
                )
            time.sleep(0.1)

    def _pointer(self) -> Current:
        current = self._observer.current()
        if current is None:
            raise DemoError(f"{self._observer.store.current_key} has vanished")
        return current

    def _comparison(self, execution: Execution) -> Comparison:
        store = self._observer.store
        key = store.retraining_key(execution.name, "comparison.json")
        return decode_comparison(store.objects.read(key))

    # The end

    def _finish(self, drifted: Week) -> None:
        self._screen.heading("What is left")
        played = sum(week.seconds for week in self._weeks) / len(self._weeks)
        week = self._config.window.total_seconds()
        rows = sum(week.serving.rows for week in self._weeks)
        self._screen.say(
            f"{rows:,} flights in {len(self._weeks)} weeks. One week played in {played:.1f} s on "
            f"average: 1 : {week / played:,.0f}."
        )
        self._out.mkdir(parents=True, exist_ok=True)
        reports = {}
        for name, window in (("drift", drifted.window), ("last week", self._weeks[-1].window)):
            path = self._out / f"report-{_day(window.start)}.html"
            path.write_bytes(self._observer.report(window))
            reports[f"report, {name}"] = str(path)
        resources = self._observer.resources
        self._screen.facts(
            {
                "store": f"s3://{resources.store_bucket}/{self._config.name}/",
                "captures": f"s3://{resources.capture_bucket}/{self._config.capture.prefix}/",
                "alert topic": resources.topic,
                "state machine": resources.state_machine,
                "dashboard": resources.dashboard,
                **reports,
            }
        )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _worst(verdict: WindowVerdict) -> FeatureVerdict:
    """Return a drifted feature if there is one, else that with the largest effect."""
    return max(verdict.features, key=lambda f: (f.verdict == "drift", f.effect or 0.0))


def _judgement(verdict: WindowVerdict) -> str:
    return "drift" if verdict.alarm else ("too few" if verdict.insufficient else "ok")


def _row(week: Week, alarm: AlarmReading) -> WeekRow:
    worst = _worst(week.verdict)
    return WeekRow(
        week=_day(week.window.start),
        rows=f"{week.verdict.rows:,}",
        feature=worst.name,
        effect="" if worst.effect is None else f"{worst.effect:.4f}",
        p_value="" if worst.adjusted_p_value is None else f"{worst.adjusted_p_value:.2g}",
        verdict=_judgement(week.verdict),
        alarm=alarm.state,
        model=week.serving.model[-8:],
        took=f"{week.seconds:.1f} s",
    )
