"""References: the window against the baseline and against everything else it was compared with."""

from __future__ import annotations

from driftgauge.drift.verdict import FeatureVerdict, ReferenceVerdict, WindowVerdict
from driftgauge.report.cause import known_before_lines, seasonal_lines
from driftgauge.report.columns import badge
from driftgauge.report.markup import escape, shorten
from driftgauge.report.summary import worst_first
from driftgauge.report.wording import distance, plural

_SHOWN = 12


def references_section(verdict: WindowVerdict) -> str:
    """Return a table of columns by references, of the columns that differ from any of them."""
    if not verdict.references:
        return ""
    by_reference = [{f.name: f for f in one.features} for one in verdict.references]
    differing = [
        feature
        for feature in worst_first(verdict.features)
        if feature.verdict in ("drift", "seasonal")
        or any(_differs(found.get(feature.name)) for found in by_reference)
    ]
    lines = [*seasonal_lines(verdict), *known_before_lines(verdict).values()]
    explained = "".join(f"<li>{escape(line)}</li>" for line in lines)
    if not differing:
        listed = "".join(f"<li>{_outcome(one)}</li>" for one in verdict.references)
        return f'<h2>Other references</h2><ul class="advice">{listed}</ul>'
    rows = "".join(
        _row(feature, [found.get(feature.name) for found in by_reference])
        for feature in differing[:_SHOWN]
    )
    more = len(differing) - _SHOWN
    cut = f'<p class="caption">And {plural(more, "feature")} more.</p>' if more > 0 else ""
    heads = "".join(
        f'<th scope="col">{escape(shorten(one.name, 60))}<small>{_size(one)}</small></th>'
        for one in verdict.references
    )
    return (
        "<h2>Other references</h2>"
        + (f'<ul class="advice">{explained}</ul>' if explained else "")
        + '<div class="scroll"><table class="plain references"><thead><tr>'
        f'<th scope="col">Feature</th><th scope="col">baseline</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{cut}"
    )


def _differs(feature: FeatureVerdict | None) -> bool:
    return feature is not None and feature.verdict == "drift"


def _size(reference: ReferenceVerdict) -> str:
    return f"{plural(reference.windows, 'window')}, {plural(reference.rows, 'row')}"


def _outcome(reference: ReferenceVerdict) -> str:
    """Say in a sentence (markup) that no column differs from a reference."""
    judged = sum(feature.verdict != "insufficient_data" for feature in reference.features)
    found = f"none of {plural(judged, 'judged feature')} differs" if judged else "too few rows"
    return f"{escape(shorten(reference.name, 60))} ({_size(reference)}): {found}."


def _row(feature: FeatureVerdict, others: list[FeatureVerdict | None]) -> str:
    cells = "".join(_cell(one) for one in (feature, *others))
    return f'<tr><th scope="row"><bdi>{escape(shorten(feature.name, 80))}</bdi></th>{cells}</tr>'


def _cell(feature: FeatureVerdict | None) -> str:
    if feature is None:
        return "<td></td>"
    effect = "" if feature.effect is None else f" {distance(feature.effect)}"
    return f"<td>{badge(feature)}{effect}</td>"
