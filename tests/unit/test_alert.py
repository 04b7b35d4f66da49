from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from driftgauge.drift.verdict import (
    CellShift,
    FeatureEvidence,
    FeatureVerdict,
    JointTest,
    JointVerdict,
    PairShift,
    PersistentDrift,
    ReferenceVerdict,
    SegmentShift,
    Violation,
    WindowVerdict,
)
from driftgauge.report.alert import (
    Alert,
    AlertLink,
    alert_from_verdicts,
    describe_feature,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "<!channel>",
    "<https://evil.example|click here>",
    "a\r\nBcc: everyone@example.org",
    "\x1b[2Jcleared",
    "\u202eright to left",
    "&lt;already escaped&gt;",
    "`code` *bold* _italic_",
    "x" * 100_000,
    "日本語🚀",
    "\ud800 lone surrogate",
    "",
    "__proto__",
]
START = datetime(2015, 7, 1, tzinfo=UTC)


def feature(name: str = "carrier", **changes: Any) -> FeatureVerdict:
    plain = FeatureVerdict(
        name=name,
        role="input",
        kind="categorical",
        verdict="drift",
        rows=2143,
        missing_share=0.0,
        reason="moved",
        distance=0.441,
        effect=0.438,
        test="chi_squared",
        statistic=900.0,
        p_value=1e-12,
        adjusted_p_value=1e-11,
        moved=(
            CellShift(label="AA", baseline_share=0.142, window_share=0.298),
            CellShift(label="US", baseline_share=0.081, window_share=0.0),
        ),
    )
    return replace(plain, **changes)


def verdict(**changes: Any) -> WindowVerdict:
    plain = WindowVerdict(
        monitor="flights",
        variant="AllTraffic",
        baseline_version="v1",
        window_start=START,
        window_end=datetime(2015, 7, 8, tzinfo=UTC),
        evaluated_at=START,
        rows=2143,
        records=2143,
        features=(feature(), feature("distance", verdict="ok", moved=())),
        violations=(
            Violation(
                feature_name="carrier",
                constraint_check_type="categorical_values_check",
                description="unseen values",
            ),
        ),
        rejected={"not json": 21},
    )
    return replace(plain, **changes)


def alert_about(name: str) -> Alert:
    """An alert in which everything that can come from outside is the same text."""
    return alert_from_verdicts(
        monitor="flights",
        ringing=True,
        reason=name,
        verdicts=[
            verdict(
                features=(
                    feature(
                        name, moved=(CellShift(label=name, baseline_share=0.1, window_share=0.9),)
                    ),
                ),
                violations=(
                    Violation(
                        feature_name=name, constraint_check_type="data_type_check", description=name
                    ),
                ),
                rejected={name: 1},
            )
        ],
        links=[AlertLink(label=name, target=name)],
    )


def slack_texts(message: dict[str, Any]) -> list[str]:
    texts = [message["text"]]
    return texts + [block["text"]["text"] for block in message["blocks"]]


def test_an_alarm_names_the_monitor_the_window_the_worst_columns_and_where_to_look() -> None:
    alert = alert_from_verdicts(
        monitor="flights",
        ringing=True,
        reason="Threshold crossed",
        verdicts=[verdict()],
        links=[AlertLink(label="Report", target="s3://bucket/report.html")],
    )
    email = alert.to_email()
    assert email.subject == "ALARM: flights: drift in carrier, 1 failed check"
    for text in (
        "1 Jul 2015, 00:00 to 8 Jul 2015, 00:00 UTC (7 days)",
        "PSI 0.441",
        "p <0.0001",
        "US 8.1% -> 0%",
        "categorical_values_check",
        "1.0% (21 not json)",
        "s3://bucket/report.html",
        "Threshold crossed",
    ):
        assert text in email.body


def test_a_recovery_says_so_and_admits_what_still_drifts() -> None:
    quiet = verdict(features=(feature(verdict="ok"),), violations=())
    over = alert_from_verdicts(monitor="flights", ringing=False, reason="-", verdicts=[quiet])
    assert over.to_email().subject == "OK: flights: back to normal"
    assert "still shows" not in over.summary
    still = alert_from_verdicts(monitor="flights", ringing=False, reason="-", verdicts=[verdict()])
    assert "still shows drift in carrier" in still.summary


def test_an_alarm_without_any_verdict_still_says_what_cloudwatch_said() -> None:
    alert = alert_from_verdicts(
        monitor="flights", ringing=True, reason="no datapoints for 24 hours", verdicts=[]
    )
    assert alert.to_email().subject == "ALARM: flights: an alarm rings"
    assert "no datapoints for 24 hours" in alert.to_email().body


