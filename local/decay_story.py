"""The story of concept drift: the columns stay as they are, what they mean for delays does not.

``make demo SCENARIO=decay`` tells it. What is played are flights that left New York in 2013, with
a model that was trained on January and February.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from driftgauge.outcome_verdict import OutcomesVerdict
from driftgauge.training.dataset import encode_baseline_rows
from driftgauge.training.logistic import LogisticModel, train_logistic
from driftgauge.windows import Window
from local.departures import Departures
from local.flights import utc
from local.observation import DemoError, wait_for
from local.screen import WeekColumn, WeekTable
from local.telling import Telling, Week, day
from local.traffic import served_rows

TRAINED_ON = Window(utc(2013, 1, 1), utc(2013, 3, 1))
THRESHOLD = 0.5
COLUMNS = (
    WeekColumn("week from", 10),
    WeekColumn("rows", 5, numeric=True),
    WeekColumn("largest effect", 22),
    WeekColumn("labelled", 8, numeric=True),
    WeekColumn("accuracy", 8, numeric=True),
    WeekColumn("estimate", 8, numeric=True),
    WeekColumn("quality", 8),
    WeekColumn("alarm", 5),
    WeekColumn("took", 6, numeric=True),
)
BESIDE = (
    WeekColumn("week from", 10),
    WeekColumn("late", 6, numeric=True),
    WeekColumn("first model", 11, numeric=True),
    WeekColumn("retrained", 9, numeric=True),
    WeekColumn("log loss", 8, numeric=True),
    WeekColumn("retrained", 9, numeric=True),
    WeekColumn("DPPL", 6, numeric=True),
    WeekColumn("retrained", 9, numeric=True),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which weeks are played."""

    first: datetime
    last: datetime
    weeks_after: int


# How much weeks vary is learnt from the weeks since March: who begins later takes April's bad
# weather for a change of what the columns mean.
FULL = Plan(first=utc(2013, 3, 6), last=utc(2013, 8, 7), weeks_after=6)
FAST = Plan(first=utc(2013, 3, 6), last=utc(2013, 8, 7), weeks_after=2)


@dataclass(frozen=True, kw_only=True)
class LabelledWeek:
    """A week that was played, and what its labels say so far."""

    week: Week
    outcomes: OutcomesVerdict


