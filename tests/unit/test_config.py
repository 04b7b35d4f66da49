"""Monitor files: what is accepted, and how a mistake is explained."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from driftgauge.config import (
    MonitorSet,
    json_schema,
    load_monitors,
    parse_monitor,
    read_monitor_set,
)
from driftgauge.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
MINIMAL: dict[str, Any] = {"name": "churn", "endpoint": {"name": "churn-prod"}}


def test_a_name_and_an_endpoint_are_enough() -> None:
    config = parse_monitor(MINIMAL, "churn.yaml")
    assert config.window == timedelta(days=1)
    assert config.endpoint.variants == ("AllTraffic",)
    assert config.alarm_period == timedelta(days=1)


def test_the_monitors_in_the_repository_are_valid() -> None:
    assert load_monitors(ROOT / "monitors")["flight-delays"].prediction == "late_probability"


def test_the_published_schema_is_the_one_of_the_model() -> None:
    assert (ROOT / "docs" / "monitor.schema.json").read_text(encoding="utf-8") == json_schema()


@pytest.mark.parametrize(
    ("change", "path", "advice"),
    [
        ({"windw": "1d"}, "churn.yaml: windw", "Extra inputs"),
        ({"window": "1 day"}, "churn.yaml: window", "15m, 1h, 1d"),
        ({"endpoint": {}}, "churn.yaml: endpoint.name", "required"),
        ({"decision": {"alpha": 2}}, "churn.yaml: decision.alpha", "less than"),
        ({"alarms": {"datapoints": 3}}, "churn.yaml: alarms", "evaluation_periods"),
        (
            {"alarms": {"datapoints": 2, "evaluation_periods": 9}},
            "churn.yaml: (the file)",
            "lower evaluation_periods",
        ),
        (
            {"window": "7d", "alarms": {"datapoints": 2, "evaluation_periods": 3}},
            "churn.yaml: (the file)",
            "as long as the window (1w)",
        ),
        ({"debounce": "1h"}, "churn.yaml: debounce", "15m"),
        ({"alerts": {"slack_channel_id": "C0123456789"}}, "churn.yaml: alerts", "go together"),
        ({"alerts": {"emails": ["nobody"]}}, "churn.yaml: alerts.emails.0", "pattern"),
        ({"retraining": {"enabled": True}}, "churn.yaml: (the file)", "`prediction`"),
        ({"name": "Two Words"}, "churn.yaml: name", "pattern"),
        ({"window": "90s"}, "churn.yaml: (the file)", "whole minutes"),
        (
            {"window": "7d", "references": [{"kind": "season", "period": "365d"}]},
            "churn.yaml: (the file)",
            "references.0.period: 365d is not a whole number of windows (1w)",
        ),
        (
            {"references": [{"kind": "variant", "variant": "green"}]},
            "churn.yaml: (the file)",
            "references.0.variant: the endpoint has no other variant",
        ),
        (
            {
                "endpoint": {"name": "churn", "variants": ["blue", "green"]},
                "references": [{"kind": "variant", "variant": "gren"}],
            },
            "churn.yaml: (the file)",
            "references.0.variant: 'gren' is none of endpoint.variants: blue, green",
        ),
        (
            {"references": [{"kind": "trailing"}, {"kind": "trailing", "windows": 4}]},
            "churn.yaml: (the file)",
            "references.1: 'trailing 4' is there already",
        ),
        (
            {
                "prediction": "p",
                "label": "l",
                "decision": {"joint": {"enabled": False}},
                "retraining": {"enabled": True, "triggers": ["joint-drift"]},
            },
            "churn.yaml: (the file)",
            "retraining.triggers: this monitor has no alarm joint-drift: mode and decision",
        ),
        (
            {
                "prediction": "p",
                "label": "l",
                "retraining": {"enabled": True, "triggers": [["quality-decay", "feature-drift"]]},
            },
            "churn.yaml: (the file)",
            "no alarm quality-decay: it needs `outcomes`",
        ),
        ({"retraining": {"triggers": []}}, "churn.yaml: retraining.triggers", "at least 1"),
    ],
)
def test_a_mistake_is_explained_with_file_path_and_reason(
    change: dict[str, Any], path: str, advice: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_monitor({**MINIMAL, **change}, "churn.yaml")
    assert path in str(caught.value)
    assert advice in str(caught.value)


AB: dict[str, Any] = {
    "name": "june",
    "kind": "ab",
    "champion": "blue",
    "challenger": "green",
    "since": "2026-06-01T00:00:00Z",
    "primary": {"name": "accuracy"},
}
SHADOW = {**{key: value for key, value in AB.items() if key != "primary"}, "kind": "shadow"}
COMPARED: dict[str, Any] = {
    "name": "churn",
    "endpoint": {"name": "churn", "variants": ["blue", "green"]},
    "prediction": "p",
    "outcomes": {},
}


def test_experiments_of_both_kinds_survive_the_way_to_the_functions() -> None:
    endpoint = {"name": "churn", "variants": ["blue", "green", "grey"]}
    shadow = {**SHADOW, "name": "shade", "challenger": "grey"}
    document = {**COMPARED, "endpoint": endpoint, "experiments": [AB, shadow]}
    found = parse_monitor(document, "churn.yaml")
    assert [one.kind for one in found.experiments] == ["ab", "shadow"]
    chosen = MonitorSet(monitors=(found,))
    assert read_monitor_set(chosen.model_dump_json()) == chosen


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"outcomes": None, "experiments": [AB]}, "experiments needs `outcomes`"),
        (
            {"experiments": [{**AB, "challenger": "gren"}]},
            "experiments.0: 'gren' is none of endpoint.variants: blue, green",
        ),
        ({"experiments": [{**AB, "challenger": "blue"}]}, "are the same variant"),
        ({"experiments": [AB, AB]}, "experiments.1.name: 'june' is there already"),
        (
            {"experiments": [AB, {**SHADOW, "name": "other"}]},
            "experiments.1.challenger: 'green' is challenger in another experiment",
        ),
        (
            {"experiments": [{**AB, "primary": {"name": "auc", "better": "higher"}}]},
            "experiments.0: 'auc' is nothing that variants of this monitor can be compared by",
        ),
        (
            {"outcomes": {"problem": "regression"}, "experiments": [SHADOW]},
            "experiments.0.tolerance: predicted numbers hardly ever are equal",
        ),
        ({"experiments": [{**SHADOW, "tolerance": 1}]}, "it is for a regression only"),
        ({"experiments": [{**AB, "kind": "test"}]}, "'ab', 'shadow'"),
    ],
)
def test_a_mistake_in_an_experiment_is_explained(change: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_monitor({**COMPARED, **change}, "churn.yaml")
    assert advice in str(caught.value)


def test_evidence_over_time_may_start_a_retraining() -> None:
    settings = {"enabled": True, "triggers": ["persistent-drift", "joint-drift"]}
    document = {**MINIMAL, "prediction": "p", "label": "l", "retraining": settings}
    assert parse_monitor(document, "churn.yaml").retraining_triggers[0] == ("persistent-drift",)
    with pytest.raises(ConfigError, match="no alarm persistent-drift, joint-drift"):
        parse_monitor({**document, "mode": "strict"}, "churn.yaml")


def test_a_folder_without_monitors_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add one YAML file per endpoint"):
        load_monitors(tmp_path)


def test_broken_yaml_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.yaml: not YAML"):
        load_monitors(tmp_path)


def test_two_monitors_may_not_share_a_name(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("name: x\nendpoint: {name: x}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="share a name: x"):
        load_monitors(tmp_path)


def test_the_functions_read_what_the_synth_wrote() -> None:
    monitors = load_monitors(ROOT / "monitors")
    assert read_monitor_set(monitors.model_dump_json()) == monitors


def test_an_unknown_monitor_is_named_beside_the_known_ones() -> None:
    monitors = MonitorSet(monitors=(parse_monitor(MINIMAL, "churn.yaml"),))
    with pytest.raises(ConfigError, match="no monitor named 'x'; deployed monitors: churn"):
        monitors["x"]