def test_long_lists_are_cut_and_counted() -> None:
    many = verdict(
        features=tuple(feature(f"f{i}", effect=float(i)) for i in range(40)),
        violations=tuple(
            Violation(feature_name=f"f{i}", constraint_check_type="c", description="d")
            for i in range(40)
        ),
    )
    body = (
        alert_from_verdicts(monitor="flights", ringing=True, reason="-", verdicts=[many])
        .to_email()
        .body
    )
    assert "and 35 drifted columns more" in body
    assert "and 30 failed checks more" in body
    assert body.index("f39 (input)") < body.index("f38 (input)")


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_subjects_are_one_short_line_of_ascii_whatever_a_column_is_called(name: str) -> None:
    for alert in (alert_about(name), Alert(monitor="m", tone="notice", title=name, summary=name)):
        subject = alert.to_email().subject
        assert len(subject) < 100
        assert subject.isascii()
        assert subject.isprintable()


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_mails_hold_no_control_character_whatever_a_column_is_called(name: str) -> None:
    body = alert_about(name).to_email().body
    assert all(line.isprintable() for line in body.split("\n"))
    assert not any(line.startswith("Bcc:") for line in body.split("\n"))
    body.encode("utf-8")


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_slack_gets_no_markup_from_outside_and_no_message_it_refuses(name: str) -> None:
    message = alert_about(name).to_slack()
    json.dumps(message).encode("utf-8")
    assert len(message["blocks"]) <= 50
    for block in message["blocks"]:
        text = block["text"]
        assert 0 < len(text["text"]) <= (150 if block["type"] == "header" else 3000)
        if text["type"] == "mrkdwn":
            assert text["verbatim"] is True
            assert "<" not in text["text"]
            assert ">" not in text["text"].replace("-&gt;", "")
    assert "<" not in message["text"]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_chat_messages_follow_the_custom_schema(name: str) -> None:
    message = alert_about(name).to_chat()
    json.dumps(message).encode("utf-8")
    assert (message["version"], message["source"]) == ("1.0", "custom")
    assert message["content"]["textType"] == "client-markdown"
    assert "<" not in message["content"]["title"] + message["content"]["description"]
    assert len(message["content"]["description"]) <= 8000
    assert message["metadata"]["threadId"] == "flights"


def test_only_https_addresses_become_links_in_slack() -> None:
    alert = Alert(
        monitor="m",
        tone="notice",
        title="t",
        summary="s",
        links=(
            AlertLink(label="page", target="https://console.aws.amazon.com/x?a=1&b=2"),
            AlertLink(label="file", target="s3://bucket/key"),
            AlertLink(label="bad", target="javascript:alert(1)"),
        ),
    )
    text = slack_texts(alert.to_slack())[-1]
    assert "<https://console.aws.amazon.com/x?a=1&amp;b=2|page>" in text
    assert "file: s3://bucket/key" in text
    assert "bad: javascript:alert(1)" in text


@pytest.mark.parametrize("length", range(590, 610))
def test_cutting_never_leaves_half_an_escape_sequence(length: int) -> None:
    alert = Alert(monitor="m", tone="notice", title="t", summary="&" * length)
    text = slack_texts(alert.to_slack())[2]
    assert len(text) <= 3000
    assert text.replace("&amp;", "") in ("", "…")
    assert text.count("&amp;") >= min(length, 599)


def test_steps_keep_their_commands_whole() -> None:
    # A task token of Step Functions has up to 2,048 characters.
    steps = tuple(f"{verb} '{'A' * 2048}'" for verb in ("approve", "reject"))
    alert = Alert(monitor="m", tone="question", title="t", summary="s", steps=steps)
    assert all(step in alert.to_email().body for step in steps)
    assert slack_texts(alert.to_slack())[-2:] == list(steps)
    assert alert.to_chat()["content"]["nextSteps"] == list(steps)


def test_a_feature_without_distance_is_described_all_the_same() -> None:
    line = describe_feature(feature(distance=None, effect=None, adjusted_p_value=None, moved=()))
    assert line == "carrier (input): PSI \u2013, effect \u2013, p \u2013, 2,143 rows"


def lasting(name: str = "distance", **changes: Any) -> PersistentDrift:
    lead = FeatureEvidence(
        name=name,
        aspect="location",
        value=900.0,
        shift=0.08,
        since=datetime(2015, 5, 6, tzinfo=UTC),
    )
    plain = PersistentDrift(
        verdict="drift", value=300.0, threshold=52.0, windows=14, features=(lead,)
    )
    return replace(plain, **changes)


