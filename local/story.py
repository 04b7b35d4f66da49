"""The story of data drift: two airlines merge, and a column's distribution moves.

``make demo`` tells it. What is played are the US flights of 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from driftgauge.drift.verdict import FeatureVerdict, WindowVerdict
from driftgauge.training.dataset import encode_baseline_rows
from driftgauge.training.logistic import train_logistic
from driftgauge.windows import Window
from local.flights import Flights, utc
from local.observation import AlarmReading, DemoError
from local.screen import WeekColumn, WeekTable
from local.telling import Telling, Week, day
from local.traffic import served_rows

TRAINED_ON = Window(utc(2015, 1, 1), utc(2015, 4, 1))
MERGER = utc(2015, 7, 1)
COLUMNS = (
    WeekColumn("week from", 10),
    WeekColumn("rows", 5, numeric=True),
    WeekColumn("furthest feature", 16),
    WeekColumn("effect", 6, numeric=True),
    WeekColumn("p (Holm)", 8, numeric=True),
    WeekColumn("verdict", 7),
    WeekColumn("alarm", 5),
    WeekColumn("model", 8),
    WeekColumn("took", 6, numeric=True),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which weeks are played."""

    first: datetime
    weeks_after: int


FULL = Plan(first=utc(2015, 4, 1), weeks_after=8)
# The retraining looks back 60 days, so the weeks from 6 May on are needed in any case.
FAST = Plan(first=utc(2015, 5, 6), weeks_after=2)


class Story:
    """The narrated run against one deployment."""

    def __init__(self, telling: Telling, *, flights: Flights, plan: Plan) -> None:
        self._telling = telling
        self._screen = telling.screen
        self._observer = telling.observer
        self._flights = flights
        self._plan = plan
        self._weeks: list[Week] = []

    def tell(self) -> None:
        """Play the story from the first baseline to the end of the last week."""
        config = self._telling.config
        self._make_champion()
        quiet = config.grid.between(self._plan.first, MERGER)
        self._screen.heading("The first week")
        self._play_first_week(quiet[0])
        self._screen.heading(f"{len(quiet) - 1} more weeks before July")
        self._play(quiet[1:])
        self._say_what_rang()
        self._screen.heading("The week from 1 July")
        drifted = self._play_until_alarm(config.grid.window_of(MERGER))
        self._show_drift(drifted)
        self._screen.heading("The retraining that the alarm started")
        self._telling.follow_retraining()
        after = config.grid.between(
            drifted.window.end, drifted.window.end + self._plan.weeks_after * config.window
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
        prediction = self._telling.config.prediction or "prediction"
        table = encode_baseline_rows(rows, prediction=prediction, scores=rows.scores)
        current = self._telling.make_champion("january-to-march", table, model)
        self._screen.say(
            f"  {training.rows:,} flights of January to March, {training.late.mean():.1%} of them "
            f"more than 15 minutes late. Baseline and champion: {current.baseline}"
        )

    # Weeks

    def _play_first_week(self, window: Window) -> None:
        """Play a week of traffic after none at all, for which the monitor rings, too."""
        self._telling.await_first_silence()
        self._play([window], await_silence=True)
        self._telling.await_message("OK", "the message on the SNS topic that all is well")
        self._telling.say_messages()

    def _play(self, windows: list[Window], *, await_silence: bool = False) -> None:
        table = self._screen.weeks(len(windows), COLUMNS)
        with table.showing():
            for window in windows:
                week = self._play_week(table, window)
                if week.verdict.alarm:
                    self._add(table, week)
                    raise DemoError(
                        f"the week from {day(window.start)} should be quiet, but is judged "
                        f"{_judgement(week.verdict)}: {_worst(week.verdict).reason}"
                    )
                if await_silence:
                    await_silence = False
                    table.doing("waiting for the alarm to fall silent")
                    self._telling.wait_for_alarms("OK", "feature-drift")
                self._add(table, week)
            table.doing("done")

    def _play_week(self, table: WeekTable, window: Window) -> Week:
        table.doing(f"week from {day(window.start)}")
        week = self._telling.play_week(window, self._flights.between(window.start, window.end))
        self._weeks.append(week)
        return week

    def _add(self, table: WeekTable, week: Week) -> None:
        self._telling.collect_messages()
        table.add(_row(week, self._observer.alarm()))

    def _play_until_alarm(self, window: Window) -> Week:
        table = self._screen.weeks(1, COLUMNS)
        with table.showing():
            week = self._play_week(table, window)
            table.doing("waiting for the alarm")
            drift = self._telling.wait_for_alarms("ALARM", "feature-drift")
            self._add(table, week)
            table.doing("done")
        after = (drift.since - week.serving.last_written).total_seconds()
        debounce = self._telling.config.debounce.total_seconds()
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
            f"{self._telling.config.decision.min_effect:g} and more, if significant."
        )
        self._telling.say_messages()

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
        message = self._telling.await_message("ALARM", "the alert about the drift on the SNS topic")
        self._screen.verbatim(f"SNS delivered: {message.subject}", message.text)

    # The end

    def _finish(self, drifted: Week) -> None:
        self._screen.heading("What is left")
        self._telling.say_speed(self._weeks)
        self._telling.keep_reports({"drift": drifted.window, "last week": self._weeks[-1].window})


def _worst(verdict: WindowVerdict) -> FeatureVerdict:
    """Return a drifted feature if there is one, else that with the largest effect."""
    return max(verdict.features, key=lambda f: (f.verdict == "drift", f.effect or 0.0))


def _judgement(verdict: WindowVerdict) -> str:
    return "drift" if verdict.alarm else ("too few" if verdict.insufficient else "ok")


def _row(week: Week, alarm: AlarmReading) -> tuple[str, ...]:
    worst = _worst(week.verdict)
    return (
        day(week.window.start),
        f"{week.verdict.rows:,}",
        worst.name,
        "" if worst.effect is None else f"{worst.effect:.4f}",
        "" if worst.adjusted_p_value is None else f"{worst.adjusted_p_value:.2g}",
        _judgement(week.verdict),
        alarm.state,
        week.serving.model[-8:],
        f"{week.seconds:.1f} s",
    )
