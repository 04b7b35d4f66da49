"""The report of one window: a self-contained HTML page that also prints.

Everything is in the one file: style, charts as SVG, no script, nothing loaded. Column names,
categories and reasons come from untrusted payloads and only reach the page escaped; a content
security policy in the page forbids scripts and requests besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from driftgauge.drift.verdict import FeatureVerdict, Mode, WindowVerdict
from driftgauge.report import figures
from driftgauge.report.bars import bars_of
from driftgauge.report.history import history_chart, parts_of, windows_to_draw
from driftgauge.report.markup import escape, shorten
from driftgauge.report.style import STYLE
from driftgauge.report.summary import STATE_WORDS, summarize, worst_first
from driftgauge.report.svg import category_chart, interval_chart, sparkline, value_chart
from driftgauge.report.wording import MINUS, count, moment, plural, quantity, share, span

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.config import DecisionSettings
    from driftgauge.profile.profile import FeatureProfile, Profile

_IN_FRONT = 40  # rows of the table before the charts; the rest follows at the end
_CHARTS_OF_DRIFTED = 12
_CHARTS_BESIDE_DRIFT = 2
_CHARTS_WITHOUT_DRIFT = 4
_VERDICT_WORDS = {
    "drift": "drift",
    "seasonal": "seasonal",
    "ok": "no drift",
    "insufficient_data": "insufficient data",
}
_BADGES = {
    "drift": "drift",
    "seasonal": "ok",
    "ok": "ok",
    "insufficient_data": "insufficient",
}
_DEFAULT_MIN_EFFECT = 0.02

_LEGEND = (
    '<p class="legend"><span><svg viewBox="0 0 14 10" style="display:inline-block" '
    'aria-hidden="true"><rect class="base-bar" width="14" height="10" rx="1.5"/></svg>'
    'baseline</span><span><svg viewBox="0 0 14 10" style="display:inline-block" '
    'aria-hidden="true"><rect class="window-bar" width="14" height="10" rx="1.5"/></svg>'
    "this window</span></p>"
)


def render_report(
    *,
    verdict: WindowVerdict,
    baseline: Baseline,
    profile: Profile,
    history: Sequence[WindowVerdict],
    generated_at: datetime,
    decision: DecisionSettings | None = None,
) -> str:
    """Write the report of one window as one HTML page.

    Parameters
    ----------
    verdict : WindowVerdict
        What was decided.
    baseline : Baseline
        What the window was compared with; its profile is drawn beside the window's.
    profile : Profile
        The window's rows, counted in the baseline's cells.
    history : sequence of WindowVerdict
        Verdicts of other windows of the same variant, in any order, for the chart over time. If
        several of them lie inside the reported window, they are drawn in its place.
    generated_at : datetime
        When the page is made.
    decision : DecisionSettings, optional
        The monitor's settings, for the threshold line of the chart; without them the default.
        In strict mode the line is the constraints' threshold.

    Returns
    -------
    str
        A whole HTML document, to be written as UTF-8.
    """
    features = worst_first(verdict.features)
    page = _Page(baseline=baseline, profile=profile, mode=verdict.mode)
    if verdict.mode == "strict":
        limit = baseline.constraints.settings.comparison_threshold
    else:
        limit = decision.min_effect if decision else _DEFAULT_MIN_EFFECT
    front, rest = features[:_IN_FRONT], features[_IN_FRONT:]
    name = escape(verdict.monitor)
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(STATE_WORDS[summarize(verdict).state])}: {name}, "
            f"{escape(moment(verdict.window_start))} UTC</title>",
            f"<style>{STYLE}</style></head><body>",
            _header(verdict, baseline),
            "<main>",
            _opening(verdict, history),
            _table_section(page, front, rest=len(rest)),
            _drifted_section(page, features),
            _history_section(verdict, history, limit),
            _violations_section(verdict),
            _rejected_section(verdict),
            _calm_section(page, features),
            _rest_section(page, rest),
            "</main>",
            _footer(verdict, generated_at, limit),
            "</body></html>\n",
        )
    )


class _Page:
    """The two profiles a report compares, by column, and how the window was judged."""

    def __init__(self, *, baseline: Baseline, profile: Profile, mode: Mode) -> None:
        self.mode = mode
        self.baseline_rows = baseline.profile.rows
        self._known = {feature.name for feature in profile.spec.features}
        self._baseline = baseline.profile
        self._window = profile

    def columns(self, name: str) -> tuple[FeatureProfile, FeatureProfile] | None:
        """Return baseline and window of a column; None if it was not profiled."""
        if name not in self._known:
            return None
        return self._baseline.feature(name), self._window.feature(name)


def _header(verdict: WindowVerdict, baseline: Baseline) -> str:
    state = summarize(verdict).state
    return (
        '<header class="top"><p class="eyebrow">driftgauge report</p>'
        f'<div class="title"><h1><bdi>{escape(verdict.monitor)}</bdi></h1>'
        f'<span class="badge big {state}">{STATE_WORDS[state]}</span></div>'
        f'<p class="meta"><span>variant <bdi>{escape(verdict.variant)}</bdi></span>'
        f"<span>{escape(moment(verdict.window_start))} to {escape(moment(verdict.window_end))} "
        f"UTC ({escape(span(verdict.window_start, verdict.window_end))})</span>"
        f"<span>baseline <bdi>{escape(verdict.baseline_version)}</bdi>, "
        f"{plural(baseline.profile.rows, 'row')}</span>"
        f"{'<span>strict mode</span>' if verdict.mode == 'strict' else ''}</p></header>"
    )


def _opening(verdict: WindowVerdict, history: Sequence[WindowVerdict]) -> str:
    summary = summarize(verdict)
    lines = list(summary.advice)
    parts = parts_of(verdict, history)
    alarmed = sum(part.alarm for part in parts)
    if alarmed and not verdict.alarm:
        lines.insert(
            0,
            f"{count(alarmed)} of the {plural(len(parts), 'shorter window')} within this one "
            "would have alarmed on their own: see drift over time.",
        )
    advice = "".join(f"<li>{escape(line)}</li>" for line in lines)
    checks = len(verdict.quality_violations)
    drifted = sum(f.verdict == "drift" for f in verdict.features)
    judged = sum(f.verdict != "insufficient_data" for f in verdict.features)
    unjudged = len(verdict.features) - judged
    of_judged = f"of {judged:,} judged" + (f", {unjudged:,} not judged" if unjudged else "")
    tiles = (
        _tile("Rows", count(verdict.rows), "predictions in this window"),
        _tile("Records", count(verdict.records), "calls of the endpoint"),
        _tile(
            "Rejected input",
            share(verdict.rejected_share),
            f"{count(verdict.rejected_total)} records or rows",
            hot=verdict.rejected_total > 0,
        ),
        _tile("Features drifted", count(drifted), of_judged, hot=drifted > 0),
        _tile(
            "Violations",
            count(len(verdict.violations)),
            f"{count(checks)} of data quality, {count(len(verdict.violations) - checks)} of drift",
            hot=bool(verdict.violations),
        ),
    )
    return (
        f'<p class="lead">{escape(summary.headline)}</p>'
        + (f'<ul class="advice">{advice}</ul>' if advice else "")
        + f'<dl class="tiles">{"".join(tiles)}</dl>'
    )


def _tile(label: str, value: str, note: str, *, hot: bool = False) -> str:
    return (
        f"<div{' class=hot' if hot else ''}><dt>{label}</dt>"
        f"<dd>{escape(value)}<small>{note}</small></dd></div>"
    )


def _table_section(page: _Page, front: list[FeatureVerdict], *, rest: int) -> str:
    note = "Worst first. Blue is the baseline, orange is this window."
    if rest:
        note += f" The other {plural(rest, 'feature')} are listed at the end of this page."
    return f'<h2>Features</h2><p class="note">{note}</p>{_feature_table(page, front)}'


def _rest_section(page: _Page, rest: list[FeatureVerdict]) -> str:
    if not rest:
        return ""
    return f"<h2>Other features</h2>{_feature_table(page, rest)}"


def _feature_table(page: _Page, features: list[FeatureVerdict]) -> str:
    rows = "".join(_feature_row(page, feature) for feature in features)
    return (
        '<div class="scroll"><table class="features"><thead><tr><th scope="col">Feature</th>'
        f'<th scope="col">Verdict</th>{figures.headings(page.mode)}'
        '<th scope="col" class="n">Values</th><th scope="col" class="n">Missing</th>'
        '<th scope="col">Distribution</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _badge(feature: FeatureVerdict) -> str:
    return (
        f'<span class="badge {_BADGES[feature.verdict]}" title="{escape(feature.reason)}">'
        f"{_VERDICT_WORDS[feature.verdict]}</span>"
    )


def _feature_row(page: _Page, feature: FeatureVerdict) -> str:
    columns = page.columns(feature.name)
    picture = ""
    if columns:
        old, new = columns
        picture = sparkline(
            bars_of(old, new, fine=False), title=f"{feature.name}: baseline and window"
        )
    return (
        f'<tr><th scope="row"><bdi>{escape(shorten(feature.name, 80))}</bdi>'
        f"<small>{feature.role}, {feature.kind}</small></th><td>{_badge(feature)}</td>"
        f'{figures.cells(feature, page.mode)}<td class="n">{count(feature.rows)}</td>'
        f'<td class="n">{escape(share(feature.missing_share))}</td><td>{picture}</td></tr>'
    )


def _drifted_section(page: _Page, features: list[FeatureVerdict]) -> str:
    drifted = [f for f in features if f.verdict == "drift" and page.columns(f.name)]
    if not drifted:
        return ""
    shown = drifted[:_CHARTS_OF_DRIFTED]
    note = f"{plural(len(drifted), 'drifted feature')}, furthest first."
    if len(shown) < len(drifted):
        note = f"The {len(shown)} furthest of {plural(len(drifted), 'drifted feature')}."
    cards = "".join(_card(page, feature, key=f"f{i}") for i, feature in enumerate(shown))
    return f'<h2>What moved</h2><p class="note">{note}</p>{cards}'


def _calm_section(page: _Page, features: list[FeatureVerdict]) -> str:
    calm = [f for f in features if f.verdict == "ok" and page.columns(f.name)]
    if not calm:
        return ""
    few = any(f.verdict == "drift" for f in features)
    shown = calm[: _CHARTS_BESIDE_DRIFT if few else _CHARTS_WITHOUT_DRIFT]
    cards = "".join(_small_card(page, feature, key=f"g{i}") for i, feature in enumerate(shown))
    return (
        f'<h2>Not drifted</h2><p class="note">The largest {figures.MEASURES[page.mode]}s among '
        f'the features that did not drift.</p><div class="pairs">{cards}</div>'
    )


def _chart(old: FeatureProfile, new: FeatureProfile, *, key: str) -> str:
    """Draw a column, with a caption that says how to read it."""
    bars = bars_of(old, new, fine=True)
    title = f"{new.spec.name}: baseline and window"
    if not bars or not new.counted:
        return '<p class="caption">No value of this window can be drawn.</p>'
    if new.spec.kind == "numeric":
        chart = interval_chart(bars, key=key, title=title)
        caption = (
            "Share of values per bar; the area of a bar is its share, so a wider bar is drawn "
            "lower. The bars at the ends hold everything beyond."
        )
    elif new.spec.kind == "discrete":
        chart = value_chart(bars, key=key, title=title)
        caption = "Share of values."
    else:
        chart = category_chart(bars, key=key, title=title)
        caption = "Share of values, furthest moved first."
    return f'{_LEGEND}{chart}<p class="caption">{caption}</p>'


def _card_header(feature: FeatureVerdict) -> str:
    return (
        f"<header><h3><bdi>{escape(shorten(feature.name, 120))}</bdi></h3>{_badge(feature)}"
        f'<span class="kind">{feature.role}, {feature.kind}</span></header>'
    )


def _card(page: _Page, feature: FeatureVerdict, *, key: str) -> str:
    """Draw a drifted feature with all that is known about it."""
    columns = page.columns(feature.name)
    if columns is None:
        return ""
    old, new = columns
    return (
        f'<article class="card">{_card_header(feature)}'
        f'<p class="reason">{escape(feature.reason)}</p>'
        f'<div class="split"><div>{_chart(old, new, key=key)}</div>'
        f"<div>{_facts(page, feature, old, new)}{_moved(feature)}</div></div></article>"
    )


def _small_card(page: _Page, feature: FeatureVerdict, *, key: str) -> str:
    """Draw a feature that did not drift."""
    columns = page.columns(feature.name)
    if columns is None:
        return ""
    return (
        f'<article class="card">{_card_header(feature)}'
        f'<p class="reason">{figures.one_line(feature, page.mode)}</p>'
        f"{_chart(*columns, key=key)}</article>"
    )


def _facts(page: _Page, feature: FeatureVerdict, old: FeatureProfile, new: FeatureProfile) -> str:
    facts = figures.facts(feature, page.mode)
    before = old.missing / page.baseline_rows if page.baseline_rows else 0.0
    facts.append(("Missing", _change(share(before), share(feature.missing_share))))
    facts.append(("Values in this window", count(feature.rows)))
    if new.spec.kind in ("numeric", "discrete"):
        for label, left, right in (
            ("Mean", old.mean, new.mean),
            ("Standard deviation", old.std_dev, new.std_dev),
            ("Minimum", old.minimum, new.minimum),
            ("Maximum", old.maximum, new.maximum),
        ):
            if left is not None and right is not None:
                facts.append((label, _change(quantity(left), quantity(right))))
    elif new.unseen_rows:
        facts.append(("Not in the baseline", plural(new.unseen_rows, "value")))
    inner = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in facts)
    return f'<dl class="facts">{inner}</dl>'


def _change(before: str, after: str) -> str:
    return f'{escape(before)} → <span class="strong">{escape(after)}</span>'


def _moved(feature: FeatureVerdict) -> str:
    if not feature.moved:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><bdi>{escape(shorten(cell.label, 60))}</bdi></th>'
        f'<td class="n">{_change(share(cell.baseline_share), share(cell.window_share))}</td>'
        f'<td class="n change">{_points(cell.window_share - cell.baseline_share)}</td></tr>'
        for cell in feature.moved
    )
    return (
        '<p class="sub">What moved most (share of values, change in percentage points)</p>'
        f'<table class="moved"><tbody>{rows}</tbody></table>'
    )


def _points(change: float) -> str:
    sign = "+" if change > 0 else MINUS if change < 0 else ""
    return f"{sign}{abs(change) * 100:.1f} pp"


def _history_section(verdict: WindowVerdict, history: Sequence[WindowVerdict], limit: float) -> str:
    windows = windows_to_draw(verdict, history)
    if len(windows) < 2:
        return ""
    chart = history_chart(verdict, windows, limit=limit)
    if not chart:
        return ""
    alarms = sum(window.alarm for window in windows)
    scale = figures.history_note(verdict.features, verdict.mode)
    return (
        '<h2>Drift over time</h2><p class="note">'
        f"{figures.MEASURES[verdict.mode].capitalize()} of the worst features over "
        f"{plural(len(windows), 'window')}{scale}. Triangles and shading mark the "
        f"{plural(alarms, 'window')} with an alarm.</p>"
        f'<div class="scroll">{chart}</div>'
    )


def _violations_section(verdict: WindowVerdict) -> str:
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


def _rejected_section(verdict: WindowVerdict) -> str:
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


def _footer(verdict: WindowVerdict, generated_at: datetime, limit: float) -> str:
    terms = figures.terms(verdict.mode, limit)
    inner = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in terms)
    return (
        f"<footer><div><h2>How to read this</h2><dl>{inner}</dl>"
        f"<p>Evaluated {escape(moment(verdict.evaluated_at))} UTC, page made "
        f"{escape(moment(generated_at))} UTC. All times are UTC.</p></div></footer>"
    )
