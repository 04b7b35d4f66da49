"""Roll-outs in a monitor file: what they mean, and how a mistake is explained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from driftgauge.config import MonitorConfig, MonitorSet, parse_monitor, read_monitor_set
from driftgauge.errors import ConfigError
from driftgauge.experiment_settings import AbMonitorSettings, ShadowMonitorSettings
from driftgauge.quality.tables import OutcomeColumns
from driftgauge.rollout_settings import RollOutSettings, TrafficSettings, check_rollout

ROLE = "arn:aws:iam::123456789012:role/serving"
JOB: dict[str, Any] = {"image": "repository/churn:1", "role_arn": ROLE}
PIPELINE: dict[str, Any] = {"pipeline": "churn-training"}
ACCURACY: dict[str, Any] = {"primary": {"name": "accuracy"}}
SHADOW_CANARY: dict[str, Any] = {
    "strategy": "shadow_canary",
    "role_arn": ROLE,
    "canary": ACCURACY,
}
AB: dict[str, Any] = {"strategy": "ab", "role_arn": ROLE, "ab": ACCURACY}
VARIANTS = ["AllTraffic", "challenger"]


def document(rollout: dict[str, Any], **changes: Any) -> dict[str, Any]:
    retraining = {"enabled": True, "trainer": JOB, "rollout": rollout}
    return {
        "name": "churn",
        "endpoint": {"name": "churn", "variants": VARIANTS},
        "prediction": "p",
        "label": "l",
        "outcomes": {},
        **changes,
        "retraining": {**retraining, **changes.get("retraining", {})},
    }


def config(rollout: dict[str, Any], **changes: Any) -> MonitorConfig:
    return parse_monitor(document(rollout, **changes), "churn.yaml")


def explanation(rollout: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config(rollout, **changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("rollout", "stages", "compared", "kinds"),
    [
        ({"role_arn": ROLE}, ("full",), (), ()),
        (
            SHADOW_CANARY,
            ("shadow", "canary", "withdraw", "full"),
            ("shadow", "canary"),
            ("shadow", "ab"),
        ),
        (AB, ("ab", "withdraw", "full"), ("ab",), ("ab",)),
    ],
)
def test_a_strategy_is_a_sequence_of_stages_of_which_some_compare(
    rollout: dict[str, Any],
    stages: tuple[str, ...],
    compared: tuple[str, ...],
    kinds: tuple[str, ...],
) -> None:
    found = config(rollout)
    assert found.rollout is not None
    assert (found.rollout.stages, found.rollout.compared) == (stages, compared)
    assert found.rollout.kinds == kinds
    assert found.compared_kinds == frozenset(kinds)
    chosen = MonitorSet(monitors=(found,))
    assert read_monitor_set(chosen.model_dump_json()) == chosen


def test_the_variant_that_is_compared_comes_and_goes_and_the_others_last() -> None:
    found = config(SHADOW_CANARY)
    assert found.rolled_out == "challenger"
    assert found.lasting_variants == ("AllTraffic",)
    assert found.compared_variants == ("AllTraffic", "challenger")
    direct = config({"role_arn": ROLE}, endpoint={"name": "churn"})
    assert direct.rollout is not None
    assert direct.rolled_out is None
    assert direct.lasting_variants == ("AllTraffic",)
    assert direct.compared_variants == ()


def test_a_direct_roll_out_leaves_the_other_variants_of_the_endpoint_alone() -> None:
    endpoint = {"name": "churn", "variants": ["AllTraffic", "spare"]}
    assert config({"role_arn": ROLE}, endpoint=endpoint).lasting_variants == ("AllTraffic", "spare")


def test_without_retraining_a_roll_out_has_no_effect() -> None:
    found = config(SHADOW_CANARY, retraining={"enabled": False})
    assert (found.rollout, found.rolled_out) == (None, None)
    assert found.lasting_variants == tuple(VARIANTS)
    assert not found.compared_kinds
    # What makes no sense whatever else is set is a mistake all the same.
    assert "retraining.rollout: Value error, canary:" in explanation(
        {"strategy": "shadow_canary", "role_arn": ROLE}, retraining={"enabled": False}
    )


def test_the_champion_may_be_any_variant_by_name() -> None:
    endpoint = {"name": "churn", "variants": ["blue", "green"]}
    found = config({**AB, "champion": "blue", "challenger": "green"}, endpoint=endpoint)
    assert found.rollout is not None
    assert found.rollout.sides(found.endpoint.variants) == ("blue", "green")
    assert found.lasting_variants == ("blue",)


def test_the_experiment_of_a_stage_is_judged_by_the_stages_own_settings() -> None:
    shadow = {"sampling": 0.5, "min_pairs": 50}
    canary = {**ACCURACY, "min_rows": 30}
    rollout = config({**SHADOW_CANARY, "shadow": shadow, "canary": canary}).rollout
    assert rollout is not None
    since = datetime(2026, 7, 1, tzinfo=UTC)
    place: dict[str, Any] = {"champion": "AllTraffic", "version": "V-1", "since": since}
    first = rollout.experiment("shadow", **place)
    assert isinstance(first, ShadowMonitorSettings)
    assert (first.name, first.sampling, first.min_pairs) == ("v-1-shadow", 0.5, 50)
    second = rollout.experiment("canary", **place)
    assert isinstance(second, AbMonitorSettings)
    assert (second.name, second.share, second.min_rows) == ("v-1-canary", 0.1, 30)
    assert (second.champion, second.challenger, second.since) == ("AllTraffic", "challenger", since)
    with pytest.raises(ValueError, match="full is not a stage"):
        rollout.experiment("full", **place)


@pytest.mark.parametrize(
    ("rollout", "advice"),
    [
        ({}, "retraining.rollout.role_arn: Field required"),
        ({"role_arn": "serving"}, "retraining.rollout.role_arn"),
        ({"role_arn": ROLE, "strategy": "blue_green"}, "retraining.rollout.strategy"),
        (
            {"role_arn": ROLE, "strategy": "shadow_canary"},
            "retraining.rollout: Value error, canary: say what it is judged by",
        ),
        (
            {"role_arn": ROLE, "strategy": "ab", "canary": ACCURACY},
            "retraining.rollout: Value error, ab: say what it is judged by",
        ),
        ({"role_arn": ROLE, "model_package_group": "two words"}, "rollout.model_package_group"),
        ({"role_arn": ROLE, "environment": {"TWO WORDS": "1"}}, "retraining.rollout.environment"),
        (
            {**AB, "ab": {"primary": {"name": "auc", "better": "higher"}}},
            "retraining.rollout.ab: 'auc' is nothing that variants of this monitor can be compared",
        ),
        (
            {**SHADOW_CANARY, "canary": {"primary": {"name": "mae"}}},
            "retraining.rollout.canary: 'mae' is nothing",
        ),
        (
            {**SHADOW_CANARY, "canary": {**ACCURACY, "guardrails": [{"name": "mse"}]}},
            "retraining.rollout.canary: 'mse' is nothing",
        ),
        (
            {**SHADOW_CANARY, "shadow": {"tolerance": 1}},
            "retraining.rollout.shadow: tolerance: classes agree or not",
        ),
        (
            {**AB, "challenger": "green"},
            "retraining.rollout.challenger: 'green' is none of endpoint.variants: AllTraffic",
        ),
        (
            {**AB, "champion": "blue"},
            "retraining.rollout.champion: 'blue' is none of endpoint.variants: AllTraffic",
        ),
        (
            {**AB, "champion": "challenger", "challenger": "AllTraffic"},
            "endpoint.variants: list 'challenger' first: 'AllTraffic' does not always serve",
        ),
        (
            {**SHADOW_CANARY, "stage_limit": "1d"},
            "retraining.rollout: Value error, stage_limit: 1d is over before canary.min_duration",
        ),
        (
            {**SHADOW_CANARY, "stage_limit": "200d"},
            "rollout.stage_limit of each compared stage make 401d",
        ),
        ({**AB, "traffic": {"shift": "rolling"}}, "retraining.rollout.traffic.shift"),
        ({**AB, "traffic": {"percent": 51}}, "retraining.rollout.traffic.percent"),
        (
            {**AB, "traffic": {"shift": "linear", "percent": 9}},
            "retraining.rollout.traffic: Value error, percent: a step of shift: linear is at least",
        ),
        (
            {**AB, "traffic": {"wait": "61m"}},
            "retraining.rollout.traffic: Value error, wait is at most 1h",
        ),
        ({**AB, "traffic": {"bake": "2h"}}, "retraining.rollout.traffic: Value error, bake is at"),
        (
            {**AB, "traffic": {"shift": "linear", "wait": "1h"}},
            "retraining.rollout.traffic: Value error, wait: with steps of 10 percent they are "
            "watched for 550m together, more than the 7h",
        ),
    ],
)
def test_a_mistake_in_a_roll_out_names_its_key(rollout: dict[str, Any], advice: str) -> None:
    assert advice in explanation(rollout)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        (
            {"endpoint": {"name": "churn"}},
            "retraining.rollout.challenger: 'challenger' is none of endpoint.variants: AllTraffic",
        ),
        (
            {"endpoint": {"name": "churn", "variants": ["challenger"]}},
            "retraining.rollout.challenger: 'challenger' is the champion, which is the first",
        ),
        (
            {"endpoint": {"name": "churn", "variants": [*VARIANTS, "spare"]}},
            "retraining.rollout: the endpoint has other variants than 'AllTraffic' and "
            "'challenger': spare",
        ),
        (
            {"outcomes": None},
            "retraining.rollout.strategy: shadow_canary needs `outcomes`",
        ),
        (
            {
                "experiments": [
                    {
                        **ACCURACY,
                        "name": "june",
                        "kind": "ab",
                        "champion": "challenger",
                        "challenger": "AllTraffic",
                        "since": "2026-06-01T00:00:00Z",
                    }
                ]
            },
            "experiments.0: 'challenger' serves only while a roll-out compares it",
        ),
        (
            {"references": [{"kind": "variant", "variant": "challenger"}]},
            "references.0.variant: 'challenger' serves only while",
        ),
        (
            {"model_monitor_metrics": {"schedule": "churn", "variant": "challenger"}},
            "model_monitor_metrics.variant: 'challenger' serves only while",
        ),
        ({"retraining": {"trainer": "logistic"}}, "retraining: Value error, rollout: an endpoint"),
        (
            {"retraining": {"trainer_function_arn": "arn:aws:lambda:eu-west-1:1:function:own"}},
            "retraining: Value error, rollout: an endpoint serves what SageMaker has trained",
        ),
        (
            {"retraining": {"trainer": PIPELINE}},
            "retraining: Value error, rollout.image: name the image that serves the model",
        ),
        (
            {"retraining": {"trainer": {**PIPELINE, "parameters": {"TrainUri": "s3://b/k"}}}},
            "TrainUri: set by the retraining itself",
        ),
        (
            {"retraining": {"trainer": {**JOB, "max_runtime": "28d"}, "approval_timeout": "300d"}},
            "",
        ),
        (
            {
                "retraining": {
                    "trainer": {**JOB, "max_runtime": "28d"},
                    "approval": True,
                    "approval_timeout": "300d",
                }
            },
            "retraining: Value error, trainer.max_runtime, approval_timeout and "
            "rollout.stage_limit of each compared stage make 388d together, more than 360d",
        ),
        (
            {"capture": {"format": "predictions"}},
            "retraining reads plain captures of an endpoint only",
        ),
    ],
)
def test_what_does_not_go_together_with_a_roll_out_is_refused(
    changes: dict[str, Any], advice: str
) -> None:
    if advice:
        assert advice in explanation(SHADOW_CANARY, **changes)
    else:
        # Nobody waits for an approval that nobody is asked for.
        assert config(SHADOW_CANARY, **changes).rollout is not None


def test_a_pipelines_model_is_served_by_the_image_that_is_named() -> None:
    found = config({**AB, "image": "repository/serving:1"}, retraining={"trainer": PIPELINE})
    assert found.retraining.serving_image == "repository/serving:1"
    assert config(AB).retraining.serving_image == "repository/churn:1"


def test_the_shadow_of_a_regression_says_up_to_which_difference_predictions_agree() -> None:
    columns = OutcomeColumns(problem="regression", label="l", prediction="p")
    settings = RollOutSettings.model_validate(
        {**SHADOW_CANARY, "canary": {"primary": {"name": "mae"}}}
    )
    with pytest.raises(ValueError, match=r"^retraining\.rollout\.shadow: tolerance: predicted num"):
        check_rollout(settings, variants=tuple(VARIANTS), columns=columns)
    tolerant = settings.model_copy(
        update={"shadow": settings.shadow.model_copy(update={"tolerance": 0.5})}
    )
    check_rollout(tolerant, variants=tuple(VARIANTS), columns=columns)


@pytest.mark.parametrize(
    ("shift", "percent", "minutes"),
    [("canary", 10, 10 + 5), ("linear", 30, 3 * 10 + 5), ("all_at_once", 10, 5)],
)
def test_all_steps_of_the_traffic_are_watched(shift: Any, percent: int, minutes: int) -> None:
    traffic = TrafficSettings(
        shift=shift, percent=percent, wait=timedelta(minutes=10), bake=timedelta(minutes=5)
    )
    assert traffic.watched == timedelta(minutes=minutes)
