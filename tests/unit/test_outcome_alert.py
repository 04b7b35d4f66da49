"""Alerts on outcomes: what decayed, by how much, since when, where, with which labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from driftgauge.outcome_verdict import OutcomesVerdict
from driftgauge.report.alert import Alert, alert_from_verdicts
from tests.unit.outcome_weeks import (
    DAY,
    flights,
    judged_attributions,
    judged_quality,
    season,
    week_of,
)
from tests.unit.test_alert import slack_texts, verdict
from tests.unit.test_report import HOSTILE, WEEK

START = WEEK.start


def about(*outcomes: OutcomesVerdict, history: list[OutcomesVerdict] | None = None) -> Alert:
    return alert_from_verdicts(
        monitor="flight-delays",
        ringing=True,
        reason="threshold crossed",
        verdicts=(),
        outcomes=outcomes,
        outcome_history=history or [],
    )


@pytest.fixture(scope="module")
def weeks() -> list[OutcomesVerdict]:
    return season(
        START, decays=(0.0, 0.0, 0.8, 0.85, 0.9), rows=4_000, bias=(0.0, 0.0, 1.0, 1.6, 1.6)
    )


def test_a_decay_is_told_with_size_beginning_segment_and_labels(
    weeks: list[OutcomesVerdict],
) -> None:
    alert = about(weeks[-1], history=weeks[:-1])
    mail = alert.to_email()
    assert mail.subject.startswith("ALARM: flight-delays: accuracy decayed from 0.79")
    assert "concept drift" in alert.title and "bias drift of carrier WN" in alert.title
    for text in (
        "Quality with labels, variant AllTraffic, window 1 Jul 2015, 00:00 to 8 Jul 2015, 00:00",
        "93.0% of the predictions have a label (94.0% usually have at this age)",
        "median delay of a label",
        "17 Jun 2015, 00:00 UTC, 21 days before the end of this window",
        "estimated without labels",
        "- Accuracy 0.",
        "Segments that decayed",
        "carrier = WN: ",
        "Concept drift: labels contradict the scores",
        "the scores promise 0.",
        "Bias drift",
        "carrier WN: DPPL 0.",
    ):
        assert text in mail.body, text


def test_slack_gets_the_same_evidence(weeks: list[OutcomesVerdict]) -> None:
    message = about(weeks[-1], history=weeks[:-1]).to_slack()
    text = "\n".join(slack_texts(message))
    assert "decayed since: 17 Jun 2015, 00:00 UTC" in text
    assert "• Accuracy 0." in text and "labels: 93.0% of the predictions" in text


def test_good_quality_beside_a_drift_is_told_as_such() -> None:
    calm = week_of(START, judged_quality(flights(3_000, seed=200), flights(6_000, seed=1)))
    alert = alert_from_verdicts(
        monitor="m", ringing=True, reason="r", verdicts=[verdict()], outcomes=[calm]
    )
    assert "decay" not in alert.title and alert.title.startswith("drift in")
    body = alert.to_email().body
    assert "accuracy 0.812, baseline 0.795" in body and "decayed since" not in body


def test_labels_that_are_not_mature_say_nothing_of_quality() -> None:
    immature = judged_quality(
        flights(2_000, seed=3, decay=1.0), flights(6_000, seed=1), usual_coverage=2.0
    )
    alert = about(week_of(START, immature))
    assert (alert.title, alert.sections) == ("an alarm rings", ())


def test_an_attribution_drift_is_told_with_what_moved() -> None:
    one = week_of(START, None, attributions=(judged_attributions(0.3, 0.6, 1.2, 0.3, 0.2, 0.1),))
    alert = about(one)
    assert alert.title == "attribution drift"
    (section,) = alert.sections
    assert section.heading.startswith("Attribution drift, variant AllTraffic, window 1 Jul 2015")
    assert "carrier from 17.3% to 45.1%" in section.lines[0]
    assert section.lines[1].startswith("late: NDCG 0.83")
    assert section.lines[1].endswith("% of it moved, 500 explained rows")


def test_another_variant_does_not_date_a_decay(weeks: list[OutcomesVerdict]) -> None:
    other = [replace(week, variant="challenger") for week in weeks[:-1]]
    body = about(weeks[-1], history=other).to_email().body
    assert "1 Jul 2015, 00:00 UTC: this window is the first" in body


def test_a_recovery_admits_what_labels_still_show(weeks: list[OutcomesVerdict]) -> None:
    alert = alert_from_verdicts(
        monitor="m", ringing=False, reason="r", verdicts=(), outcomes=[weeks[-1]]
    )
    assert alert.title == "back to normal"
    assert "The newest windows still show accuracy decayed from" in alert.summary


@pytest.mark.parametrize("name", HOSTILE)
def test_no_channel_breaks_whatever_columns_and_categories_are_called(name: str) -> None:
    names = ("ok", name)
    quality = judged_quality(
        flights(5_000, seed=5, names=names, segment_decay=2.0), flights(6_000, seed=1, names=names)
    )
    quality = replace(
        quality, segments=tuple(replace(s, column=name) for s in quality.segments * 30)
    )
    one = judged_attributions(0.3, 0.6, 1.2, 0.3, 0.2, 0.1)
    one = replace(one, label=name, features=tuple(replace(f, name=name) for f in one.features))
    alert = about(
        week_of(START, quality, attributions=(one,), variant=name),
        history=[week_of(START - 7 * DAY, quality, variant=name)],
    )
    mail = alert.to_email()
    assert mail.subject.isascii() and len(mail.subject) < 100 and mail.subject.isprintable()
    assert all(line.isprintable() for line in mail.body.splitlines())
    for text in slack_texts(alert.to_slack()):
        assert "<" not in text and len(text) <= 3_000
    assert len(alert.to_chat()["content"]["description"]) <= 8_000
