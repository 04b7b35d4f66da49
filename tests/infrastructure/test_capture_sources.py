"""Captures of other formats, and the users' scripts: what is read, and what is deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from driftgauge.config import MonitorSet
from stacks.bundling import BundlingError, hook_files
from tests.infrastructure.policies import may, object_created, targets_of
from tests.infrastructure.synthesized import Synthesized, monitor, synthesize
from tests.infrastructure.test_wiring import queue_arn

HOOKS = {
    "preprocess": "s3://team-scripts/churn/pre.py",
    "postprocess": "s3://team-scripts/churn/post.py",
}


@pytest.fixture(scope="module")
def sources() -> Synthesized:
    return synthesize(
        monitor("churn", capture={"bucket": "captured", "prefix": "data", "hooks": HOOKS}),
        monitor(
            "nightly",
            capture={
                "bucket": "captured",
                "prefix": "batch",
                "format": "batch-transform",
                "data": ["s3://transforms/nightly/"],
            },
        ),
        monitor(
            "own",
            capture={"bucket": "scored", "prefix": "predictions", "format": "predictions"},
        ),
    )


@pytest.mark.parametrize("step", ["pre", "post"])
@pytest.mark.parametrize("verb", ["profile", "evaluate", "baseline", "notify"])
def test_each_hook_is_read_by_the_function_that_runs_it_alone(
    sources: Synthesized, step: str, verb: str
) -> None:
    script = f"arn:aws:s3:::team-scripts/churn/{step}.py"
    runs = {"pre": "profile", "post": "evaluate"}[step]
    assert may(sources, verb, "s3:GetObject", script) == (verb == runs)
    assert not may(sources, verb, "s3:GetObject", "arn:aws:s3:::team-scripts/other.py")


def test_what_manifests_point_to_is_read_as_far_as_the_monitor_says(sources: Synthesized) -> None:
    for key, allowed in (("nightly/2026/a.csv.out", True), ("other/a.csv.out", False)):
        resource = f"arn:aws:s3:::transforms/{key}"
        assert may(sources, "profile", "s3:GetObject", resource) == allowed
        assert not may(sources, "evaluate", "s3:GetObject", resource)


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("captured", "data/churn/AllTraffic/2026/03/02/10/a.jsonl"),
        ("captured", "batch/output/2026/03/02/10/a.json"),
        ("scored", "predictions/free/layout.csv"),
    ],
)
def test_objects_of_every_format_reach_the_profile_function(
    sources: Synthesized, bucket: str, key: str
) -> None:
    event = object_created(bucket, key)
    assert targets_of(sources, event) == [queue_arn(sources, "Captured")]
    assert may(sources, "profile", "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")


def test_models_that_sagemaker_does_not_host_have_no_alarms_on_its_metrics(
    sources: Synthesized,
) -> None:
    names = {alarm.properties["AlarmName"] for alarm in sources.all("AWS::CloudWatch::Alarm")}
    assert any("churn-AllTraffic-model-latency" in name for name in names)
    assert not any(
        f"{own}-AllTraffic-model-latency" in n for own in ("nightly", "own") for n in names
    )


def monitors(**hooks: Any) -> MonitorSet:
    return MonitorSet(monitors=(monitor("churn", capture={"hooks": hooks}),))


def test_scripts_of_the_checkout_are_deployed_with_the_code(tmp_path: Path) -> None:
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/pre.py").write_text("def preprocess_handler(r): return {}\n")
    chosen = monitors(preprocess="hooks/pre.py", postprocess="s3://b/post.py")
    assert list(hook_files(chosen, root=tmp_path)) == ["hooks/pre.py"]
    (tmp_path / "hooks/pre.py").write_text("def (")
    with pytest.raises(BundlingError, match=r"'churn': the hook hooks/pre\.py is not Python"):
        hook_files(chosen, root=tmp_path)
    (tmp_path / "hooks/pre.py").unlink()
    with pytest.raises(BundlingError, match="cannot be read"):
        hook_files(chosen, root=tmp_path)
