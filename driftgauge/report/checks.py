"""Lists of the report: failed checks, and input that could not be read."""

from __future__ import annotations

from driftgauge.drift.verdict import WindowVerdict
from driftgauge.report.markup import escape, shorten
from driftgauge.report.wording import count, share


def violations_section(verdict: WindowVerdict) -> str:
    """Return the failed checks as a table; empty without any."""
    if not verdict.violations:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><bdi>{escape(shorten(v.feature_name, 80))}</bdi></th>'
        f"<td>{escape(v.constraint_check_type)}</td><td>{escape(v.description)}</td></tr>"
        for v in verdict.violations
    )
    return (
        '<h2>Violations</h2><p class="note">As in constraint_violations.json.</p>'
        '<div class="scroll"><table class="plain"><thead><tr><th scope="col">Feature</th>'
        '<th scope="col">Check</th><th scope="col">Finding</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def rejected_section(verdict: WindowVerdict) -> str:
    """Return rejected input by reason; empty without any."""
    if not verdict.rejected:
        return ""
    total = verdict.rejected_total
    rows = "".join(
        f'<tr><th scope="row">{escape(shorten(reason, 120))}</th>'
        f'<td class="n">{count(rejected)}</td>'
        f'<td class="n">{escape(share(rejected / total if total else 0.0))}</td></tr>'
        for reason, rejected in sorted(verdict.rejected.items(), key=lambda item: -item[1])
    )
    return (
        '<h2>Rejected input</h2><p class="note">'
        f"{count(total)} records or rows, {escape(share(verdict.rejected_share))} of what arrived, "
        "could not be read and are in no other figure of this page.</p>"
        '<div class="scroll"><table class="plain"><thead><tr><th scope="col">Reason</th>'
        '<th scope="col" class="n">Records or rows</th>'
        '<th scope="col" class="n">Share of the rejected</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
