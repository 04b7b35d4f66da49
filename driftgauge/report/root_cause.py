"""The root cause, first on the page: what drifted, where in the data, and since when."""

from __future__ import annotations

from driftgauge.drift.verdict import WindowVerdict
from driftgauge.report.cause import (
    Cause,
    aspect_text,
    causes_of,
    order_text,
    segment_lines,
    since_text,
)
from driftgauge.report.columns import badge
from driftgauge.report.markup import escape, shorten
from driftgauge.report.summary import moved_text
from driftgauge.report.wording import distance, plural, share

_SHOWN = 6
_SHARES_SHOWN = 3


def cause_section(verdict: WindowVerdict) -> str:
    """Return the columns that drifted with their shares, segments and beginnings.

    Empty in strict mode, which knows none of it, and without a drift.
    """
    causes = causes_of(verdict) if verdict.mode == "sound" else ()
    if not causes:
        return ""
    more = len(causes) - _SHOWN
    note = order_text(verdict) if sum(cause.drifted for cause in causes) > 1 else ""
    if more > 0:
        note += f" {plural(more, 'column')} more in the table below."
    items = "".join(_item(cause, verdict) for cause in causes[:_SHOWN])
    return (
        "<h2>Root cause</h2>"
        + (f'<p class="note">{note.strip()}</p>' if note else "")
        + f'<ol class="causes">{items}</ol>'
    )


def _item(cause: Cause, verdict: WindowVerdict) -> str:
    facts = "".join(
        f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in _facts(cause, verdict)
    )
    return (
        f'<li><div class="who"><bdi>{escape(shorten(cause.name, 80))}</bdi>'
        f"{_weight(cause)}</div><dl>{facts}</dl></li>"
    )


def _weight(cause: Cause) -> str:
    feature = cause.feature
    if not cause.drifted or feature is None:
        return '<span class="badge drift">over all windows</span>'
    parts = [] if feature.effect is None else [f"effect {distance(feature.effect)}"]
    if feature.importance is not None:
        parts.append(f"importance {escape(share(feature.importance))}")
    return f"{badge(feature)}<small>{', '.join(parts)}</small>"


def _facts(cause: Cause, verdict: WindowVerdict) -> list[tuple[str, str]]:
    """Return what is known about a column (markup)."""
    facts = []
    feature, evidence = cause.feature, cause.evidence
    if cause.drifted and feature is not None and feature.moved:
        facts.append(("What", escape(moved_text(feature.moved, limit=_SHARES_SHOWN))))
    elif evidence is not None:
        facts.append(("What", escape(aspect_text(evidence, feature))))
    if feature is not None and feature.segments:
        lines = "<br>".join(escape(line) for line in segment_lines(feature))
        facts.append(("Where", lines))
    if evidence is not None:
        facts.append(("Since", escape(since_text(evidence.since, verdict))))
    return facts
