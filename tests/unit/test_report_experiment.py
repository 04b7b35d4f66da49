"""The experiment's page: decision first, evidence below, and safe whatever the names are."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from driftgauge.errors import ExperimentError
from driftgauge.experiments.shadow import ShadowCounts, count_pairs
from driftgauge.experiments.verdict import ExperimentVerdict
from driftgauge.report.experiment import render_experiment
from driftgauge.report.experiment_chart import looks_chart, looks_picture
from driftgauge.report.experiment_shadow import difference_chart
from tests.unit import shadow_world as shadows
from tests.unit.experiment_world import START, arm, blocks, judged, plan
from tests.unit.test_report import HOSTILE, Page
from tests.unit.test_report_sections import section, words

DONE = START + timedelta(days=3)


def trial(accuracy: float, *, errors: float = 0.1, count: int = 40) -> ExperimentVerdict:
    """Return the verdict on a challenger with such rates."""
    champion = arm(400, {"accuracy": 0.9, "errors": 0.1}, segment=0.9)
    challenger = arm(400, {"accuracy": accuracy, "errors": errors}, segment=accuracy)
    return judged(blocks(count, champion, challenger), plan(guarded=True))


def rendered(verdict: ExperimentVerdict) -> Page:
    return Page(render_experiment(verdict=verdict, generated_at=DONE))


@pytest.mark.parametrize(
    ("accuracy", "errors", "decision", "badge"),
    [
        (0.94, 0.1, "promote", "Promote"),
        (0.9, 0.1, "keep", "Keep the champion"),
        (0.84, 0.1, "stop: harm", "Stop: harm"),
        (0.94, 0.2, "stop: harm", "Stop: harm"),
    ],
)
def test_the_decision_and_its_reason_are_on_top(
    accuracy: float, errors: float, decision: str, badge: str
) -> None:
    verdict = trial(accuracy, errors=errors)
    assert verdict.decision == decision
    text = rendered(verdict).text
    assert text.index(badge) < text.index(verdict.reason) < text.index("Guardrails")


def test_a_test_that_goes_on_says_so() -> None:
    verdict = trial(0.91, count=6)
    assert verdict.decision == "continue"
    assert "keep their shares of the traffic" in words(
        render_experiment(verdict=verdict, generated_at=DONE)
    )


def test_the_page_is_whole_and_loads_nothing() -> None:
    verdict, shadow = (
        trial(0.94),
        shadows.judged(
            shadows.counted(4_000, apart="NZ", missing=10), measured=shadows.latencies()
        ),
    )
    source = render_experiment(verdict=verdict, shadow=shadow, generated_at=DONE)
    page = Page(source)
    assert page.unclosed == []
    assert not page.tags("script") and not page.tags("link") and not page.tags("img")
    assert "http" not in source.replace("http-equiv", "")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for heading in (
        *("Accuracy", "Guardrails", "Shares of the traffic", "Segments", "As a shadow"),
        *("Agreement", "Who was right", "Disagreement by segment", "Latency", "Pairs"),
    ):
        assert f"<h2>{heading}" in source


def test_an_unbalanced_test_says_that_nothing_can_be_concluded() -> None:
    champion, challenger = arm(400, {"accuracy": 0.9}), arm(300, {"accuracy": 0.9})
    verdict = judged(blocks(20, champion, challenger), plan())
    source = render_experiment(verdict=verdict, generated_at=DONE)
    assert verdict.mismatch.mismatch
    assert "not assigned as planned" in words(source)
    assert "mismatch" in words(section(source, "Shares of the traffic"))
    assert "Guardrails" not in source


def test_the_chart_has_a_band_where_there_are_bounds_and_a_dotted_line_before() -> None:
    metric = trial(0.94).primary
    chart = looks_chart(metric, key="k")
    assert chart.count('class="band-realised"') == 1
    assert 'class="line unsettled"' in chart and "effect +0.02" in chart
    assert "margin-line" in looks_picture(trial(0.94).guardrails[0])
    one = replace(metric, looks=metric.looks[:1])
    assert looks_chart(one, key="k") == looks_picture(one) == ""
    half = replace(metric, looks=tuple(replace(look, low=None) for look in metric.looks))
    assert 'class="band-realised"' in looks_chart(half, key="k")


def test_a_page_without_any_row_is_drawn() -> None:
    nothing = judged(blocks(0, arm(1, {}), arm(1, {})), plan(guarded=True))
    empty = shadows.judged(ShadowCounts.empty(shadows.SPEC))
    page = Page(render_experiment(verdict=nothing, shadow=empty, generated_at=DONE))
    assert page.unclosed == []
    assert "No requests yet." in page.text and "No label of these pairs" in page.text
    with pytest.raises(ExperimentError, match="needs a verdict"):
        render_experiment(generated_at=DONE)


def test_a_shadow_has_its_own_page() -> None:
    bad = shadows.judged(
        shadows.counted(6_000, shadow_noise=4.0, missing=900),
        measured=shadows.latencies(slowdown=2.2),
    )
    text = words(render_experiment(shadow=bad, generated_at=DONE))
    for found in ("Stop the shadow", "too different", "shadow worse", "too slow", "pairs missing"):
        assert found in text
    good = shadows.judged(shadows.counted(6_000), measured=shadows.latencies())
    text = words(render_experiment(shadow=good, generated_at=DONE))
    for found in ("Shadow may go on", "as alike as asked", "fast enough", "complete"):
        assert found in text


def test_numbers_are_closer_or_not_and_agree_within_the_tolerance() -> None:
    production, shadow = shadows.numbers(2_000)
    counts = count_pairs(shadows.NUMBERS, production, shadow, pairing=shadows.pairing(2_000))
    verdict = shadows.judged(counts)
    source = render_experiment(shadow=verdict, generated_at=DONE)
    assert "Numbers agree that differ by at most 1." in words(source)
    assert "the shadow closer" in source and "neither right" not in source
    assert verdict.difference is not None
    # The tolerance is an edge between bins.
    mixed = [
        a and d
        for a, d in zip(verdict.difference.agreeing, verdict.difference.differing, strict=True)
    ]
    assert not any(mixed)


def test_bars_of_differences_add_up_to_the_pairs() -> None:
    verdict = shadows.judged(shadows.counted(2_000))
    assert verdict.difference is not None
    chart = Page(difference_chart(verdict.difference))
    assert chart.unclosed == []
    assert sum(verdict.difference.agreeing) == verdict.agreement.hits


def test_names_from_outside_cannot_break_out() -> None:
    name = HOSTILE[0]
    verdict = trial(0.94)
    shadow = shadows.judged(shadows.counted(2_000))
    segment = replace(verdict.segments[0], column=HOSTILE[1], category=HOSTILE[2])
    hostile = replace(
        verdict,
        experiment=name,
        champion=HOSTILE[1],
        challenger=HOSTILE[2],
        reason=name,
        metrics=tuple(replace(metric, name=HOSTILE[3]) for metric in verdict.metrics),
        segments=(segment,),
    )
    shady = replace(
        shadow,
        experiment=name,
        production=name,
        shadow=name,
        reason=name,
        transitions=tuple(replace(t, production=name, shadow=name) for t in shadow.transitions),
        segments=tuple(replace(s, column=name, category=name) for s in shadow.segments),
    )
    plain = Page(render_experiment(verdict=verdict, shadow=shadow, generated_at=DONE))
    for text in (
        render_experiment(verdict=hostile, shadow=shady, generated_at=DONE),
        render_experiment(shadow=shady, generated_at=DONE),
    ):
        page = Page(text)
        assert page.unclosed == []
        assert {tag for tag, _ in page.elements} <= {tag for tag, _ in plain.elements}
        assert all(not key.startswith("on") for _, found in page.elements for key in found)
        text.encode()
