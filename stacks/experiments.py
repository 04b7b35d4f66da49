"""From evaluated windows to a decision on a challenger: what comparisons add to a deployment.

Variants are compared by a monitor's experiments, and by the stages of a roll-out. Nothing of this
is there for a deployment whose monitors have neither.
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

EXPERIMENT_CONCURRENCY = 2
# One message is one call of a quarter of an hour at most: what failed is tried again right after.
_LONGEST = cdk.Duration.minutes(15)
_HIDDEN = cdk.Duration.minutes(16)


def compared(monitors: Iterable[MonitorConfig]) -> list[MonitorConfig]:
    """Return the monitors that compare variants, by experiments or in roll-outs."""
    return [monitor for monitor in monitors if monitor.compared_kinds]


def decisions(monitor: MonitorConfig) -> dict[str, str]:
    """Return EventBridge's matcher of the keys of a monitor's decisions."""
    return {"wildcard": f"{monitor.name}/experiments/*/decision.json"}


def add_experiments(scope: Construct, defaults: FunctionDefaults) -> None:
    """Add the function that judges experiments, if a monitor compares variants."""
    monitors = compared(defaults.deployment)
    if not monitors:
        return
    kinds = {kind for monitor in monitors for kind in monitor.compared_kinds}
    judge = Function(
        scope,
        "Experiment",
        verb="experiment",
        description="Compares a challenger with the champion and decides",
        defaults=defaults,
        memory_mb=2 * ONE_CPU_MB,
        timeout=_LONGEST,
    )
    judge.read_store("current.json", "baseline/*", "experiments/*")
    judge.write_store("experiments/*")
    if "ab" in kinds:
        judge.read_store("reports/*/inputs.json", "rollups/*.outcomes")
    if "shadow" in kinds:
        judge.read_store("predictions/*", "labels/matched/*")
        # The sum of many files of one grain.
        judge.write_store("predictions/*/_merged.predictions")
    if any(monitor.rolled_out for monitor in monitors):
        # Which stage runs, and since when.
        judge.read_store("rollout.json")
    hosted = [monitor for monitor in monitors if monitor.capture.is_hosted]
    if any("shadow" in monitor.compared_kinds for monitor in hosted):
        # The latencies of both variants.
        judge.get_metrics()
    # The weights of an experiment are the user's; those of a roll-out follow its settings.
    judge.describe_endpoints(
        monitor.endpoint.name
        for monitor in hosted
        if any(one.kind == "ab" for one in monitor.experiments)
    )
    dead_letters = DeadLetterQueue(
        scope,
        "ExperimentDeadLetters",
        name=defaults.deployment.function_name("experiment"),
        holds="windows after which an experiment could not be judged",
        topic=defaults.topic,
    )
    for monitor in monitors:
        queue = queue_with_dead_letters(
            scope,
            f"Compared-{monitor.name}",
            dead_letters=dead_letters,
            visibility=_HIDDEN,
            delay=cdk.Duration.seconds(int(monitor.debounce.total_seconds())),
        )
        queue_objects(
            scope,
            f"Experiments-{monitor.name}",
            bucket=defaults.buckets.store,
            # What an evaluation writes last.
            keys=[
                {"wildcard": f"{monitor.name}/reports/{variant}/*/inputs.json"}
                for variant in monitor.compared_variants
            ],
            queue=as_target(scope, f"ComparedTarget-{monitor.name}", queue),
            dead_letters=dead_letters,
            description=f"Windows of monitor {monitor.name} were evaluated: judge experiments",
        )
        read_queue(judge.function, queue, batch_size=1, max_concurrency=EXPERIMENT_CONCURRENCY)
