"""Alerts: one model of what people are told, and how each channel says it.

An ``Alert`` holds plain text. Column names, categories and failure causes in it come from
untrusted payloads, so every serialiser escapes for its own channel and cuts what is too long.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from driftgauge.drift.verdict import FeatureVerdict, WindowVerdict
from driftgauge.report import wording
from driftgauge.report.cause import (
    Cause,
    aspect_text,
    causes_of,
    joint_names,
    joint_text,
    lasting,
    seasonal_lines,
    segment_lines,
    since_text,
)
from driftgauge.report.markup import printable, shorten
from driftgauge.report.outcome_alert import outcome_findings, outcome_parts
from driftgauge.report.summary import evidence_text

if TYPE_CHECKING:
    from driftgauge.outcome_verdict import OutcomesVerdict

Tone = Literal["alarm", "recovery", "notice", "question", "failure"]

# SNS refuses subjects of 100 characters and more, control characters and anything but ASCII.
_SUBJECT_LIMIT = 99
# Slack's limits for a header block, a text object and the blocks of a message.
_SLACK_HEADER_LIMIT = 150
_SLACK_TEXT_LIMIT = 3000
_SLACK_BLOCKS = 50
_CHAT_TEXT_LIMIT = 8000
_NAME_LIMIT = 80
_WORST = 5
_CHECKS = 10
_MARK = {
    "alarm": "ALARM",
    "recovery": "OK",
    "notice": "INFO",
    "question": "APPROVAL",
    "failure": "FAILED",
}
_EMOJI = {
    "alarm": ":rotating_light:",
    "recovery": ":white_check_mark:",
    "notice": ":information_source:",
    "question": ":raising_hand:",
    "failure": ":x:",
}


@dataclass(frozen=True, kw_only=True)
class AlertLink:
    """A place to look: a web page, an S3 URI, or a query to paste."""

    label: str
    target: str


@dataclass(frozen=True, kw_only=True)
class AlertSection:
    """A heading with facts (name and value) and lines of detail."""

    heading: str
    facts: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Email:
    """A plain-text message. ``subject`` is one line of ASCII of fewer than 100 characters."""

    subject: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Alert:
    """What people are told about one monitor, before any channel's markup.

    Attributes
    ----------
    monitor : str
        The monitor's name.
    tone : {"alarm", "recovery", "notice", "question", "failure"}
        What kind of message it is.
    title : str
        What happened, in one line, without the monitor's name.
    summary : str
        The same in a sentence or two.
    sections : tuple of AlertSection
        The evidence.
    links : tuple of AlertLink
        Where to look.
    steps : tuple of str
        What to do next; may hold commands to paste.
    """

    monitor: str
    tone: Tone
    title: str
    summary: str
    sections: tuple[AlertSection, ...] = ()
    links: tuple[AlertLink, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The first line in every channel."""
        return f"{_MARK[self.tone]}: {printable(self.monitor)}: {printable(self.title)}"

    def to_email(self) -> Email:
        """Return the message as plain text, for SNS e-mail subscriptions.

        Examples
        --------
        >>> alert = Alert(monitor="churn", tone="notice", title="retraining started", summary="-")
        >>> alert.to_email().subject
        'INFO: churn: retraining started'
        """
        ascii_line = self.headline.encode("ascii", "replace").decode("ascii")
        blocks = [self.headline, textwrap.fill(printable(self.summary), width=78)]
        for section in self.sections:
            lines = [printable(section.heading)]
            width = max((len(name) for name, _ in section.facts), default=0)
            lines += [
                f"  {printable(name):<{width}}  {printable(value)}" for name, value in section.facts
            ]
            lines += [f"  - {printable(line)}" for line in section.lines]
            blocks.append("\n".join(lines))
        if self.links:
            blocks.append(
                "\n".join(
                    [
                        "Where to look",
                        *(f"  {printable(x.label)}: {printable(x.target)}" for x in self.links),
                    ]
                )
            )
        if self.steps:
            blocks.append("\n".join(["What to do", *(f"  {printable(s)}" for s in self.steps)]))
        return Email(subject=shorten_ascii(ascii_line), body="\n\n".join(blocks) + "\n")

    def to_slack(self) -> dict[str, Any]:
        """Return a Block Kit message, for an incoming webhook."""
        header = shorten(f"{_EMOJI[self.tone]} {self.headline}", _SLACK_HEADER_LIMIT)
        blocks: list[dict[str, Any]] = [
            {"type": "header", "text": {"type": "plain_text", "text": header, "emoji": True}},
            _slack_section(escape_slack(self.summary)),
        ]
        for section in self.sections:
            lines = [f"*{escape_slack(section.heading)}*"]
            lines += [f"{escape_slack(n)}: {escape_slack(v)}" for n, v in section.facts]
            lines += [f"• {escape_slack(line)}" for line in section.lines]
            blocks.append(_slack_section("\n".join(lines)))
        if self.links:
            blocks.append(_slack_section("\n".join(_slack_link(link) for link in self.links)))
        blocks += [_slack_section(escape_slack(step)) for step in self.steps]
        # `text` is what notifications and screen readers get.
        return {"text": escape_slack(self.headline), "blocks": blocks[:_SLACK_BLOCKS]}

    def to_chat(self) -> dict[str, Any]:
        """Return the custom notification of Amazon Q Developer in chat applications.

        Anything on its topic that is neither an AWS service's message nor of this schema is
        dropped without a trace.
        """
        paragraphs = [escape_slack(self.summary)]
        for section in self.sections:
            lines = [f"*{escape_slack(section.heading)}*"]
            lines += [f"{escape_slack(n)}: {escape_slack(v)}" for n, v in section.facts]
            lines += [f"- {escape_slack(line)}" for line in section.lines]
            paragraphs.append("\n".join(lines))
        paragraphs += [f"{escape_slack(x.label)}: {escape_slack(x.target)}" for x in self.links]
        content: dict[str, Any] = {
            "textType": "client-markdown",
            "title": shorten(f"{_EMOJI[self.tone]} {escape_slack(self.headline)}", 250),
            "description": _cut_lines("\n\n".join(paragraphs), _CHAT_TEXT_LIMIT),
        }
        if self.steps:
            content["nextSteps"] = [escape_slack(step) for step in self.steps]
        return {
            "version": "1.0",
            "source": "custom",
            "content": content,
            # One thread per monitor.
            "metadata": {"threadId": self.monitor, "summary": shorten(self.headline, 200)},
        }


