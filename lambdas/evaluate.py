"""Evaluates windows: on arrival of profiles or labels, on a schedule, or one given window.

Triggers: an SQS queue per monitor with an event for each new profile, file of matched labels, and
window's attributions; EventBridge Scheduler with
``{"monitor": NAME, "schedule": true}``; and by hand with
``{"monitor": NAME, "window_start": TIME, "variant": NAME (optional)}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from driftgauge.config import MonitorConfig
from driftgauge.errors import BaselineError, ConfigError, DriftgaugeError, StoreError
from driftgauge.store import Current, ObjectInfo, parse_label_key, parse_part_key
from driftgauge.windows import Window, format_time, parse_time
from lambdas.evaluation import evaluate_window
from lambdas.events import place_of_failure, process_batch, read_created, settle_key
from lambdas.inputs import (
    EvaluatedInputs,
    WindowFiles,
    WindowProfiles,
    find_files,
    find_profiles,
    read_inputs,
)
from lambdas.publication import is_compatible
from lambdas.runtime import Measure, Runtime, logger, now, publish_metrics, runtime
from lambdas.state import VariantState, change_state, read_state

# Windows that one run of the schedule deals with; after a longer standstill the older ones are
# named in the log and can be evaluated by hand.
_MOST_WINDOWS = 48
# S3 tells times of modification in whole seconds.
_S3_RESOLUTION = timedelta(seconds=1)
_PATIENCE = 10


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Evaluate what the event asks for."""
    run = runtime()
    if "Records" in event:
        done: set[tuple[str, str, Window]] = set()
        return process_batch(event, context, lambda body: evaluate_arrival(run, body, done))
    config = run.monitors[str(event.get("monitor", ""))]
    if event.get("schedule"):
        windows = [w for v in config.endpoint.variants for w in evaluate_due(run, config, v)]
    else:
        windows = list(evaluate_given(run, config, event))
    return {"monitor": config.name, "evaluated": [str(window) for window in windows]}


def evaluate_arrival(run: Runtime, body: str, done: set[tuple[str, str, Window]]) -> None:
    """Evaluate the window of what arrived, once nothing more is arriving."""
    created = read_created(body)
    created = settle_key(created, run.objects(created.bucket))
    variant, moment = _place_of(created.key)
    config = run.monitors[created.key.partition("/")[0]]
    window = config.grid.window_of(moment)
    this = (config.name, variant, window)
    if this in done:
        return
    store = run.store(config.name)
    inputs = read_inputs(store, variant=variant, window=window)
    if inputs is None and config.evaluate == "on_schedule":
        # Before anything is listed: nearly every message of such a monitor comes to this.
        waits: str | None = "left to the schedule"
    else:
        current, _ = run.current(store)
        found = find_profiles(store, current, variant=variant, window=window)
        files = find_files(store, config, found, variant=variant, window=window)
        waits = reason_to_wait(config, found, files, inputs)
        if waits is None:
            with counted_failures(config, variant, window):
                evaluate_window(
                    run, config, found, files, variant=variant, window=window, before=inputs
                )
    if waits is not None:
        logger.info("window skipped", monitor=config.name, window=str(window), reason=waits)
    done.add(this)


def _place_of(key: str) -> tuple[str, datetime]:
    """Return the variant and the time that the key of a profile, labels or attributions names."""
    info = ObjectInfo(key=key, size=0, tag="", modified=now())
    if key.split("/")[1:2] == ["labels"]:
        labels = parse_label_key(info)
        if labels.variant is None:
            raise StoreError(f"{key} is not matched with predictions yet: it belongs to no window")
        return labels.variant, labels.grain_start
    part = parse_part_key(info)
    return part.variant, part.grain_start


def reason_to_wait(
    config: MonitorConfig,
    found: WindowProfiles,
    files: WindowFiles,
    inputs: EvaluatedInputs | None,
) -> str | None:
    """Return why a window is not evaluated on this arrival, or None if it is.

    Everything that arrives makes one message that is delayed by the debounce, so the last one
    finds the window quiet. A window that never gets quiet is evaluated now and then all the same.
    """
    if not is_news(found, files, inputs):
        return "nothing new"
    times = [one.modified for one in (*found.everything, *files.everything)]
    moment = now()
    if not times or moment - max(times) + _S3_RESOLUTION >= config.debounce:
        return None
    since = inputs.evaluated_at if inputs is not None else min(times)
    if moment - since >= _PATIENCE * config.debounce:
        return None
    return "more is still arriving"


def is_news(found: WindowProfiles, files: WindowFiles, inputs: EvaluatedInputs | None) -> bool:
    """Tell whether a window's report is made of anything else than what is there."""
    if inputs is None:
        return True
    return (inputs.digest, inputs.outcomes) != (found.digest, files.digest)


