"""What experiments and roll-outs are estimated to cost."""

from __future__ import annotations

from typing import Any

import pytest

from driftgauge.config import MonitorConfig
from driftgauge.costs import estimate_monitor
from tests.unit.test_costs import LABELLED, SHADOW, USUAL, cost, monitor


def test_experiments_are_billed_only_where_a_monitor_has_them() -> None:
    tested = {**SHADOW, "kind": "ab", "primary": {"name": "accuracy"}}
    two = {**LABELLED, "endpoint": {"name": "churn", "variants": ["a", "b"]}}
    plain = estimate_monitor(monitor(**two), USUAL)
    assert not [item for item in plain.items if "experiment" in item.what]
    for experiment, alarms in ((tested, 2), (SHADOW, 1)):
        config = monitor(**two, experiments=[experiment])
        assert estimate_monitor(config, USUAL).total > plain.total
        assert cost(config, "CloudWatch", "metrics of experiments") == pytest.approx(4 * 0.30)
        more = cost(config, "CloudWatch", "alarms") - cost(monitor(**two), "CloudWatch", "alarms")
        assert more == pytest.approx(alarms * 0.10)


ROLLED_OUT: dict[str, Any] = {
    **LABELLED,
    "endpoint": {"name": "churn", "variants": ["AllTraffic", "challenger"]},
    "window": "1h",
}
SERVING = "arn:aws:iam::123456789012:role/serving"


def rolled_out(strategy: str, **settings: Any) -> MonitorConfig:
    judged = {"primary": {"name": "accuracy"}}
    stage = {"shadow_canary": {"canary": judged}, "ab": {"ab": judged}}.get(strategy, {})
    retraining = {
        "enabled": True,
        "trainer": {"image": "repository/churn:1", "role_arn": SERVING},
        "rollout": {"strategy": strategy, "role_arn": SERVING, **stage},
    }
    return monitor(**{**ROLLED_OUT, "retraining": retraining, **settings})


def test_a_roll_out_is_billed_as_an_experiment_of_all_its_stages() -> None:
    serving = {"endpoint": {"name": "churn"}}
    direct = rolled_out("direct", **serving)
    assert not [i for i in estimate_monitor(direct, USUAL).items if "experiment" in i.what]
    for strategy, metrics, stages in (("shadow_canary", 6, 4), ("ab", 4, 3)):
        config = rolled_out(strategy)
        assert cost(config, "CloudWatch", "metrics of experiments") == pytest.approx(metrics * 0.30)
        # Rejected rows, failed evaluations, harm, share; latency and errors of the endpoint.
        more = cost(config, "CloudWatch", "alarms") - cost(direct, "CloudWatch", "alarms")
        assert more == pytest.approx((4 + 4) * 0.10)
        for word in ("unusual volume", "starts a retraining"):
            assert cost(config, "CloudWatch", word) == cost(direct, "CloudWatch", word)
        transitions = cost(config, "Step Functions", "stages of roll-outs")
        assert transitions == pytest.approx(
            stages * cost(direct, "Step Functions", "stages of roll-outs")
        )
    shadow = rolled_out("shadow_canary")
    looks = next(
        i for i in estimate_monitor(shadow, USUAL).items if i.what == "calls of experiment"
    )
    asked = cost(shadow, "CloudWatch", "latencies of shadows")
    assert asked == pytest.approx(looks.quantity * 130 * 1e-5)
    items = estimate_monitor(rolled_out("ab"), USUAL).items
    assert not [item for item in items if "latencies" in item.what]