def shorten_ascii(text: str) -> str:
    """Cut one line of ASCII to what SNS accepts as a subject.

    Examples
    --------
    >>> len(shorten_ascii("x" * 500)), shorten_ascii("short")
    (99, 'short')
    """
    return text if len(text) <= _SUBJECT_LIMIT else text[: _SUBJECT_LIMIT - 3] + "..."


def escape_slack(text: str) -> str:
    """Escape text for Slack: no mention, link or control sequence survives.

    Source: Slack, "Formatting text for app surfaces": ``&``, ``<`` and ``>`` are the control
    characters.

    Examples
    --------
    >>> escape_slack("<!channel> & <https://example.org|here>")
    '&lt;!channel&gt; &amp; &lt;https://example.org|here&gt;'
    """
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def alert_from_verdicts(
    *,
    monitor: str,
    ringing: bool,
    reason: str,
    verdicts: Sequence[WindowVerdict],
    links: Sequence[AlertLink] = (),
    outcomes: Sequence[OutcomesVerdict] = (),
    outcome_history: Sequence[OutcomesVerdict] = (),
) -> Alert:
    """Describe a change of a monitor's alarm by the latest verdict of each variant.

    Parameters
    ----------
    monitor : str
        The monitor's name.
    ringing : bool
        True when the alarm went to ALARM, False when it went back to OK.
    reason : str
        CloudWatch's own reason for the change of state.
    verdicts : sequence of WindowVerdict
        The newest verdict of every variant; may be empty, for instance when the alarm is about
        silence and no window was ever evaluated.
    links : sequence of AlertLink
        Where to look.
    outcomes : sequence of OutcomesVerdict
        The newest windows that labels, or attributions, have judged, of every variant.
    outcome_history : sequence of OutcomesVerdict
        Windows before them, to say since when quality has decayed.
    """
    judged, drift = outcome_findings(outcomes), _findings(verdicts)
    findings = ", ".join(part for part in (*judged, drift) if part)
    if ringing:
        title = findings or "an alarm rings"
        summary = f"The monitor {monitor} went into alarm. CloudWatch: {reason}"
    else:
        title = "back to normal"
        summary = f"The alarm of the monitor {monitor} is over. CloudWatch: {reason}"
        if findings:
            newest = "The newest windows still show" if judged else "The newest window still shows"
            summary += (
                f" {newest} {findings}: the alarm's limits or its missing-data rule let it end."
            )
    return Alert(
        monitor=monitor,
        tone="alarm" if ringing else "recovery",
        title=title,
        summary=summary,
        sections=(
            *_outcome_sections(outcomes, outcome_history),
            *(section for v in verdicts for section in _verdict_sections(v)),
        ),
        links=tuple(links),
    )


