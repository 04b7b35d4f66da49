"""Outcomes in the report: quality, estimates, bias and attributions, and that they are safe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.config import DecisionSettings
from driftgauge.drift.verdict import WindowVerdict
from driftgauge.fairness.verdict import BiasVerdict, FacetVerdict
from driftgauge.fairness.verdict import MetricVerdict as BiasMetricVerdict
from driftgauge.outcome_verdict import (
    OutcomesVerdict,
    decode_outcomes_verdict,
    encode_outcomes_verdict,
)
from driftgauge.profile.profile import Profile
from driftgauge.quality.counts import count_outcomes
from driftgauge.quality.decision import judge_quality_strictly
from driftgauge.quality.files import suggest_quality_constraints
from driftgauge.quality.metrics import measure
from driftgauge.quality.pictures import picture_quality
from driftgauge.quality.spec import specify_outcomes
from driftgauge.report.html import render_report
from driftgauge.report.outcome_bias import main_metric
from driftgauge.report.outcome_chart import quality_chart
from driftgauge.report.outcome_words import (
    decay_since,
    delay_text,
    quality_sentence,
    summarize_outcomes,
)
from driftgauge.report.outcomes import outcome_sections
from tests.unit.outcome_weeks import (
    CARRIERS,
    DAY,
    flights,
    judged_attributions,
    judged_bias,
    judged_quality,
    keep_labels,
    label_counts,
    season,
    standing,
    week_of,
)
from tests.unit.quality_world import multiclass, regression, without_labels
from tests.unit.test_report import HOSTILE, NOW, WEEK, Page, columns, judged, profile_of
from tests.unit.test_report_sections import section, words

START = WEEK.start
DECAYS = (0.0, 0.0, 0.05, 0.0, 0.0, 0.8, 0.85, 0.9)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    table = Table(rows=5_000, columns=columns(1, 5_000, merged=False))
    return build_baseline([table], version="v1", outputs=("late",), created=NOW)


@pytest.fixture(scope="module")
def calm_profile(baseline: Baseline) -> Profile:
    return profile_of(baseline, 4, merged=False)


@pytest.fixture(scope="module")
def calm(baseline: Baseline, calm_profile: Profile) -> WindowVerdict:
    return judged(baseline, calm_profile)


@pytest.fixture(scope="module")
def weeks() -> list[OutcomesVerdict]:
    """Eight weeks; the last three decay."""
    return season(START, decays=DECAYS, rows=2_500)


@pytest.fixture(scope="module")
def quiet() -> OutcomesVerdict:
    outcomes, before = flights(3_000, seed=200), flights(6_000, seed=1)
    return week_of(
        START,
        judged_quality(outcomes, before),
        bias=judged_bias(outcomes, before),
        attributions=(judged_attributions(1.0, 0.6, 0.45, 0.3, 0.2, 0.1),),
    )


def page(
    baseline: Baseline,
    profile: Profile,
    verdict: WindowVerdict,
    outcomes: OutcomesVerdict,
    history: Sequence[OutcomesVerdict] = (),
) -> str:
    source = render_report(
        verdict=verdict,
        baseline=baseline,
        profile=profile,
        history=(),
        generated_at=NOW,
        decision=DecisionSettings(),
        outcomes=outcomes,
        outcome_history=history,
    )
    parsed = Page(source)
    assert not parsed.unclosed
    assert not parsed.tags("script") and not parsed.tags("img") and not parsed.tags("link")
    identifiers = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert "NaN" not in source and ">nan" not in source
    return source


def test_a_decayed_window_is_not_all_quiet(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict, weeks: list[OutcomesVerdict]
) -> None:
    source = page(baseline, calm_profile, calm, weeks[-1], weeks[:-1])
    head = re.search(r"<header class=\"top\">.*?</header>", source)
    assert head is not None
    assert "Quality decay" in head[0] and "Concept drift" in head[0]
    assert "No drift" not in head[0]
    assert "<title>Quality decay, Concept drift: flight-delays" in source
    lead = re.findall(r'<p class="lead">(.*?)</p>', source)
    assert lead[0].startswith("Predictions became worse, since 17 Jun 2015, 00:00 UTC: accuracy")
    assert "Labels contradict the scores (concept drift)" in lead[0]
    assert lead[1].startswith("No feature drifted")
    text = words(section(source, "Model quality"))
    assert "Decayed since 17 Jun 2015, 00:00 UTC, 21 days before the end of this window" in text


def test_a_window_that_labels_confirm_says_so_after_the_drift(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict, quiet: OutcomesVerdict
) -> None:
    source = page(baseline, calm_profile, calm, quiet)
    lead = re.findall(r'<p class="lead">(.*?)</p>', source)
    assert lead[0].startswith("No feature drifted")
    assert lead[1].startswith("Predictions are as good as in the baseline: accuracy 0.8")
    assert '<span class="badge big ok">No drift</span>' in source
    for heading in ("Model quality", "Without labels", "Bias", "Attributions"):
        assert f"<h2>{heading}" in source


def test_a_report_without_outcomes_is_what_it_was(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    source = render_report(
        verdict=calm, baseline=baseline, profile=calm_profile, history=(), generated_at=NOW
    )
    for heading in ("Model quality", "Without labels", "Bias", "Attributions"):
        assert f"<h2>{heading}" not in source
    assert "<dt>Decay</dt>" not in source and "<dt>Labelled</dt>" not in source


def test_drifted_inputs_need_no_advice_to_look_at_labels_that_are_there(
    baseline: Baseline, quiet: OutcomesVerdict
) -> None:
    profile = profile_of(baseline, 2, merged=True)
    verdict = judged(baseline, profile)
    immature = week_of(
        START, judged_quality(flights(900, seed=3), flights(6_000, seed=1), usual_coverage=2.0)
    )
    assert "labels would settle it" in page(baseline, profile, verdict, immature)
    assert "labels would settle it" not in page(baseline, profile, verdict, quiet)


def test_both_curves_are_drawn_with_bands_and_the_windows_marked(
    weeks: list[OutcomesVerdict],
) -> None:
    chart = quality_chart(weeks[-1], weeks[:-1], name="accuracy")
    assert chart.count('class="alarm-mark"') == 3
    assert chart.count('class="concept-mark"') == 3
    assert chart.count('class="outcome-dot hot"') == 3
    for style in ("line realised", "line estimated", "band-realised", "band-estimated"):
        assert f'class="{style}"' in chart
    assert "8 windows from 13 May 2015, 00:00 to 8 Jul 2015, 00:00 UTC" in chart
    metric = weeks[-1].quality.metrics[0] if weeks[-1].quality else None
    assert metric is not None and metric.value is not None
    assert f'with labels <tspan class="strong">{metric.value:.3f}</tspan>' in chart


def test_one_window_alone_has_no_chart_over_time(weeks: list[OutcomesVerdict]) -> None:
    assert quality_chart(weeks[-1], (), name="accuracy") == ""
    assert "over 1 window" not in outcome_sections(weeks[-1])


def test_a_new_baseline_is_a_line_and_its_value_a_step(weeks: list[OutcomesVerdict]) -> None:
    promoted = [replace(w, baseline_version="v2") if i >= 4 else w for i, w in enumerate(weeks)]
    chart = quality_chart(promoted[-1], promoted[:-1], name="accuracy")
    assert chart.count('class="promotion"') == 1
    assert "New baseline v2 from 10 Jun 2015, 00:00 UTC" in chart
    assert chart.count('class="base-level"') == 2
    same = quality_chart(weeks[-1], weeks[:-1], name="accuracy")
    assert 'class="promotion"' not in same and same.count('class="base-level"') == 1
    assert "new baseline" not in outcome_sections(weeks[-1], weeks[:-1])


def immature_week(start: datetime = START) -> OutcomesVerdict:
    outcomes = keep_labels(flights(3_000, seed=9, decay=1.0), 0.3)
    return week_of(
        start,
        judged_quality(outcomes, flights(6_000, seed=1), usual_coverage=0.9),
        labels=standing(label_counts(3_000, labelled=0.3), usual=0.9, age=timedelta(hours=6)),
    )


def test_immature_windows_are_hollow_and_off_the_curve(weeks: list[OutcomesVerdict]) -> None:
    chart = quality_chart(immature_week(), weeks[:-1], name="accuracy")
    assert chart.count('class="outcome-dot hollow"') == 1
    solid = re.findall(r'<path class="line realised" d="([^"]*)"', chart)
    dotted = re.findall(r'<path class="line unsettled" d="([^"]*)"', chart)
    assert [path.count("L") for path in (*solid, *dotted)] == [6, 7]


def test_immature_labels_are_explained_and_nothing_is_called_decay(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    outcomes = immature_week()
    source = page(baseline, calm_profile, calm, outcomes)
    assert summarize_outcomes(outcomes).findings == ()
    text = words(section(source, "Model quality"))
    assert "labels immature" in text
    assert "Not judged yet." in text and "at this age 90.0% usually have" in text
    assert "no alarm changes until enough have arrived" in text
    assert "30.0% of the predictions have a label (90.0% usually have at this age)" in text
    assert "Too few labels have arrived to compare it with." in words(
        section(source, "Without labels")
    )


def test_windows_without_enough_labels_neither_end_nor_begin_a_decay(
    weeks: list[OutcomesVerdict],
) -> None:
    early = [*weeks[:6], replace(immature_week(weeks[6].window_start))]
    assert decay_since(weeks[-1], early) == weeks[5].window_start
    other = [replace(w, baseline_version="v0") for w in weeks[:-1]]
    assert decay_since(weeks[-1], other) == weeks[-1].window_start
    assert decay_since(weeks[0], ()) is None


def test_the_table_of_measures_has_every_judged_one(weeks: list[OutcomesVerdict]) -> None:
    text = words(section(outcome_sections(weeks[-1], weeks[:-1]) + "</main>", "Model quality"))
    for name in ("Accuracy", "Recall", "Precision", "True negative rate", "F1", "AUC", "Brier"):
        assert name in text
    assert "lower is better" in text


def test_a_segment_that_decays_alone_is_named_first() -> None:
    verdict = week_of(
        START,
        judged_quality(flights(8_000, seed=4, segment_decay=1.5), flights(8_000, seed=1)),
    )
    source = outcome_sections(verdict)
    table = source[source.index('class="features segments"') :]
    assert table.index(CARRIERS[-1]) < min(table.index(name) for name in CARRIERS[:-1])
    assert "most in carrier = WN" in quality_sentence(verdict)


def test_pictures_show_the_matrix_and_the_curves_of_window_and_baseline(
    weeks: list[OutcomesVerdict],
) -> None:
    quality = weeks[-1].quality
    assert quality is not None and quality.pictures is not None
    source = outcome_sections(weeks[-1])
    for heading in ("Confusion matrix", "Reliability of", "ROC curve", "Precision and recall"):
        assert f"<h3>{heading}" in source
    matrix = quality.pictures.confusion
    assert sum(map(sum, matrix)) == quality.labelled
    assert f"label no, predicted yes: {matrix[0][1]:,} rows" in source
    for curve in (quality.pictures.roc, quality.pictures.precision_recall):
        assert 2 < len(curve.x) == len(curve.y) <= 60
    assert quality.pictures.roc.x[-1] == quality.pictures.roc.y[-1] == 1.0


def test_pictures_survive_the_file_and_older_files_have_none(
    weeks: list[OutcomesVerdict],
) -> None:
    data = encode_outcomes_verdict(weeks[-1])
    assert decode_outcomes_verdict(data) == weeks[-1]
    assert weeks[-1].quality is not None
    bare = replace(weeks[-1].quality, pictures=None, baseline_pictures=None)
    assert "Confusion matrix" not in outcome_sections(replace(weeks[-1], quality=bare))


def test_a_regression_is_told_in_the_unit_of_its_labels() -> None:
    before = regression(5_000, seed=1)
    verdict = week_of(START, judged_quality(regression(3_000, seed=2, scale=1.5), before))
    earlier = week_of(START - 7 * DAY, judged_quality(regression(3_000, seed=3), before))
    source = outcome_sections(verdict, [earlier])
    assert "Mean absolute error over 2 windows (lower is better)" in source
    assert "Error by size of the prediction" in source
    assert "predictions of this size had in the baseline" in source
    assert "Confusion matrix" not in source
    assert "became worse: mean absolute error" in quality_sentence(verdict)


def test_many_classes_are_cut_to_those_with_most_labels() -> None:
    spec_outcomes = multiclass(3_000, seed=1)
    verdict = week_of(START, judged_quality(multiclass(3_000, seed=2, noise=0.4), spec_outcomes))
    source = outcome_sections(verdict)
    assert "label z, predicted x" in source and "ROC curve" not in source
    assert verdict.quality is not None and verdict.quality.pictures is not None
    many = replace(
        verdict.quality.pictures,
        classes=tuple(f"class-{i}" for i in range(30)),
        confusion=tuple(tuple(10 + i if i == j else 1 for j in range(30)) for i in range(30)),
    )
    cut = outcome_sections(
        replace(verdict, quality=replace(verdict.quality, pictures=many, baseline_pictures=None))
    )
    assert cut.count('class="cell ') == 144
    assert "The 12 classes with most labels, of 30." in cut
    assert "class-29" in cut and "label class-3," not in cut


@pytest.mark.parametrize("labelled", [0, 20])
def test_few_or_no_labels_are_told_not_judged(labelled: int) -> None:
    outcomes = without_labels(flights(2_000, seed=5), keep=labelled)
    verdict = week_of(
        START,
        judged_quality(outcomes, flights(6_000, seed=1)),
        labelled=labelled / 2_000,
        labels=standing(label_counts(2_000, labelled=labelled / 2_000), usual=None),
    )
    source = outcome_sections(verdict)
    assert summarize_outcomes(verdict).headline.startswith("Quality is not judged")
    assert "insufficient data" in source and "Not judged." in source


def test_an_empty_window_without_anything_to_compare_with_says_why() -> None:
    verdict = week_of(
        START,
        None,
        labels=standing(label_counts(0, labelled=0.0), usual=None),
        reason="The training data has no label, so there is nothing to compare with.",
    )
    source = outcome_sections(verdict)
    assert "The training data has no label" in source
    assert "<h2>Bias" not in source and "<h2>Without labels" not in source
    Page(f"<div>{source}</div>")


def test_strict_mode_shows_thresholds_and_no_tolerance() -> None:
    before, now = flights(6_000, seed=1), flights(2_000, seed=2, decay=0.8)
    spec = specify_outcomes(before)
    constraints = suggest_quality_constraints("binary", measure(count_outcomes(spec, before)))
    strict = judge_quality_strictly(count_outcomes(spec, now), constraints)
    source = outcome_sections(week_of(START, strict), [week_of(START - 7 * DAY, strict)])
    assert "Threshold</th>" in source and "Tolerance</th>" not in source
    assert "<h2>Without labels" not in source and "band of the estimate" not in source


@pytest.fixture(scope="module")
def biased() -> list[OutcomesVerdict]:
    return season(START, decays=(0.0,) * 4, rows=4_000, bias=(0.0, 0.0, 1.6, 1.6))


def test_a_biased_facet_is_told_with_its_metrics_against_what_is_allowed(
    biased: list[OutcomesVerdict],
) -> None:
    verdict = biased[-1]
    source = outcome_sections(verdict, biased[:-1])
    text = words(section(source + "</main>", "Bias"))
    assert "carrier WN" in text and "Disparate Impact" in text
    assert "Difference in Positive Proportions in Predicted Labels (DPPL) over time" in text
    assert "Bias grew for carrier WN: DPPL 0." in summarize_outcomes(verdict).headline
    assert "There is no group variable." in text and "insufficient data" in text
    chart = source[source.index("DPPL of carrier WN over time") :]
    assert chart[: chart.index("</svg>")].count('class="outcome-dot hot"') == 2


def metric(name: str, verdict: str = "ok", **changes: object) -> BiasMetricVerdict:
    plain = BiasMetricVerdict(
        name=name, verdict="ok", reason="", value=0.1, baseline=0.05, low=0.0, high=0.2,
        allowed_low=-0.1, allowed_high=0.1, rows=100,
    )  # fmt: skip
    return replace(plain, verdict=verdict, **changes)  # type: ignore[arg-type]


def facet(*metrics: BiasMetricVerdict, name: str = "sex") -> FacetVerdict:
    return FacetVerdict(
        stage="post_training", facet=name, facet_value="F", verdict="ok", rows_a=10, rows_d=10,
        unusable=3, metrics=metrics,
    )  # fmt: skip


def test_the_main_metric_is_judged_and_a_drifted_one_wins() -> None:
    unjudged = metric("DPPL", "insufficient_data")
    assert main_metric(facet(unjudged, metric("AD"), metric("DI"))) == metric("DI")
    assert main_metric(facet(metric("DPPL"), metric("AD", "drift"))) == metric("AD", "drift")
    assert main_metric(facet(unjudged)) is None


def test_infinite_values_of_bias_metrics_are_written_not_drawn() -> None:
    bias = BiasVerdict(
        mode="sound", verdict="ok", reason="As before.", label="y", label_value="1", rows=20,
        facets=(facet(metric("DI", value="Infinity", low=0.0, high=None, baseline=None)),),
    )  # fmt: skip
    verdict = week_of(START, None, bias=bias)
    text = words(outcome_sections(verdict, [week_of(START - 7 * DAY, None, bias=bias)]))
    assert "∞" in text and "0.000 to ∞" in text and "3 in neither group" in text


def test_attributions_show_shares_ranks_and_limits() -> None:
    verdict = week_of(
        START, None, attributions=(judged_attributions(0.3, 0.6, 1.2, 0.3, 0.2, 0.1),)
    )
    source = outcome_sections(verdict)
    text = words(section(source + "</main>", "Attributions"))
    assert "3→1 ▲" in text and "1→" in text
    assert "Worth an alarmfrom 10.0%" in text and "NDCG, Clarify's limit0.9" in text
    summary = summarize_outcomes(replace(verdict, reason=""))
    assert summary.findings == ("attribution",)
    assert summary.headline.startswith("Features matter otherwise than in the baseline: carrier")


def test_unexplained_windows_and_many_features_are_shown_all_the_same() -> None:
    few = judged_attributions(0.3, 0.6, 1.2, 0.3, 0.2, 0.1, rows=5)
    assert few.verdict == "insufficient_data"
    assert "insufficient data" in outcome_sections(week_of(START, None, attributions=(few,)))
    feature = few.features[0]
    many = replace(few, features=tuple(replace(feature, name=f"f{i}") for i in range(40)))
    assert "26 other" in outcome_sections(week_of(START, None, attributions=(many,)))


def test_hostile_names_stay_text_and_the_page_stays_one_document(
    baseline: Baseline, calm_profile: Profile, calm: WindowVerdict
) -> None:
    names = ("ok", *HOSTILE)
    quality = judged_quality(
        flights(5_000, seed=5, names=names, segment_decay=2.0), flights(6_000, seed=1, names=names)
    )
    assert quality.pictures is not None
    pictures = replace(quality.pictures, classes=HOSTILE[:2])
    for name in HOSTILE:
        attribution = judged_attributions(0.3, 0.6, 1.2, 0.3, 0.2, 0.1)
        attribution = replace(
            attribution,
            label=name,
            reason=name,
            features=tuple(replace(f, name=name) for f in attribution.features),
        )
        unjudged = metric("AD", "insufficient_data", reason=name)
        bias = BiasVerdict(
            mode="sound", verdict="ok", reason=name, label=name, label_value=name, rows=20,
            facets=(facet(metric(name), unjudged, name=name),),
        )  # fmt: skip
        outcomes = week_of(
            START,
            replace(quality, pictures=pictures, reason=name),
            bias=bias,
            attributions=(attribution,),
            baseline=name,
            reason=name,
        )
        source = page(
            baseline, calm_profile, calm, outcomes, [replace(outcomes, window_start=START - DAY)]
        )
        assert len(source) < 250_000


def test_two_years_of_windows_stay_a_small_page(weeks: list[OutcomesVerdict]) -> None:
    many = [
        replace(
            weeks[i % 8],
            window_start=START - (100 - i) * 7 * DAY,
            window_end=START - (99 - i) * 7 * DAY,
        )
        for i in range(100)
    ]
    source = outcome_sections(weeks[-1], many)
    assert len(source) < 200_000
    assert 'class="outcome-dot calm"' not in quality_chart(weeks[-1], many, name="accuracy")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, "0 seconds"), (90.0, "1.5 minutes"), (7_200.0, "2 hours"), (1e6, "12 days")],
)
def test_delays_have_a_unit(seconds: float, expected: str) -> None:
    assert delay_text(seconds) == expected


def test_unlabelled_outcomes_have_no_picture() -> None:
    outcomes = without_labels(flights(100, seed=1))
    assert picture_quality(count_outcomes(specify_outcomes(outcomes), outcomes)) is None
