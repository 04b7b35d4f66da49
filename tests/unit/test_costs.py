"""What a deployment is estimated to cost, and that the documents say the same."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driftgauge.cli import main
from driftgauge.config import MonitorConfig, MonitorSet, load_monitors, parse_monitor
from driftgauge.costs import (
    ATTRIBUTION_METRICS,
    BIAS_METRICS,
    ESTIMATE_METRICS,
    EXPERIMENT_METRICS,
    FILE_METRICS,
    JOINT_METRICS,
    LABEL_METRICS,
    OUTCOME_METRICS,
    PERSISTENCE_METRICS,
    POSTPROCESS_METRICS,
    PREPROCESS_METRICS,
    PRICES,
    ROLLUP_ABOVE,
    WINDOW_METRICS,
    Assumptions,
    default_assumptions,
    estimate_deployment,
    estimate_monitor,
    summary_line,
)
from driftgauge.costs.outcomes import outcome_work_of
from driftgauge.costs.quantities import work_of
from driftgauge.store import Current, LocalObjects, MonitorStore
from driftgauge.windows import parse_time
from lambdas.rollup import FEW_PROFILES

ROOT = Path(__file__).resolve().parents[2]
USUAL = Assumptions()


def monitor(**settings: Any) -> MonitorConfig:
    return parse_monitor({"name": "churn", "endpoint": {"name": "churn"}, **settings}, "churn.yaml")


def cost(config: MonitorConfig, service: str, word: str, assumed: Assumptions = USUAL) -> float:
    items = estimate_monitor(config, assumed).items
    (item,) = [one for one in items if one.service == service and word in one.what]
    return item.cost


def test_a_total_is_the_sum_of_its_items() -> None:
    estimate = estimate_deployment(MonitorSet(monitors=(monitor(),)))
    items = [*estimate.shared, *estimate.monitors[0].items]
    by_hand = sum(item.quantity * item.price.dollars for item in items)
    assert estimate.total == pytest.approx(by_hand)
    assert all(item.quantity > 0 and math.isfinite(item.cost) for item in items)


def test_hourly_jobs_of_model_monitor_are_billed_by_the_minute() -> None:
    # 730 jobs of 5 minutes at $0.23 an hour; 25 features with three metrics at $0.30.
    jobs, metrics = estimate_monitor(monitor(), USUAL).alternative
    assert jobs.cost == pytest.approx(730 * 5 / 60 * 0.23)
    assert metrics.cost == pytest.approx(25 * 3 * 0.30)


def test_metrics_per_feature_are_billed_only_where_a_monitor_opts_in() -> None:
    plain = estimate_monitor(monitor(window="1h"), USUAL)
    opted = estimate_monitor(
        monitor(window="1h", model_monitor_metrics={"schedule": "churn-hourly"}), USUAL
    )
    assert plain.compatible_metrics == 0
    assert opted.compatible_metrics == pytest.approx(75 * 0.30 + 730 * 0.01 / 1000)
    assert opted.total - plain.total == pytest.approx(opted.compatible_metrics)
    assert summary_line(opted).endswith("$22.51 of it for model_monitor_metrics")


def test_a_metric_is_billed_for_the_hours_in_which_it_has_data() -> None:
    opted = {"model_monitor_metrics": {"schedule": "churn"}}
    assert cost(monitor(window="1d", **opted), "CloudWatch", "per feature") == pytest.approx(
        75 * 0.30 / 24
    )
    hourly = cost(monitor(window="1h"), "CloudWatch", "metrics of the monitor")
    daily = cost(monitor(window="1d"), "CloudWatch", "metrics of the monitor")
    assert hourly == pytest.approx((2 + 10) * 0.30)
    assert daily == pytest.approx((2 + 10 / 24) * 0.30)
    strict = cost(monitor(window="1h", mode="strict"), "CloudWatch", "metrics of the monitor")
    assert strict == pytest.approx((2 + 8) * 0.30)


def test_alarms_that_look_every_ten_seconds_cost_three_times_as_much() -> None:
    fine = monitor(window="1h", alarms={"period": "10s"})
    assert cost(fine, "CloudWatch", "more than once a minute") == pytest.approx(7 * 0.30)
    standard = [i for i in estimate_monitor(fine, USUAL).items if i.what == "alarms"]
    assert standard[0].quantity == 5


def test_every_variant_has_metrics_and_alarms_of_its_own() -> None:
    two = monitor(window="1h", endpoint={"name": "churn", "variants": ["a", "b"]})
    one = monitor(window="1h")
    for word in ("metrics of the monitor", "unusual volume"):
        assert cost(two, "CloudWatch", word) == pytest.approx(2 * cost(one, "CloudWatch", word))
    # There is one composite alarm, whatever the number of variants.
    assert cost(two, "CloudWatch", "stands for all") == cost(one, "CloudWatch", "stands for all")


def test_more_files_cost_more_requests_and_more_rows_cost_more_compute() -> None:
    config = monitor()
    busy = replace(USUAL, files_per_hour=6000)
    assert cost(config, "S3", "written", busy) > 50 * cost(config, "S3", "written")
    heavy = replace(USUAL, rows_per_hour=1e7)
    assert cost(config, "Lambda", "compute of profile", heavy) > 3 * cost(
        config, "Lambda", "compute of profile"
    )
    assert cost(config, "S3", "written", heavy) == cost(config, "S3", "written")


def test_windows_evaluated_on_arrival_read_each_profile_once_however_long_they_are() -> None:
    def read(window: str) -> float:
        config = monitor(window=window, evaluate="on_arrival", debounce="10s")
        return cost(config, "S3", "profiles read")

    # 43,800 evaluations of a month, each with a rollup, a new profile and the reports before it.
    evaluations = 60 * 730
    assert read("7d") == pytest.approx(evaluations * (3 + 2 + 1 + 1 + 1 + 30) * 0.4e-6, rel=0.001)
    assert read("7d") == pytest.approx(read("1d"), rel=0.001)


def test_a_window_of_few_files_has_no_rollup() -> None:
    config = monitor(window="1h", evaluate="on_arrival", debounce="10s")
    for files, puts in ((ROLLUP_ABOVE, 9), (ROLLUP_ABOVE + 1, 10)):
        assumed = replace(USUAL, files_per_hour=files)
        expected = pytest.approx(730 * files * puts * 5e-6)
        assert cost(config, "S3", "reports written", assumed) == expected


def test_the_estimate_knows_from_which_number_of_profiles_on_there_is_a_rollup() -> None:
    assert ROLLUP_ABOVE == FEW_PROFILES


def test_references_are_listed_and_read_at_each_evaluation() -> None:
    references = [{"kind": "trailing"}, {"kind": "season", "period": "7d", "windows": 3}]
    plain, compared = monitor(window="1h"), monitor(window="1h", references=references)
    listed = [cost(config, "S3", "listed") for config in (plain, compared)]
    read = [cost(config, "S3", "profiles read") for config in (plain, compared)]
    # Four windows before and three seasons, each a page of 60 profiles and one rollup.
    assert listed[1] == pytest.approx(listed[0] * (1 + 7))
    assert read[1] - read[0] == pytest.approx(730 * 7 * 0.4e-6)
    strict = monitor(window="1h", references=references, mode="strict")
    assert cost(strict, "S3", "listed") == listed[0]


def test_retrained_monitors_list_the_profiles_of_earlier_baselines_too() -> None:
    plain = monitor(prediction="p", label="l")
    retrained = monitor(prediction="p", label="l", retraining={"enabled": True})
    listed = [cost(config, "S3", "listed") for config in (plain, retrained)]
    # Two pages of 1,440 profiles a day, and a request for each of four earlier baselines.
    assert listed[1] == pytest.approx(listed[0] * (2 + 4) / 2)


def test_files_that_come_faster_than_the_debounce_are_evaluated_every_ten_debounces() -> None:
    config = monitor(window="1h", evaluate="on_arrival", debounce="60s")
    busy = replace(USUAL, files_per_hour=3600)
    written = [i for i in estimate_monitor(config, busy).items if "written" in i.what]
    evaluations = (written[0].quantity - 3600 * 730) / (7 + 1 + 1)
    assert evaluations == pytest.approx(6 * 730)


def test_the_columns_a_monitor_names_are_counted() -> None:
    named = monitor(capture={"inputs": ["a", "b", "c"], "outputs": ["score"]})
    assert default_assumptions(named).features == 4
    assert default_assumptions(monitor(capture={"inputs": ["a"]})).features == 2
    assert default_assumptions(named, features=7).features == 7
    assert default_assumptions(monitor()).features == Assumptions().features


def test_retraining_is_billed_where_it_is_enabled() -> None:
    retrained = monitor(prediction="p", label="l", retraining={"enabled": True})
    assert cost(retrained, "Step Functions", "retrainings") > 0
    assert not [i for i in estimate_monitor(monitor(), USUAL).items if "retrain" in i.what]


def test_the_functions_publish_exactly_the_metrics_that_are_billed() -> None:
    text = "".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "lambdas").glob("*.py"))
    )
    published = set(re.findall(r'Measure\(\s*"(\w+)"', text))
    # FeatureDistance or PredictionDistance, by the column's role.
    published |= set(re.findall(r'"(\w+Distance)"', text))
    billed = (
        *FILE_METRICS,
        *WINDOW_METRICS,
        *PERSISTENCE_METRICS,
        *JOINT_METRICS,
        *PREPROCESS_METRICS,
        *POSTPROCESS_METRICS,
        *LABEL_METRICS,
        *OUTCOME_METRICS,
        *ESTIMATE_METRICS,
        *BIAS_METRICS,
        *ATTRIBUTION_METRICS,
        *(name for names in EXPERIMENT_METRICS.values() for name in names),
    )
    assert published == set(billed)


LABELLED: dict[str, Any] = {"prediction": "p", "label": "l", "outcomes": {}}
BIAS = {"facets": [{"column": "sex", "values": ["f"]}]}


def test_outcomes_and_attributions_are_billed_only_where_a_monitor_has_them() -> None:
    assert estimate_monitor(monitor(prediction="p", label="l"), USUAL).outcomes == 0
    labelled = estimate_monitor(monitor(**LABELLED), USUAL)
    assert labelled.outcomes > 0
    assert not [item for item in labelled.items if "explain" in item.what]
    explained = estimate_monitor(monitor(attribution={}), USUAL)
    assert explained.outcomes > 0
    assert not [
        item for item in explained.items if "of labels" in item.what and "calls" in item.what
    ]
    assert "for labels and attributions" in summary_line(labelled)


def test_metrics_of_outcomes_are_those_that_the_monitor_has() -> None:
    def metrics(**settings: Any) -> float:
        config = monitor(window="1h", **settings)
        return cost(config, "CloudWatch", "labels and what they say") / 0.30

    assert metrics(**LABELLED) == pytest.approx(3 + 4 + 3)
    assert metrics(**LABELLED, mode="strict") == pytest.approx(3 + 4)
    assert metrics(**LABELLED, bias=BIAS) == pytest.approx(3 + 4 + 3 + 1)
    assert metrics(attribution={}) == pytest.approx(2)
    two = {"endpoint": {"name": "churn", "variants": ["a", "b"]}}
    # Labels without a prediction and unreadable ones are of no variant.
    assert metrics(**LABELLED, **two) == pytest.approx(2 * (1 + 4 + 3) + 2)


def test_a_label_object_is_matched_in_the_grains_it_spans_and_its_windows_judged_again() -> None:
    labelled = monitor(window="1h", **LABELLED)
    work = work_of(labelled, USUAL)
    hourly = outcome_work_of(labelled, USUAL, work)
    # One an hour, whose labels begin in one hour and end in the next, a day back.
    assert (hourly.label_files, hourly.matched, hourly.rejudged) == (730, 2 * 730, 2 * 730)
    assert hourly.searched == 730 * (24 + 2)
    daily = outcome_work_of(labelled, replace(USUAL, label_files_per_hour=1 / 24), work)
    assert daily.matched == pytest.approx(730 / 24 * 25)
    assert daily.rejudged == pytest.approx(730 / 24 * 25)
    late = outcome_work_of(labelled, replace(USUAL, label_delay_hours=9000), work)
    assert late.searched == 730 * (90 * 24 + 2)


def test_labels_in_many_small_objects_cost_more_than_in_few_large_ones() -> None:
    totals = [
        estimate_monitor(monitor(**LABELLED), replace(USUAL, label_files_per_hour=files)).outcomes
        for files in (1 / 24, 1, 60)
    ]
    assert totals == sorted(totals)
    assert totals[2] > 4 * totals[1]


def test_predictions_are_kept_as_long_as_labels_may_come() -> None:
    def kept(lookback: str) -> float:
        config = monitor(prediction="p", outcomes={"lookback": lookback})
        return cost(config, "S3", "labels and samples kept", replace(USUAL, rows_per_hour=1e6))

    assert kept("180d") / kept("90d") == pytest.approx((180 + 1 + 14) / (90 + 1 + 14))
    # 730 million rows a month: 30 bytes each, twice, and 20 for the label.
    months = (90 + 1 + 14) / (730 / 24)
    assert kept("90d") == pytest.approx(730e6 * 80 / 1e9 * months * 0.023, rel=0.01)


def test_explaining_by_the_endpoint_waits_for_its_answers() -> None:
    own = cost(monitor(attribution={}), "Lambda", "compute of explain")
    asked = {"source": "endpoint", "invocations": 2000}
    assert cost(monitor(attribution=asked), "Lambda", "compute of explain") > 5 * own


def test_metrics_of_outcomes_under_model_monitors_names_are_billed_per_feature_and_facet() -> None:
    plain = {"model_monitor_metrics": {"schedule": "s"}, "window": "1h"}

    def compatible(**settings: Any) -> float:
        return estimate_monitor(monitor(**plain, **settings), USUAL).compatible_metrics

    assert compatible(attribution={}) - compatible() == pytest.approx(26 * 0.30)
    assert compatible(**LABELLED, bias=BIAS) - compatible(**LABELLED) == pytest.approx(21 * 0.30)
    assert compatible(**LABELLED) > compatible()


def test_a_retraining_that_takes_several_alarms_has_one_for_each_variant() -> None:
    retrained = {"prediction": "p", "label": "l"}
    several = monitor(**retrained, retraining={"enabled": True})
    assert cost(several, "CloudWatch", "starts a retraining") == pytest.approx(0.50)
    single = monitor(**retrained, retraining={"enabled": True, "triggers": ["feature-drift"]})
    disabled = monitor(**retrained)
    for config in (single, disabled):
        items = estimate_monitor(config, USUAL).items
        assert not [item for item in items if "starts a retraining" in item.what]


def test_hooks_have_a_metric_each() -> None:
    hooks = {"preprocess": "s3://b/pre.py", "postprocess": "s3://b/post.py"}
    hooked = monitor(window="1h", capture={"hooks": hooks})
    assert cost(hooked, "CloudWatch", "metrics of the monitor") == pytest.approx(14 * 0.30)


SHADOW: dict[str, Any] = {
    "name": "june",
    "kind": "shadow",
    "champion": "a",
    "challenger": "b",
    "since": "2026-06-01T00:00:00Z",
}


def test_every_price_is_used() -> None:
    configs = (
        monitor(window="1h", model_monitor_metrics={"schedule": "s"}),
        parse_monitor(
            {
                "name": "other",
                "endpoint": {"name": "other", "variants": ["a", "b"]},
                "prediction": "p",
                "label": "l",
                "outcomes": {},
                "experiments": [SHADOW],
                "alarms": {"period": "10s"},
                "retraining": {"enabled": True},
            },
            "other.yaml",
        ),
    )
    estimate = estimate_deployment(MonitorSet(monitors=configs))
    used = {item.price for item in estimate.shared}
    for one in estimate.monitors:
        used |= {item.price for item in (*one.items, *one.alternative)}
    assert used == set(PRICES.values())


def test_the_command_prints_items_and_what_model_monitor_would_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cost", "--monitors", str(ROOT / "monitors")]) == 0
    out = capsys.readouterr().out
    estimate = estimate_deployment(load_monitors(ROOT / "monitors"))
    assert f"About ${estimate.total:,.2f} a month" in out
    assert f"${estimate.monitors[0].model_monitor:,.2f}" in out
    assert "With evaluate: on_schedule" in out
    assert "re-check" in out


def test_the_command_prints_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "churn.yaml").write_text("name: churn\nendpoint: {name: churn}\n")
    arguments = ["--monitors", str(tmp_path), "--rows-per-hour", "2e4", "--features", "80"]
    arguments += ["--label-files-per-hour", "0.5", "--label-delay-hours", "48"]
    assert main(["cost", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (one,) = document["monitors"]
    assert one["assumptions"]["label_files_per_hour"] == 0.5
    assert one["assumptions"]["label_delay_hours"] == 48
    assert one["assumptions"]["rows_per_hour"] == 20_000
    assert one["assumptions"]["features"] == 80
    assert one["total"] == pytest.approx(sum(item["cost"] for item in one["items"]), abs=0.01)
    assert document["total"] == pytest.approx(one["total"] + document["shared"]["total"], abs=0.02)


def test_the_command_counts_the_columns_of_the_stored_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "churn.yaml").write_text("name: churn\nendpoint: {name: churn}\n")
    objects = LocalObjects(tmp_path / "store")
    store = MonitorStore(objects=objects, monitor="churn")
    since = parse_time("2026-01-01T00:00:00Z")
    store.write_current(Current(baseline="v1", model=None, since=since), if_tag=None)
    features = json.dumps({"features": [{"name": str(i)} for i in range(9)]}).encode()
    objects.write(store.baseline_key("v1", "statistics.json"), features)
    arguments = ["--monitors", str(tmp_path), "--store", str(tmp_path / "store"), "--json"]
    assert main(["cost", *arguments]) == 0
    (one,) = json.loads(capsys.readouterr().out)["monitors"]
    assert one["assumptions"]["features"] == 9


@pytest.mark.parametrize("features", ["0", "many", "-3", "1.5"])
def test_a_number_of_features_that_is_none_is_a_usage_error(
    features: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["cost", "--features", features])
    assert stopped.value.code == 2
    assert "whole number" in capsys.readouterr().err


def documented(title: str) -> list[list[str]]:
    """Return the cells of the first table below a heading of docs/costs.md."""
    text = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"(?ms)^## {re.escape(title)}$(.*?)(?=^## |\Z)", text)
    rows = [line for line in section.splitlines() if line.startswith("|")]
    table = rows[: rows.index(next((r for r in rows[2:] if r.startswith("|---")), rows[-1])) + 1]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[2:]]


def test_the_documents_items_are_those_of_the_default_monitor() -> None:
    estimate = estimate_deployment(MonitorSet(monitors=(monitor(),)))
    (one,) = estimate.monitors
    expected = [[i.service, i.what, f"{i.cost:,.2f}"] for i in one.items]
    expected.append(["**Together**", "", f"**{one.total:,.2f}**"])
    assert documented("The default monitor") == expected
    jobs, metrics = one.alternative
    prose = " ".join((ROOT / "docs" / "costs.md").read_text(encoding="utf-8").split())
    assert f"however many monitors: ${estimate.shared_total:,.2f}" in prose
    assert f"same endpoint: ${jobs.cost:,.2f} for the instances" in prose
    assert f"and ${metrics.cost:,.2f} for its metrics per feature" in prose


def test_the_document_says_what_labels_and_attributions_add() -> None:
    prose = " ".join((ROOT / "docs" / "costs.md").read_text(encoding="utf-8").split())

    def shared(**settings: Any) -> float:
        return estimate_deployment(MonitorSet(monitors=(monitor(**settings),))).shared_total

    labels, attributions = shared(**LABELLED) - shared(), shared(attribution={}) - shared()
    assert f"two more alarms, ${labels:,.2f} and ${attributions:,.2f}" in prose
    labelled = estimate_monitor(monitor(**LABELLED), USUAL)
    metrics = cost(monitor(**LABELLED), "CloudWatch", "labels and what they say")
    assert f"${metrics:,.2f} of the ${labelled.outcomes:,.2f} they add are ten metrics" in prose
    lost = estimate_monitor(monitor(**LABELLED), replace(USUAL, label_delay_hours=90 * 24))
    assert f"that would be ${lost.outcomes - labelled.outcomes:,.2f} more" in prose


def test_the_documents_scenarios_are_computed_ones() -> None:
    expected = []
    for words, config, assumed in SCENARIOS:
        one = estimate_monitor(config, assumed)
        expected.append(
            [
                words,
                f"{one.total:,.2f}",
                f"{one.compatible_metrics:,.2f}",
                f"{one.model_monitor:,.2f}",
            ]
        )
    assert documented("What it depends on") == expected


def test_the_documents_prices_are_those_that_are_used() -> None:
    expected = [
        [name, f"${p.dollars:.10f}".rstrip("0").rstrip("."), p.unit] for name, p in PRICES.items()
    ]
    assert documented("Prices") == expected


COMPATIBLE = {"model_monitor_metrics": {"schedule": "churn"}}
FULL = monitor(**LABELLED, bias=BIAS, attribution={})
SCENARIOS: list[tuple[str, MonitorConfig, Assumptions]] = [
    ("daily windows (the default)", monitor(), USUAL),
    ("hourly windows", monitor(window="1h"), USUAL),
    ("hourly windows and `model_monitor_metrics`", monitor(window="1h", **COMPATIBLE), USUAL),
    (
        "the same with 100 features",
        monitor(window="1h", **COMPATIBLE),
        replace(USUAL, features=100),
    ),
    ("daily windows and `model_monitor_metrics`", monitor(**COMPATIBLE), USUAL),
    ("a million rows an hour", monitor(), replace(USUAL, rows_per_hour=1e6)),
    ("600 capture files an hour", monitor(), replace(USUAL, files_per_hour=600)),
    ("daily windows, on arrival", monitor(evaluate="on_arrival"), USUAL),
    ("weekly windows, on arrival", monitor(window="7d", evaluate="on_arrival"), USUAL),
    ("daily windows and `outcomes`", monitor(**LABELLED), USUAL),
    ("the same with `bias` and `attribution`", FULL, USUAL),
    (
        "`outcomes`, with labels in 60 objects an hour",
        monitor(**LABELLED),
        replace(USUAL, label_files_per_hour=60),
    ),
    ("`outcomes`, a million rows an hour", monitor(**LABELLED), replace(USUAL, rows_per_hour=1e6)),
    ("`outcomes`, on arrival", monitor(**LABELLED, evaluate="on_arrival"), USUAL),
]
