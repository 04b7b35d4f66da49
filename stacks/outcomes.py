"""From labels to verdicts: what is deployed where monitors judge outcomes and attributions.

Nothing of it is there for a deployment whose monitors have neither ``outcomes`` nor
``attribution``.
"""

from __future__ import annotations

from collections.abc import Iterable

import aws_cdk as cdk
from constructs import Construct

from driftgauge.config import MonitorConfig
from stacks.constructs.function import ONE_CPU_MB, Function, FunctionDefaults
from stacks.constructs.queue import (
    DeadLetterQueue,
    as_target,
    queue_objects,
    queue_with_dead_letters,
    read_queue,
)
from stacks.deployment import ground_truth_folder

# Labels come in large files now and then; the grains of many weeks may have to be looked through.
LABELS_CONCURRENCY = 4
EXPLAIN_CONCURRENCY = 2
# One message is one call of a quarter of an hour at most: what failed is tried again right after.
_LONGEST = cdk.Duration.minutes(15)
_HIDDEN = cdk.Duration.minutes(16)


def labelled(monitors: Iterable[MonitorConfig]) -> list[MonitorConfig]:
    """Return the monitors whose predictions are joined with labels."""
    return [monitor for monitor in monitors if monitor.outcomes is not None]


def explained(monitors: Iterable[MonitorConfig]) -> list[MonitorConfig]:
    """Return the monitors whose windows are explained."""
    return [monitor for monitor in monitors if monitor.attribution is not None]


def sampled(monitors: Iterable[MonitorConfig]) -> list[MonitorConfig]:
    """Return the monitors that keep whole rows: to explain them, or to test them for bias."""
    return [one for one in monitors if one.attribution is not None or one.bias is not None]


def written_rows(monitors: Iterable[MonitorConfig]) -> list[str]:
    """Return what the profile function writes besides profiles, as keys of the store."""
    chosen = list(monitors)
    return [
        *(["predictions/*"] if labelled(chosen) else []),
        *(["samples/*"] if sampled(chosen) else []),
    ]


def judged_rooms(monitor: MonitorConfig) -> list[str]:
    """Return the rooms of the store in which a new object makes a window be evaluated."""
    return [
        "profiles",
        *(["labels/matched"] if monitor.outcomes is not None else []),
        *(["attributions"] if monitor.attribution is not None else []),
    ]


def model_places(monitors: Iterable[MonitorConfig], store: str) -> list[str]:
    """Return the files of models that monitors name; one without a bucket is in the store."""
    models = {one.attribution.model for one in monitors if one.attribution is not None}
    return sorted(
        model if model.startswith("s3://") else f"s3://{store}/{model}"
        for model in models
        if model is not None
    )


def let_judge_outcomes(evaluate: Function, monitors: Iterable[MonitorConfig]) -> None:
    """Let the evaluate function join predictions with labels, as far as monitors ask for it."""
    chosen = list(monitors)
    if labelled(chosen):
        # It merges a grain's predictions, and matches the labels that wait for them.
        evaluate.read_store("predictions/*", "labels/*")
        evaluate.write_store("predictions/*", "labels/*")
    if sampled(chosen):
        evaluate.read_store("samples/*")
    if explained(chosen):
        evaluate.read_store("attributions/*")


def explained_reports(monitor: MonitorConfig) -> list[dict[str, str]]:
    """Return EventBridge's matchers of the reports whose windows are explained.

    What serves only while it is compared is not: neither the champion's file nor the baseline's
    attributions are those of that model.
    """
    if monitor.rolled_out is None:
        return [{"wildcard": f"{monitor.name}/reports/*/inputs.json"}]
    return [
        {"wildcard": f"{monitor.name}/reports/{variant}/*/inputs.json"}
        for variant in monitor.lasting_variants
    ]


def add_labels(scope: Construct, defaults: FunctionDefaults) -> None:
    """Add the function that matches labels with predictions, if a monitor has outcomes."""
    monitors = labelled(defaults.deployment)
    if not monitors:
        return
    labels = Function(
        scope,
        "Labels",
        verb="labels",
        description="Reads a ground-truth object and finds the predictions of its labels",
        defaults=defaults,
        memory_mb=2 * ONE_CPU_MB,
        timeout=_LONGEST,
    )
    labels.read_labels(monitors)
    labels.read_store("current.json", "predictions/*", "labels/*")
    labels.write_store("labels/*", "quarantine/*")
    dead_letters = _dead_letters(scope, defaults, "labels", "labels that cannot be read")
    queue = queue_with_dead_letters(
        scope, "GroundTruth", dead_letters=dead_letters, visibility=_HIDDEN
    )
    target = as_target(scope, "GroundTruthTarget", queue)
    # Two monitors may share their labels: those are queued once for both.
    folders = {
        (defaults.buckets.captures(monitor), ground_truth_folder(monitor)): monitor
        for monitor in monitors
    }
    for (bucket, folder), monitor in folders.items():
        queue_objects(
            scope,
            f"GroundTruth-{monitor.name}",
            bucket=bucket,
            keys=[{"prefix": folder}],
            queue=target,
            dead_letters=dead_letters,
            description=f"Labels below {folder or 'the top of the bucket'}: match with predictions",
        )
    # One object may search all of the lookback for its predictions: others must not wait for it.
    read_queue(labels.function, queue, batch_size=1, max_concurrency=LABELS_CONCURRENCY)


def add_explain(scope: Construct, defaults: FunctionDefaults) -> None:
    """Add the function that explains windows, if a monitor has attributions."""
    monitors = explained(defaults.deployment)
    if not monitors:
        return
    explain = Function(
        scope,
        "Explain",
        verb="explain",
        description="Explains a sample of a window's predictions by their features",
        defaults=defaults,
        memory_mb=2 * ONE_CPU_MB,
        timeout=_LONGEST,
    )
    explain.read_store(
        "current.json", "baseline/*", "models/*", "samples/*", "attributions/*", "rollups/*.sample"
    )
    explain.write_store(
        "attributions/*", "baseline/*/explainability/reference.sums", "rollups/*.sample"
    )
    explain.read_places(
        model_places(monitors, defaults.buckets.store), reason="The models that monitors name."
    )
    explain.invoke_endpoints(
        monitor.endpoint.name
        for monitor in monitors
        if monitor.attribution is not None and monitor.attribution.source == "endpoint"
    )
    dead_letters = _dead_letters(scope, defaults, "explain", "windows that were not explained")
    for monitor in monitors:
        queue = queue_with_dead_letters(
            scope,
            f"Evaluated-{monitor.name}",
            dead_letters=dead_letters,
            visibility=_HIDDEN,
            delay=cdk.Duration.seconds(int(monitor.debounce.total_seconds())),
        )
        queue_objects(
            scope,
            f"Reports-{monitor.name}",
            bucket=defaults.buckets.store,
            # What an evaluation writes last.
            keys=explained_reports(monitor),
            queue=as_target(scope, f"EvaluatedTarget-{monitor.name}", queue),
            dead_letters=dead_letters,
            description=f"Windows of monitor {monitor.name} were evaluated: explain",
        )
        read_queue(explain.function, queue, batch_size=1, max_concurrency=EXPLAIN_CONCURRENCY)


def _dead_letters(
    scope: Construct, defaults: FunctionDefaults, verb: str, holds: str
) -> DeadLetterQueue:
    return DeadLetterQueue(
        scope,
        f"{verb.capitalize()}DeadLetters",
        name=defaults.deployment.function_name(verb),
        holds=holds,
        topic=defaults.topic,
    )