def evaluate_due(run: Runtime, config: MonitorConfig, variant: str) -> Iterator[Window]:
    """Evaluate every window that has closed since the schedule's last run.

    A window that fails does not keep the others from being evaluated; it stays due.

    Raises
    ------
    DriftgaugeError
        After all windows, if any failed.
    """
    store = run.store(config.name)
    state = read_state(store, variant)
    due = due_windows(config, state, now())
    if len(due) > _MOST_WINDOWS:
        logger.error(
            "windows given up",
            monitor=config.name,
            variant=variant,
            first=str(due[0]),
            last=str(due[-_MOST_WINDOWS - 1]),
        )
        due = due[-_MOST_WINDOWS:]
    try:
        current, _ = run.current(store)
    except BaselineError as error:
        # A monitor is deployed before its training data comes; traffic that comes before it
        # fails in the profile function, where it can be replayed.
        logger.warning("nothing to evaluate", monitor=config.name, reason=str(error))
        return
    failed: list[Window] = []
    for window in due:
        try:
            with counted_failures(config, variant, window):
                evaluate_closed(run, config, current, variant, window, is_last=window == due[-1])
        except Exception:
            failed.append(window)
            continue
        if not failed:
            change_state(store, variant, lambda s, end=window.end: _scheduled(s, end))  # type: ignore[misc]
        yield window
    if failed:
        raise DriftgaugeError(
            f"monitor {config.name}, variant {variant}: {len(failed)} of {len(due)} windows could "
            f"not be evaluated, the first is {failed[0]}; the log says why"
        )


def evaluate_closed(
    run: Runtime,
    config: MonitorConfig,
    current: Current,
    variant: str,
    window: Window,
    *,
    is_last: bool,
) -> None:
    """Evaluate a closed window, unless its report is made of all that is there.

    Metrics under Model Monitor's names are published here and nowhere else: once per window, as
    its jobs do, because alarms on them look at sums.
    """
    store = run.store(config.name)
    found = find_profiles(store, current, variant=variant, window=window)
    inputs = read_inputs(store, variant=variant, window=window)
    compatible_at = None
    if is_compatible(config, variant):
        compatible_at = now() if is_last else window.end
    files = find_files(store, config, found, variant=variant, window=window)
    # An endpoint is asked about whole windows only: what follows this evaluation does that.
    asks = config.attribution is not None and config.attribution.source == "endpoint"
    if asks or compatible_at is not None or is_news(found, files, inputs):
        evaluate_window(
            run,
            config,
            found,
            files,
            variant=variant,
            window=window,
            before=inputs if compatible_at is None else None,
            compatible_at=compatible_at,
        )


def due_windows(config: MonitorConfig, state: VariantState, moment: datetime) -> list[Window]:
    """Return the closed windows that the schedule has not dealt with, in time order.

    Before the first run that is the last closed window alone: what lies further back is
    evaluated when its profiles arrive or by hand.
    """
    limit = moment - config.delay
    last = config.grid.window_of(limit - config.window)
    first = state.scheduled_through or last.start
    return [window for window in config.grid.between(first, last.end) if window.start >= first]


def _scheduled(state: VariantState, end: datetime) -> VariantState:
    return replace(state, scheduled_through=max(end, state.scheduled_through or end))


def evaluate_given(run: Runtime, config: MonitorConfig, event: dict[str, Any]) -> Iterator[Window]:
    """Evaluate one window by hand, of one variant or of all, whether anything is new or not."""
    try:
        window = config.grid.window_of(parse_time(str(event["window_start"])))
    except (KeyError, ValueError) as error:
        raise ConfigError(
            "the event needs `schedule: true`, or `window_start` as an ISO 8601 time such as "
            f"{format_time(now())}"
        ) from error
    store = run.store(config.name)
    current, _ = run.current(store)
    for variant in [event["variant"]] if "variant" in event else config.endpoint.variants:
        found = find_profiles(store, current, variant=variant, window=window)
        with counted_failures(config, variant, window):
            files = find_files(store, config, found, variant=variant, window=window)
            evaluate_window(run, config, found, files, variant=variant, window=window)
        yield window


@contextmanager
def counted_failures(config: MonitorConfig, variant: str, window: Window) -> Iterator[None]:
    """Publish and log that an evaluation failed before the error goes on its way."""
    try:
        yield
    except Exception as error:
        publish_metrics(config=config, variant=variant, measures=[Measure("EvaluationFailures", 1)])
        reason = str(error) if isinstance(error, DriftgaugeError) else ""
        logger.error(
            "evaluation failed",
            monitor=config.name,
            variant=variant,
            window=str(window),
            reason=reason,
            extra=place_of_failure(),
        )
        raise
