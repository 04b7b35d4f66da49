"""Columns in the report: the table of all of them, and a card with a chart for those that count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from driftgauge.drift.verdict import FeatureVerdict, Outcome, WindowVerdict
from driftgauge.report import figures
from driftgauge.report.bars import bars_of
from driftgauge.report.markup import escape, shorten
from driftgauge.report.svg import category_chart, interval_chart, sparkline, value_chart
from driftgauge.report.wording import count, plural, points, quantity, share

if TYPE_CHECKING:
    from driftgauge.baseline import Baseline
    from driftgauge.profile.profile import FeatureProfile, Profile

_CHARTS_OF_DRIFTED = 12
_CHARTS_BESIDE_DRIFT = 2
_CHARTS_WITHOUT_DRIFT = 4
_FEW_CATEGORIES = 6
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
LEGEND = (
    '<p class="legend"><span><svg viewBox="0 0 14 10" style="display:inline-block" '
    'aria-hidden="true"><rect class="base-bar" width="14" height="10" rx="1.5"/></svg>'
    'baseline</span><span><svg viewBox="0 0 14 10" style="display:inline-block" '
    'aria-hidden="true"><rect class="window-bar" width="14" height="10" rx="1.5"/></svg>'
    "this window</span></p>"
)


class Sides:
    """The two profiles a report compares, by column, and how the window was judged.

    Parameters
    ----------
    baseline : Baseline
        What the window was compared with.
    profile : Profile
        The window's rows, counted in the baseline's cells.
    verdict : WindowVerdict
        What was decided.
    limit : float
        The smallest effect that is worth an alarm; in strict mode the threshold.
    """

    def __init__(
        self, *, baseline: Baseline, profile: Profile, verdict: WindowVerdict, limit: float
    ) -> None:
        self.mode = verdict.mode
        self.baseline_rows = baseline.profile.rows
        self.scale = figures.EffectScale.over(verdict.features, limit=limit)
        self._known = {feature.name for feature in profile.spec.features}
        self._baseline = baseline.profile
        self._window = profile

    def columns(self, name: str) -> tuple[FeatureProfile, FeatureProfile] | None:
        """Return baseline and window of a column; None if it was not profiled."""
        if name not in self._known:
            return None
        return self._baseline.feature(name), self._window.feature(name)


def table_section(sides: Sides, front: list[FeatureVerdict], *, rest: int) -> str:
    """Return the table of the first columns; the ``rest`` is listed elsewhere."""
    weighed = any(feature.importance is not None for feature in front)
    order = "Worst first, by effect times importance." if weighed else "Worst first."
    note = f"{order} Blue is the baseline, orange is this window."
    if rest:
        note += f" The other {plural(rest, 'feature')} are listed at the end of this page."
    dispersed = figures.dispersion_note(front)
    return f'<h2>Features</h2><p class="note">{note}</p>{_feature_table(sides, front)}' + (
        f'<p class="caption">{dispersed}</p>' if dispersed else ""
    )


def rest_section(sides: Sides, rest: list[FeatureVerdict]) -> str:
    """Return the table of all other columns; empty without any."""
    if not rest:
        return ""
    return f"<h2>Other features</h2>{_feature_table(sides, rest)}"


def _feature_table(sides: Sides, features: list[FeatureVerdict]) -> str:
    rows = "".join(_feature_row(sides, feature) for feature in features)
    return (
        '<div class="scroll"><table class="features"><thead><tr><th scope="col">Feature</th>'
        f'<th scope="col">Verdict</th>{figures.headings(sides.mode)}'
        '<th scope="col" class="n">Values</th><th scope="col" class="n">Missing</th>'
        '<th scope="col">Distribution</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def badge(feature: FeatureVerdict) -> str:
    """Return a column's verdict as a badge; its title is the reason."""
    return verdict_badge(feature.verdict, f' title="{escape(feature.reason)}"')


def verdict_badge(outcome: Outcome, attributes: str = "") -> str:
    """Return a verdict as a badge, with further attributes (markup)."""
    return f'<span class="badge {_BADGES[outcome]}"{attributes}>{_VERDICT_WORDS[outcome]}</span>'


