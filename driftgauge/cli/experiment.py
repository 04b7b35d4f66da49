"""The commands ``experiment plan`` and ``experiment compare``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import numpy as np

from driftgauge.cli.experiment_blocks import (
    ArmCounter,
    Timeline,
    column_of_metric,
    counter_of,
    take_rows,
)
from driftgauge.cli.experiment_plans import past_of_means, settings_of
from driftgauge.cli.experiment_rows import LABEL, read_arm, read_captured_arm, read_labels
from driftgauge.cli.experiment_screen import show_plan, show_verdict
from driftgauge.cli.places import find, folder
from driftgauge.cli.screen import note, show_written
from driftgauge.errors import ExperimentError
from driftgauge.experiments.arms import Arm
from driftgauge.experiments.blocks import Blocks
from driftgauge.experiments.decision import judge_experiment
from driftgauge.experiments.plan import ExperimentPlan, decode_plan, encode_plan, plan_experiment
from driftgauge.experiments.settings import ExperimentSettings
from driftgauge.experiments.verdict import encode_experiment_verdict
from driftgauge.labels.predictions import Predictions
from driftgauge.quality.tables import OutcomeColumns
from driftgauge.report.experiment import render_experiment

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_SETTINGS = (
    *("primary", "guardrail", "lower", "higher", "method", "alpha", "power", "share"),
    *("min_duration", "max_duration", "clustering", "settings"),
)


def plan(arguments: argparse.Namespace) -> int:
    """Say what an experiment needs, from the champion's past or from figures."""
    settings = settings_of(arguments)
    if bool(arguments.data) == bool(arguments.mean):
        raise ExperimentError("give either --data, or --mean and --requests-per-day")
    past, period = (_past_of_tables if arguments.data else _past_of_figures)(arguments, settings)
    _check(metrics_of(settings), [past])
    found = plan_experiment(settings, past=past, period=period)
    show_plan(found)
    if arguments.out:
        _write(arguments.out, {"plan.json": encode_plan(found)})
    return 0


def _past_of_figures(
    arguments: argparse.Namespace, settings: ExperimentSettings
) -> tuple[Arm, timedelta]:
    if arguments.requests_per_day is None:
        raise ExperimentError("--mean needs --requests-per-day, of both arms together")
    past = past_of_means(arguments)
    try:
        return past, past.requests / arguments.requests_per_day * _DAY
    except OverflowError:
        raise ExperimentError(
            f"--requests-per-day {arguments.requests_per_day:g} is too few for any experiment"
        ) from None


def _past_of_tables(
    arguments: argparse.Namespace, settings: ExperimentSettings
) -> tuple[Arm, timedelta]:
    if arguments.time is None and arguments.period is None:
        raise ExperimentError("how long did the rows take? Give --time, or --period such as 14d")
    columns = _outcome_columns(arguments, metrics_of(settings), arguments.label)
    wanted = _wanted(columns, metrics_of(settings), arguments.segment)
    rows = read_arm(arguments.data, arguments, wanted)
    counter = counter_of(columns, metrics_of(settings), arguments.segment, [rows])
    first, end = Timeline(every=_HOUR, share=settings.share).span(rows)
    return counter.arm(rows), arguments.period or end - first


def compare(arguments: argparse.Namespace) -> int:
    """Judge two arms, and write the verdict and the plan it follows."""
    basis = _basis(arguments)
    metrics = metrics_of(basis)
    champion, challenger, columns = _read_arms(arguments, metrics)
    counter = counter_of(columns, metrics, arguments.segment, [champion, challenger])
    earlier, champion = _split(champion, arguments.since)
    _, challenger = _split(challenger, arguments.since)
    if not champion.rows or not challenger.rows:
        raise ExperimentError("an arm has no row since the experiment began: check --since")
    timeline = Timeline(
        every=arguments.block, share=basis.share, changes=tuple(sorted(arguments.share_since))
    )
    blocks = timeline.blocks(counter, champion=champion, challenger=challenger)
    _check(metrics, [arm for block in blocks for arm in (block.champion, block.challenger)])
    first, end = timeline.span(champion, challenger)
    if isinstance(basis, ExperimentSettings):
        past, period = _past(counter, earlier, blocks, end - first)
        basis = plan_experiment(basis, past=past, period=period)
    ours, theirs = _names(arguments)
    verdict = judge_experiment(
        blocks,
        basis,
        experiment=arguments.name,
        champion=ours,
        challenger=theirs,
        started=arguments.since or first,
        evaluated_at=end,
    )
    show_verdict(verdict)
    _write(
        arguments.out,
        {
            "report.html": render_experiment(
                verdict=verdict, generated_at=datetime.now(UTC)
            ).encode("utf-8"),
            "experiment.json": encode_experiment_verdict(verdict),
            "plan.json": encode_plan(basis),
        },
    )
    return 1 if verdict.decision == "stop: harm" or verdict.mismatch.mismatch else 0


def _basis(arguments: argparse.Namespace) -> ExperimentPlan | ExperimentSettings:
    """Return the plan that is given, else the settings to plan by."""
    if arguments.plan is None:
        return settings_of(arguments)
    twice = [name for name in _SETTINGS if getattr(arguments, name) not in (None, (), [])]
    if twice:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in twice)
        raise ExperimentError(f"--plan fixes what {options} would change: leave one out")
    sources = find([arguments.plan], suffixes=("plan.json",))
    if len(sources) > 1:
        raise ExperimentError(f"{arguments.plan} holds several plans: name one")
    source = sources[0]
    return decode_plan(source.objects.read(source.key), name=source.name)