class DecayStory:
    """The narrated run against one deployment."""

    def __init__(self, telling: Telling, *, departures: Departures, plan: Plan) -> None:
        self._telling = telling
        self._screen = telling.screen
        self._observer = telling.observer
        self._departures = departures
        self._plan = plan
        self._weeks: list[LabelledWeek] = []

    def tell(self) -> None:
        """Play the story from the first baseline to the end of the last week."""
        config = self._telling.config
        first_model = self._make_champion()
        self._telling.await_first_silence()
        self._screen.heading("Weeks with the first model, until an alarm about its quality rings")
        decayed = self._play_until_decay(config.grid.between(self._plan.first, self._plan.last))
        self._show_decay(decayed)
        self._screen.heading("The retraining that the alarm started")
        self._telling.follow_retraining()
        retrained = self._telling.champion()
        end = self._weeks[-1].week.window.end
        after = config.grid.between(end, end + self._plan.weeks_after * config.window)
        self._screen.heading(f"{len(after)} weeks with the new model, judged against its baseline")
        self._play_after(after)
        self._screen.heading("The same weeks with and without the retraining")
        self._compare(after, first_model, retrained)
        self._finish(decayed)

    # The first champion

    def _make_champion(self) -> LogisticModel:
        training = self._departures.between(TRAINED_ON.start, TRAINED_ON.end)
        model = train_logistic(
            training.columns(),
            training.late.astype(float),
            version="january-and-february",
            created=TRAINED_ON.end,
        )
        rows = served_rows(training, model)
        config = self._telling.config
        table = encode_baseline_rows(
            rows,
            prediction=config.prediction or "prediction",
            label=config.label or "label",
            scores=rows.scores,
        )
        current = self._telling.make_champion("january-and-february", table, model)
        self._screen.say(
            f"  {training.rows:,} flights of January and February, {training.late.mean():.1%} of "
            f"them more than 15 minutes late. Baseline and champion: {current.baseline}"
        )
        self._screen.say(
            f"  The model is right for {_accuracy(model, training):.1%} of them, "
            f"and expects to be right for {_expected(model, training):.1%}."
        )
        return model

    # Weeks

    def _play_until_decay(self, windows: list[Window]) -> LabelledWeek:
        """Play weeks until one is judged to be of lower quality, with all its labels at last."""
        table = self._screen.weeks(len(windows), COLUMNS)
        decayed: LabelledWeek | None = None
        with table.showing():
            for window in windows:
                played = self._play_week(table, window)
                decayed = next(filter(_is_decayed, self._with_later_labels()), None)
                if decayed is not None:
                    table.doing("waiting for the alarm")
                    rung = self._telling.wait_for_alarms("ALARM", "quality-decay", "concept-drift")
                    self._add(table, played)
                    table.doing("done")
                    break
                self._add(table, played)
        if decayed is None:
            raise DemoError(
                f"no week until {day(self._plan.last)} was judged to be of lower quality"
            )
        effect = max(f.effect or 0.0 for w in self._weeks for f in w.week.verdict.features)
        drifted = sum(bool(w.week.verdict.drifted_inputs) for w in self._weeks)
        self._screen.say(f"{rung.name} is in ALARM.")
        self._screen.say(
            f"In {len(self._weeks)} weeks the largest effect of any column was {effect:.3f}; the "
            f"timetable drifted in {drifted} of them, which tells people and retrains nothing: "
            "data drift alone is no reason to."
        )
        return decayed

    def _with_later_labels(self) -> list[LabelledWeek]:
        """Return the last two weeks, the older one with the labels that came in the newer one."""
        newest = self._weeks[-1]
        if len(self._weeks) == 1:
            return [newest]
        before = self._weeks[-2].week
        outcomes = self._await_outcomes(before.window, until=newest.week.window.end)
        self._weeks[-2] = LabelledWeek(week=before, outcomes=outcomes)
        return self._weeks[-2:]

    def _play_after(self, windows: list[Window]) -> None:
        table = self._screen.weeks(len(windows), COLUMNS)
        with table.showing():
            for window in windows:
                self._add(table, self._play_week(table, window))
            table.doing("done")
        self._telling.say_messages()

    def _play_week(self, table: WeekTable, window: Window) -> LabelledWeek:
        table.doing(f"week from {day(window.start)}")
        traffic = self._departures.between(window.start, window.end)
        week = self._telling.play_week(window, traffic)
        outcomes = self._await_outcomes(window, until=window.end)
        played = LabelledWeek(week=week, outcomes=outcomes)
        self._weeks.append(played)
        return played

    def _await_outcomes(self, window: Window, *, until: datetime) -> OutcomesVerdict:
        """Wait for the verdict with all labels that were collected before a moment."""
        traffic = self._departures.between(window.start, window.end)
        known = int((traffic.labelled_at() < until.timestamp()).sum())
        return wait_for(
            f"a verdict on the week from {day(window.start)} with {known} labels",
            lambda: self._observer.outcomes(window, labelled=known),
            seconds=self._telling.patience.verdict,
            look="Look for errors of the functions labels and evaluate in embedded-aws.log.",
        )

    def _add(self, table: WeekTable, played: LabelledWeek) -> None:
        self._telling.collect_messages()
        table.add(_row(played, self._observer.alarm().state))

    # Decay

    def _show_decay(self, played: LabelledWeek) -> None:
        quality = played.outcomes.quality
        self._screen.say(f"The week from {day(played.week.window.start)}:")
        if quality is not None:
            self._screen.say(quality.reason)
            for gap in quality.gaps:
                if gap.verdict == "concept_drift":
                    self._screen.say(f"{gap.name}: {gap.reason}")
        message = self._telling.await_message(
            "ALARM", "the alert about the decay on the SNS topic", about="decayed"
        )
        self._screen.verbatim(f"SNS delivered: {message.subject}", message.text)

    def _compare(
        self, windows: list[Window], first: LogisticModel, retrained: LogisticModel
    ) -> None:
        """Score the weeks with both models, here and now, beside what was served."""
        table = self._screen.weeks(len(windows), BESIDE)
        with table.showing():
            for window in windows:
                week = self._departures.between(window.start, window.end)
                models = (first, retrained)
                accuracies = [f"{_accuracy(model, week):.3f}" for model in models]
                losses = [f"{_log_loss(model, week):.3f}" for model in models]
                gaps = [f"{_difference_of_shares(model, week):+.3f}" for model in models]
                late = f"{week.late.mean():.1%}"
                table.add((day(window.start), late, *accuracies, *losses, *gaps))
            table.doing("done")
        self._screen.say(
            "DPPL: share of flights predicted to be on time, mainline less regional carriers."
        )

    # The end

    def _finish(self, decayed: LabelledWeek) -> None:
        self._screen.heading("What is left")
        self._telling.say_speed([played.week for played in self._weeks])
        self._telling.keep_reports(
            {"decay": decayed.week.window, "last week": self._weeks[-1].week.window}
        )


def _is_decayed(played: LabelledWeek) -> bool:
    return played.outcomes.quality_decay or played.outcomes.concept_drift


def _scores(model: LogisticModel, departures: Departures) -> np.ndarray:
    return model.score(departures.columns(), rows=departures.rows)


def _accuracy(model: LogisticModel, departures: Departures) -> float:
    return float(((_scores(model, departures) >= THRESHOLD) == departures.late).mean())


def _expected(model: LogisticModel, departures: Departures) -> float:
    scores = _scores(model, departures)
    return float(np.maximum(scores, 1.0 - scores).mean())


def _log_loss(model: LogisticModel, departures: Departures) -> float:
    scores = _scores(model, departures)
    return float(-np.log(np.where(departures.late, scores, 1.0 - scores)).mean())


def _difference_of_shares(model: LogisticModel, departures: Departures) -> float:
    on_time = _scores(model, departures) < THRESHOLD
    regional = departures.regional
    return float(on_time[~regional].mean() - on_time[regional].mean())


def _row(played: LabelledWeek, alarm: str) -> tuple[str, ...]:
    week, outcomes = played.week, played.outcomes
    worst = max(week.verdict.features, key=lambda feature: feature.effect or 0.0)
    quality = outcomes.quality
    accuracy = estimate = ""
    if quality is not None:
        realised = next((m.value for m in quality.metrics if m.name == "accuracy"), None)
        accuracy = "" if realised is None else f"{realised:.3f}"
        estimated = quality.estimates.get("accuracy")
        estimate = "" if estimated is None else f"{estimated.value:.3f}"
    judged = "decay" if outcomes.quality_decay else "drift" if outcomes.concept_drift else "ok"
    return (
        day(week.window.start),
        f"{week.verdict.rows:,}",
        f"{worst.name} {worst.effect or 0.0:.3f}",
        f"{outcomes.labels.coverage:.1%}",
        accuracy,
        estimate,
        judged if quality is not None and quality.verdict != "labels_immature" else "immature",
        alarm,
        f"{week.seconds:.1f} s",
    )