def _feature_row(sides: Sides, feature: FeatureVerdict) -> str:
    columns = sides.columns(feature.name)
    picture = ""
    if columns:
        old, new = columns
        picture = sparkline(
            bars_of(old, new, fine=False), title=f"{feature.name}: baseline and window"
        )
    return (
        f'<tr><th scope="row"><bdi>{escape(shorten(feature.name, 80))}</bdi>'
        f"<small>{feature.role}, {feature.kind}{figures.weight_note(feature)}</small></th>"
        f"<td>{badge(feature)}</td>{figures.cells(feature, sides.mode, sides.scale)}"
        f'<td class="n">{count(feature.rows)}{figures.chance_note(feature.novel_p_value, "new: ")}'
        f'</td><td class="n">{escape(share(feature.missing_share))}'
        f"{figures.chance_note(feature.missing_p_value)}</td><td>{picture}</td></tr>"
    )


def drifted_section(sides: Sides, features: list[FeatureVerdict]) -> str:
    """Return a card for each column that drifted; empty without any."""
    drifted = [f for f in features if f.verdict == "drift" and sides.columns(f.name)]
    if not drifted:
        return ""
    shown = drifted[:_CHARTS_OF_DRIFTED]
    note = f"{plural(len(drifted), 'drifted feature')}, furthest first."
    if len(shown) < len(drifted):
        note = f"The {len(shown)} furthest of {plural(len(drifted), 'drifted feature')}."
    cards = "".join(_card(sides, feature, key=f"f{i}") for i, feature in enumerate(shown))
    return f'<h2>What moved</h2><p class="note">{note}</p>{cards}'


def calm_section(
    sides: Sides, features: list[FeatureVerdict], *, drawn: frozenset[str] = frozenset()
) -> str:
    """Return small cards for columns that did not drift; ``drawn`` have a chart elsewhere."""
    calm = [
        f
        for f in features
        if f.verdict in ("seasonal", "ok") and f.name not in drawn and sides.columns(f.name)
    ]
    if not calm:
        return ""
    few = any(f.verdict == "drift" for f in features)
    shown = calm[: _CHARTS_BESIDE_DRIFT if few else _CHARTS_WITHOUT_DRIFT]
    cards = "".join(_small_card(sides, feature, key=f"g{i}") for i, feature in enumerate(shown))
    return (
        f'<h2>Not drifted</h2><p class="note">The largest {figures.MEASURES[sides.mode]}s among '
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
    return f'{LEGEND}{chart}<p class="caption">{caption}</p>'


def _card_header(feature: FeatureVerdict) -> str:
    return (
        f"<header><h3><bdi>{escape(shorten(feature.name, 120))}</bdi></h3>{badge(feature)}"
        f'<span class="kind">{feature.role}, {feature.kind}</span></header>'
    )


def _card(sides: Sides, feature: FeatureVerdict, *, key: str) -> str:
    """Draw a drifted feature with all that is known about it."""
    columns = sides.columns(feature.name)
    if columns is None:
        return ""
    old, new = columns
    chart, facts = _chart(old, new, key=key), _facts(sides, feature, old, new)
    moved = _moved(feature)
    # The list goes where there is room: sound mode has more facts, many categories a tall chart.
    short = new.spec.kind == "numeric" or len(new.spec.categories) <= _FEW_CATEGORIES
    below = sides.mode == "sound" and short
    left, right = (chart + moved, facts) if below else (chart, facts + moved)
    return (
        f'<article class="card">{_card_header(feature)}'
        f'<p class="reason">{escape(feature.reason)}</p>'
        f'<div class="split"><div>{left}</div><div>{right}</div></div></article>'
    )


def _small_card(sides: Sides, feature: FeatureVerdict, *, key: str) -> str:
    """Draw a feature that did not drift."""
    columns = sides.columns(feature.name)
    if columns is None:
        return ""
    return (
        f'<article class="card">{_card_header(feature)}'
        f'<p class="reason">{figures.one_line(feature, sides.mode)}</p>'
        f"{_chart(*columns, key=key)}</article>"
    )


def _facts(sides: Sides, feature: FeatureVerdict, old: FeatureProfile, new: FeatureProfile) -> str:
    facts = figures.facts(feature, sides.mode)
    before = old.missing / sides.baseline_rows if sides.baseline_rows else 0.0
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
        f'<td class="n change">{points(cell.window_share - cell.baseline_share)}</td></tr>'
        for cell in feature.moved
    )
    return (
        '<p class="sub">What moved most (share of values, change in percentage points)</p>'
        f'<table class="moved"><tbody>{rows}</tbody></table>'
    )
