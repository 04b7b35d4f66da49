"""The user's scripts of a monitor: where they are read from, and when they run."""

from __future__ import annotations

from driftgauge.capture.hooks import run_postprocess
from driftgauge.config import MonitorConfig
from driftgauge.errors import DriftgaugeError, HookError, ObjectNotFoundError
from driftgauge.store import LocalObjects, Objects
from lambdas.runtime import Measure, Runtime, logger, publish_metrics


def read_script(run: Runtime, script: str) -> bytes:
    """Read a script from S3, or from the code that was deployed.

    It is read anew each time, a small request, so that a new version needs no deployment.

    Raises
    ------
    HookError
        If it is not there.
    """
    if script.startswith("s3://"):
        bucket, _, key = script.removeprefix("s3://").partition("/")
        objects: Objects = run.objects(bucket)
        remedy = "put the script there again"
    else:
        objects, key = LocalObjects(run.settings.LAMBDA_TASK_ROOT), script
        remedy = "it is not part of the deployed code: deploy again"
    try:
        return objects.read(key)
    except ObjectNotFoundError as error:
        raise HookError(f"{script} does not exist: {remedy}") from error


def read_preprocess(run: Runtime, config: MonitorConfig) -> bytes | None:
    """Return the script of the monitor's preprocess hook; None if it has none."""
    script = config.capture.hooks.preprocess
    return None if script is None else read_script(run, script)


def postprocess(run: Runtime, config: MonitorConfig, variant: str) -> None:
    """Call the monitor's postprocess hook, if it has one.

    The evaluation is done and written by now: whatever goes wrong here is logged and counted,
    and undoes nothing.
    """
    script = config.capture.hooks.postprocess
    if script is None:
        return
    failed = 0
    try:
        run_postprocess(read_script(run, script), name=script)
    except DriftgaugeError as error:
        failed = 1
        # A script's own error may quote what it read: its type and place may be logged.
        cause = error.__cause__
        known = cause is None or isinstance(cause, DriftgaugeError)
        reason = str(error) if known else type(cause).__name__
        logger.error("postprocess hook failed", monitor=config.name, script=script, reason=reason)
    publish_metrics(
        config=config, variant=variant, measures=[Measure("PostprocessFailures", failed)]
    )