def _outcome_sections(
    outcomes: Sequence[OutcomesVerdict], history: Sequence[OutcomesVerdict]
) -> list[AlertSection]:
    return [
        AlertSection(heading=heading, facts=facts, lines=lines)
        for verdict in outcomes
        for heading, facts, lines in outcome_parts(
            verdict, [w for w in history if w.variant == verdict.variant]
        )
    ]


def _findings(verdicts: Sequence[WindowVerdict]) -> str:
    """Say in a few words what is wrong; empty if nothing is."""
    drifted = [f for v in verdicts for f in (*v.drifted_inputs, *v.drifted_outputs)]
    parts = []
    if drifted:
        parts.append(f"drift in {_few([f.name for f in drifted])}")
    named = {f.name for f in drifted}
    slow = [one for v in verdicts for one in lasting(v)[:1] if one.name not in named]
    if slow:
        parts.append(
            f"lasting drift in {_few([one.name for one in slow])} since "
            f"{wording.moment(min(one.since for one in slow))} UTC"
        )
    apart = any(joint_names(v) for v in verdicts)
    # A joint distribution that moves with its columns is no news.
    if apart or (not parts and any(joint_text(v) for v in verdicts)):
        parts.append("columns that go together otherwise")
    violations = sum(len(verdict.quality_violations) for verdict in verdicts)
    if violations:
        parts.append(wording.plural(violations, "failed check"))
    return ", ".join(parts)


def _few(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - 3} more" if len(unique) > 3 else ""
    return ", ".join(shorten(name, 40) for name in unique[:3]) + more


def _verdict_sections(verdict: WindowVerdict) -> list[AlertSection]:
    facts = [
        ("rows", wording.count(verdict.rows)),
        ("rejected", _rejected(verdict)),
        ("baseline", verdict.baseline_version),
    ]
    if verdict.other_baseline_rows:
        facts.append(("rows under other baselines", wording.count(verdict.other_baseline_rows)))
    if verdict.insufficient:
        facts.append(("verdict", "insufficient data"))
    sections = [
        AlertSection(
            heading=(
                f"Variant {verdict.variant}, window {wording.moment(verdict.window_start)} to "
                f"{wording.moment(verdict.window_end)} UTC "
                f"({wording.span(verdict.window_start, verdict.window_end)})"
            ),
            facts=tuple(facts),
        )
    ]
    sections += _drift_sections(verdict)
    if verdict.quality_violations:
        lines = [
            f"{shorten(v.feature_name, _NAME_LIMIT)}: {v.constraint_check_type}: "
            f"{shorten(v.description, 300)}"
            for v in verdict.quality_violations[:_CHECKS]
        ]
        lines += _more(len(verdict.quality_violations) - _CHECKS, "failed check")
        sections.append(AlertSection(heading="Failed checks", lines=tuple(lines)))
    return sections