def metrics_of(basis: ExperimentPlan | ExperimentSettings) -> tuple[str, ...]:
    """Return the names of all metrics, the primary one first."""
    if isinstance(basis, ExperimentPlan):
        return tuple(rule.name for rule in basis.rules)
    return (basis.primary.name, *(metric.name for metric in basis.guardrails))


def _outcome_columns(
    arguments: argparse.Namespace, metrics: Sequence[str], label: str | None
) -> OutcomeColumns | None:
    """Return where rows hold their outcomes; None if all metrics are of columns."""
    lacking = [name for name in metrics if column_of_metric(name) is None]
    if arguments.problem is None:
        if lacking:
            raise ExperimentError(
                f"{lacking[0]} is measured on predictions and labels: say what the models predict "
                "with --problem, and where with --label and --prediction or --probability"
            )
        return None
    if label is None:
        raise ExperimentError("name the column of the truth with --label")
    return OutcomeColumns(
        problem=arguments.problem,
        label=label,
        prediction=arguments.prediction,
        probabilities=arguments.probability,
        classes=arguments.classes,
        threshold=arguments.threshold,
        segments=arguments.segment,
    )


def _wanted(
    columns: OutcomeColumns | None, metrics: Sequence[str], segments: Sequence[str]
) -> tuple[str, ...]:
    """Return the columns to read, each once."""
    own = (column_of_metric(name) for name in metrics)
    outcomes = columns.names if columns else ()
    return tuple(dict.fromkeys([*outcomes, *segments, *(name for name in own if name)]))


def _read_arms(
    arguments: argparse.Namespace, metrics: Sequence[str]
) -> tuple[Predictions, Predictions, OutcomeColumns | None]:
    if not arguments.captures:
        if arguments.ground_truth or arguments.outputs or arguments.features:
            raise ExperimentError(
                "--ground-truth, --outputs and --features are of captured data: add --captures"
            )
        if arguments.time is None:
            raise ExperimentError(
                "name the column of the time with --time: arms are compared within blocks of time"
            )
        columns = _outcome_columns(arguments, metrics, arguments.label)
        wanted = _wanted(columns, metrics, arguments.segment)
        champion = read_arm(arguments.champion, arguments, wanted)
        return champion, read_arm(arguments.challenger, arguments, wanted), columns
    if arguments.time is not None:
        raise ExperimentError("captured data has its times: leave out --time")
    if arguments.problem and not arguments.ground_truth:
        raise ExperimentError("captured data has no labels: give them with --ground-truth")
    label = arguments.label or LABEL
    columns = _outcome_columns(arguments, metrics, label)
    # The label is no captured column.
    wanted = tuple(n for n in _wanted(columns, metrics, arguments.segment) if n != label)
    labels = read_labels(arguments.ground_truth) if arguments.ground_truth else None
    champion = read_captured_arm(arguments.champion, arguments, wanted, labels)
    return champion, read_captured_arm(arguments.challenger, arguments, wanted, labels), columns


def _split(rows: Predictions, since: datetime | None) -> tuple[Predictions, Predictions]:
    """Return the rows before a moment, and those from it on."""
    begun = np.ones(rows.rows, dtype=np.bool_)
    if since is not None:
        begun = rows.times >= since.timestamp()
    return take_rows(rows, ~begun), take_rows(rows, begun)


def _past(
    counter: ArmCounter, earlier: Predictions, blocks: Blocks, length: timedelta
) -> tuple[Arm, timedelta]:
    """Return what to plan from: the champion before the experiment, else in it."""
    if earlier.rows:
        first, end = Timeline(every=_HOUR, share=0.5).span(earlier)
        return counter.arm(earlier), end - first
    note(
        "planned from the champion's rows of the test itself, which have no earlier ones: fix the "
        "plan before the test with `driftgauge experiment plan`"
    )
    champion, requests = Arm(), 0
    for block in blocks:
        champion += block.champion
        requests += block.champion.requests + block.challenger.requests
    # The champion received a part of the traffic only.
    return champion, length * (champion.requests / requests)


def _check(metrics: Sequence[str], arms: Sequence[Arm]) -> None:
    known = {name for arm in arms for name, sums in arm.metrics.items() if sums.rows}
    lacking = [name for name in metrics if name not in known]
    if lacking:
        listed = ", ".join(sorted(known)) or "none"
        raise ExperimentError(f"no row has {lacking[0]}; there are {listed}")


def _names(arguments: argparse.Namespace) -> tuple[str, str]:
    """Call the arms as their files are called, if the names differ."""
    ours, theirs = (
        PurePosixPath(paths[0].rstrip("/")).name.partition(".")[0]
        for paths in (arguments.champion, arguments.challenger)
    )
    return (ours, theirs) if ours and theirs and ours != theirs else ("champion", "challenger")


def _write(path: str, files: dict[str, bytes]) -> None:
    target = folder(path)
    for name, data in files.items():
        kind = "text/html; charset=utf-8" if name.endswith(".html") else "application/json"
        target.write(name, data, content_type=kind)
    show_written([f"{target.uri}{name}" for name in files])
