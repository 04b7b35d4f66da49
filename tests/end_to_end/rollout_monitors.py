"""The monitors of the end-to-end tests of roll-outs: one for each story, all in one deployment.

They differ in a few lines, so they are written from here as the YAML files that a user has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/models"
IMAGE = f"{REGISTRY}/driftgauge-logistic:1"
SPOILED_IMAGE = f"{REGISTRY}/spoiled:1"
CHAMPION, CHALLENGER = "champion", "challenger"
_ACCURACY = {"name": "accuracy", "effect": 0.05}
_SHADOW = {"min_pairs": 20, "min_duration": "1s", "min_agreement": 0.5, "max_unpaired": 0.5}
_COMPARED = {"clustering": "none", "min_duration": "1s"}

# What a story's monitor has besides the common settings: of the monitor, and of its roll-out.
_MONITORS: Mapping[str, Mapping[str, Any]] = {
    "better": {"window": "1m"},
    "equal": {"window": "1m"},
    "harmful": {"window": "1m"},
    "garbled": {},
    "untrained": {},
    "unapproved": {},
    "crashed": {},
}
_RETRAININGS: Mapping[str, Mapping[str, Any]] = {
    # The only one whose alarm starts it.
    "better": {"triggers": ["quality-decay"]},
    "untrained": {"trainer": {"l2": "unreadable"}},
    "unapproved": {"approval": True, "approval_timeout": "3s"},
}
_ROLL_OUTS: Mapping[str, Mapping[str, Any]] = {
    "better": {
        "strategy": "shadow_canary",
        # The champion is wrong more often than not: labels have to show that the shadow is better.
        "shadow": _SHADOW | {"min_labelled": 1000},
        "canary": _COMPARED
        | {
            "share": 0.3,
            "primary": _ACCURACY,
            "guardrails": [{"name": "log_loss", "relative_margin": 0.1}],
        },
    },
    "equal": {"strategy": "ab", "ab": _COMPARED | {"alpha": 0.01, "primary": _ACCURACY}},
    "harmful": {
        "strategy": "shadow_canary",
        # Labels come late: the shadow is only seen to agree often enough.
        "shadow": _SHADOW,
        # So small an effect takes long to find: harm has to be found in a tenth of that traffic.
        "canary": _COMPARED
        | {
            "share": 0.3,
            "min_duration": "1h",
            "primary": {"name": "accuracy", "effect": 0.006},
        },
        "image": SPOILED_IMAGE,
        "environment": {"SPOILED": "shop"},
    },
    "garbled": {
        "image": SPOILED_IMAGE,
        "environment": {"SPOILED": "percent"},
        "traffic": {"wait": "30m", "bake": "30m"},
    },
}


def write_monitors(folder: Path) -> None:
    """Write a YAML file for each monitor."""
    folder.mkdir()
    for name, own in _MONITORS.items():
        document = _monitor(name) | dict(own)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


def _monitor(name: str) -> dict[str, Any]:
    own = dict(_RETRAININGS.get(name, {}))
    compared = "strategy" in _ROLL_OUTS.get(name, {})
    learnt = {"label": "late", "prediction": "score", **own.pop("trainer", {})}
    return {
        "name": name,
        "endpoint": {
            "name": f"{name}-prod",
            "variants": [CHAMPION, CHALLENGER] if compared else [CHAMPION],
            # Its processors are those of the tests: latency is not what they are about.
            "latency_p99": 60_000,
            "overhead_p99": 60_000,
        },
        "capture": {"prefix": "captures", "ground_truth_prefix": f"ground-truth/{name}"},
        "prediction": "score",
        "label": "late",
        "window": "1d",
        "evaluate": "on_arrival",
        "delay": "1s",
        "debounce": "1s",
        "decision": {"alpha": 0.0001, "clustering": "none"},
        "outcomes": {"problem": "binary"},
        "alarms": {"period": "10s"},
        "retraining": {
            "enabled": True,
            # Not to ring: what starts an execution is the story's.
            "triggers": [["data-quality", "quality-decay"]],
            "trainer": {"image": IMAGE, "role_arn": ROLE, "hyperparameters": learnt},
            "lookback": "3d",
            "holdout_share": 0.5,
            "min_rows": 500,
            "cooldown": "1d",
            **own,
            "rollout": {
                "strategy": "direct",
                "role_arn": ROLE,
                "model_package_group": f"{name}-models",
                "challenger": CHALLENGER,
                "traffic": {"wait": "1m", "bake": "1m"},
                **_ROLL_OUTS.get(name, {}),
            },
        },
    }