def joint(reason: str = "The correlation of a and b went from 0.02 to 0.61.") -> JointVerdict:
    test = JointTest(
        name="association", statistic=9.0, effect=0.59, p_value=1e-9, adjusted_p_value=1e-9
    )
    return JointVerdict(
        verdict="drift",
        rows=2143,
        reason=reason,
        tests=(test,),
        pairs=(PairShift(first="a", second="b", baseline=0.02, window=0.61),),
    )


def ringing(*verdicts: WindowVerdict) -> Alert:
    return alert_from_verdicts(monitor="flights", ringing=True, reason="-", verdicts=verdicts)


def test_an_alert_leads_with_the_root_cause() -> None:
    segment = SegmentShift(
        column="origin", category="JFK", baseline_share=0.1, window_share=0.1, inside=0.2,
        outside=0.01,
    )  # fmt: skip
    alert = ringing(
        verdict(
            features=(feature(segments=(segment,)), feature("late", role="output", moved=())),
            persistent=lasting("carrier"),
        )
    )
    lines = alert.to_email().body.split("\n")
    first = lines.index("Drifted, furthest first") + 1
    assert lines[first].startswith("  - carrier (input): PSI 0.441, effect 0.438")
    assert lines[first + 1] == (
        "  - carrier: since 6 May 2015, 00:00 UTC, 63 days before the end of this window"
    )
    assert lines[first + 2].startswith(
        "  - carrier: within origin = JFK (10.0% of the rows) the share that moved furthest went "
        "+20.0 pp"
    )


def test_columns_are_told_by_importance_where_it_is_known() -> None:
    far, weighty = feature("far", importance=0.1), feature("weighty", effect=0.1, importance=0.9)
    body = ringing(verdict(features=(far, weighty))).to_email().body
    assert "Drifted, by effect times importance" in body
    assert body.index("weighty (input)") < body.index("far (input)")


def test_a_drift_that_only_lasts_is_told_with_its_beginning() -> None:
    alert = ringing(verdict(features=(feature(verdict="ok"),), violations=(), persistent=lasting()))
    assert alert.title == "lasting drift in distance since 6 May 2015, 00:00 UTC"
    assert "distance: values moved up (+0.08 sd of their ranks), since" in alert.to_email().body


def test_columns_that_go_together_otherwise_are_told_with_the_pair() -> None:
    alert = ringing(verdict(features=(feature(verdict="ok"),), violations=(), joint=joint()))
    assert alert.title == "columns that go together otherwise"
    assert "The correlation of a and b went from 0.02 to 0.61." in alert.to_email().body


def test_seasonal_columns_are_told_as_no_alarm_and_never_in_the_title() -> None:
    season = ReferenceVerdict(
        name="1 x 52w before", kind="season", windows=1, rows=2000, features=()
    )
    calm = verdict(
        features=(feature("distance", verdict="seasonal"),),
        violations=(),
        references=(season,),
        persistent=lasting(verdict="seasonal"),
    )
    alert = ringing(calm)
    assert alert.title == "an alarm rings"
    assert (
        "distance drifts from the baseline, not from 1 x 52w before: seasonal, no alarm."
        in alert.to_email().body
    )


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_channel_breaks_whatever_the_evidence_holds(name: str) -> None:
    segment = SegmentShift(
        column=name, category=name, baseline_share=0.1, window_share=0.1, inside=0.2, outside=0.0
    )
    one = verdict(
        features=(
            *(feature(f"{name}{i}", segments=(segment,) * 3, importance=0.1) for i in range(9)),
            feature(f"{name} season", verdict="seasonal"),
        ),
        persistent=lasting(name, features=(replace(lasting(name).features[0], aspect=name),)),
        joint=joint(name),
        references=(ReferenceVerdict(name=name, kind="season", windows=1, rows=1, features=()),),
    )
    alert = ringing(*[one] * 12)
    email = alert.to_email()
    assert len(email.subject) < 100 and email.subject.isascii() and email.subject.isprintable()
    assert all(line.isprintable() for line in email.body.split("\n"))
    slack = alert.to_slack()
    assert len(slack["blocks"]) <= 50
    # The header is plain text, which Slack does not interpret.
    for text in slack_texts(slack)[2:]:
        assert 0 < len(text) <= 3000 and "<" not in text
    chat = alert.to_chat()["content"]
    assert len(chat["description"]) <= 8000 and "<" not in chat["title"] + chat["description"]
