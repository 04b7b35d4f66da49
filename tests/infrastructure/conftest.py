"""The deployments that the tests look at, each synthesized once per session."""

from __future__ import annotations

from typing import Any

import pytest

from driftgauge.config import load_monitors
from tests.infrastructure.synthesized import (
    OWN_TRAINER,
    RETRAINED,
    ROOT,
    SAGEMAKER,
    Synthesized,
    monitor,
    synthesize,
)


@pytest.fixture(scope="session")
def default() -> Synthesized:
    """The deployment that the repository's own monitors make."""
    return synthesize(*load_monitors(ROOT / "monitors").monitors)


@pytest.fixture(scope="session")
def varied() -> Synthesized:
    """A deployment of three monitors that use what the default one does not."""
    return synthesize(
        monitor(
            "churn",
            **{**RETRAINED, "retraining": {"enabled": True, "trainer": SAGEMAKER}},
            capture={"bucket": "existing-captures", "prefix": "prod/capture"},
            alerts={
                "emails": ["all@example.com", "churn@example.com"],
                "slack_workspace_id": "T0123ABCD",
                "slack_channel_id": "C0123ABCD",
            },
            alarms={"datapoints": 2, "evaluation_periods": 3, "silence": "6h"},
            window="1h",
        ),
        monitor(
            "churn-by-region",
            endpoint={"name": "churn", "variants": ["blue", "green"], "alarms": False},
            capture={"bucket": "existing-captures", "prefix": "prod/capture"},
            alerts={"emails": ["all@example.com"], "slack_webhook_secret": "slack/webhook"},
            window="6h",
        ),
        monitor(
            "fraud",
            **{
                **RETRAINED,
                "retraining": {
                    "enabled": True,
                    "trainer_function_arn": OWN_TRAINER,
                    "triggers": ["data-quality"],
                    "approval": True,
                },
            },
            capture={"bucket": "other-captures", "prefix": ""},
            alerts={"emails": ["all@example.com"]},
        ),
        deployment="staging",
    )


LABELS: dict[str, Any] = {
    "prediction": "score",
    "label": "label",
    "capture": {
        "bucket": "existing-captures",
        "prefix": "captures",
        "ground_truth_prefix": "truth",
    },
    "outcomes": {},
}


@pytest.fixture(scope="session")
def judged() -> Synthesized:
    """A deployment with outcomes, bias and attributions, each not in every monitor."""
    return synthesize(
        monitor(
            "churn",
            **LABELS,
            window="1h",
            retraining={
                "enabled": True,
                "triggers": ["quality-decay", ["prediction-drift", "feature-drift"]],
            },
        ),
        # The same labels, for another choice of rows.
        monitor(
            "churn-by-region",
            **LABELS,
            endpoint={"name": "Churn-EU", "variants": ["blue", "green"], "alarms": False},
            bias={"facets": [{"column": "region", "values": ["north"]}]},
            attribution={"source": "endpoint"},
            debounce="30s",
            retraining={"enabled": True, "triggers": ["bias-drift", "quality-decay"]},
        ),
        monitor("fraud", attribution={"model": "s3://team-models/fraud.json"}),
        monitor("plain"),
        deployment="staging",
    )