def _drift_sections(verdict: WindowVerdict) -> list[AlertSection]:
    """Return what drifted in the window, over all windows, and between columns; then what is calm.

    Each drifted column is followed by where in the data it drifts, and since when.
    """
    causes = causes_of(verdict)
    drifted = [cause for cause in causes if cause.drifted]
    lines = [line for cause in drifted[:_WORST] for line in _cause_lines(cause, verdict)]
    lines += _more(len(drifted) - _WORST, "drifted column")
    slow = [line for c in causes if not c.drifted for line in _cause_lines(c, verdict)]
    joint = verdict.joint
    together = [joint.reason] if joint is not None and joint.verdict == "drift" else []
    listed = (
        (_order(verdict), lines),
        ("Lasting drift, over all windows", slow),
        ("How columns go together", [shorten(reason, 600) for reason in together]),
        ("Like the same season before, no alarm", seasonal_lines(verdict)[:_WORST]),
    )
    return [AlertSection(heading=head, lines=tuple(found)) for head, found in listed if found]


def _order(verdict: WindowVerdict) -> str:
    known = any(feature.importance is not None for feature in verdict.features)
    return f"Drifted, {'by effect times importance' if known else 'furthest first'}"


def _cause_lines(cause: Cause, verdict: WindowVerdict) -> list[str]:
    """Say what a column shows, where, and since when; the latter two only if known."""
    name = shorten(cause.name, _NAME_LIMIT)
    lines = []
    if cause.drifted and cause.feature is not None:
        lines.append(describe_feature(cause.feature))
    if cause.evidence is not None:
        since = since_text(cause.evidence.since, verdict)
        what = "" if cause.drifted else f"{aspect_text(cause.evidence, cause.feature)}, "
        lines.append(f"{name}: {what}since {since}")
    if cause.feature is not None:
        lines += [f"{name}: {line}" for line in segment_lines(cause.feature, limit=1)]
    return lines


def _rejected(verdict: WindowVerdict) -> str:
    text = wording.share(verdict.rejected_share)
    if not verdict.rejected:
        return text
    reasons = sorted(verdict.rejected.items(), key=lambda item: (-item[1], item[0]))[:3]
    return f"{text} ({', '.join(f'{wording.count(n)} {reason}' for reason, n in reasons)})"


def _more(number: int, noun: str) -> list[str]:
    return [f"and {wording.plural(number, noun)} more"] if number > 0 else []


def describe_feature(feature: FeatureVerdict) -> str:
    """Describe a column's verdict in one line: distance, p-value, and what moved most."""
    figures = (
        f"PSI {wording.distance(feature.distance)}, effect {wording.distance(feature.effect)}, "
        f"p {wording.p_value(feature.adjusted_p_value)}"
        if feature.threshold is None
        else evidence_text(feature)
    )
    text = (
        f"{shorten(feature.name, _NAME_LIMIT)} ({feature.role}): "
        f"{figures}, {wording.plural(feature.rows, 'row')}"
    )
    moved = [
        f"{shorten(cell.label, 30)} {wording.share(cell.baseline_share)} -> "
        f"{wording.share(cell.window_share)}"
        for cell in feature.moved[:3]
    ]
    return f"{text}; {', '.join(moved)}" if moved else text


def _slack_section(text: str) -> dict[str, Any]:
    # `verbatim`: Slack must not turn names that look like links or channels into them.
    return {
        "type": "section",
        "text": {
            "type": "mrkdwn",
            "text": _cut_lines(text, _SLACK_TEXT_LIMIT),
            "verbatim": True,
        },
    }


def _slack_link(link: AlertLink) -> str:
    target = escape_slack(link.target)
    label = escape_slack(link.label)
    if link.target.startswith("https://") and "|" not in target:
        return f"<{target}|{label}>"
    return f"{label}: {target}"


def _cut_lines(text: str, limit: int) -> str:
    """Cut text at a line's end where possible, so that no escape sequence is cut in two."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1].rpartition("\n")[0] or re.sub(r"&[a-z]{0,4}$", "", text[: limit - 1])
    return kept + "…"
