"""An A/B test: both variants' outcomes, window by window, and what they say."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

from driftgauge.config import MonitorConfig
from driftgauge.errors import ConflictError, ExperimentError, ObjectNotFoundError
from driftgauge.experiment_settings import AbMonitorSettings
from driftgauge.experiments.arms import Arm, arm_of_outcomes
from driftgauge.experiments.blocks import Block, Blocks
from driftgauge.experiments.codec import decode_blocks, encode_blocks
from driftgauge.experiments.decision import judge_experiment
from driftgauge.experiments.plan import (
    ExperimentPlan,
    decode_plan,
    encode_plan,
    plan_experiment,
)
from driftgauge.experiments.verdict import ExperimentVerdict
from driftgauge.quality.counts import sum_counts
from driftgauge.store import Current
from driftgauge.windows import Window, format_time
from lambdas.experiment_windows import change_counts, windows_to_count
from lambdas.inputs import read_inputs, recent_baselines
from lambdas.outcomes import counting_of, decode_grains
from lambdas.runtime import Runtime, logger, now

PLAN = "plan.json"
# What the champion did in this time before the experiment makes its plan.
_PAST = timedelta(days=7)
_AT_ONCE = 16


def judge_arms(
    run: Runtime, config: MonitorConfig, settings: AbMonitorSettings, window: Window
) -> ExperimentVerdict | None:
    """Judge an A/B test after a window was evaluated; None if it cannot be judged yet.

    Raises
    ------
    DriftgaugeError
        If what is stored of it cannot be read.
    """
    current, _ = run.current(run.store(config.name))
    reader = _Reader(run=run, config=config, current=current)
    plan = _plan(reader, settings)
    if plan is None:
        return None
    blocks = change_counts(
        run.store(config.name),
        settings.name,
        decode=decode_blocks,
        encode=encode_blocks,
        count=partial(_count, reader, settings, window),
    )
    if not len(blocks):
        logger.info("experiment not judged", experiment=settings.name, reason="no window settled")
        return None
    return judge_experiment(
        blocks,
        plan,
        experiment=settings.name,
        champion=settings.champion,
        challenger=settings.challenger,
        started=settings.since,
        evaluated_at=now(),
    )


class _Reader:
    """Reads what evaluations counted of windows."""

    def __init__(self, *, run: Runtime, config: MonitorConfig, current: Current) -> None:
        self.config = config
        self.store = run.store(config.name)
        self._countings = {
            version: counting_of(config, run.outcome_baseline(self.store, version))
            for version in recent_baselines(current)
        }

    def arm(self, variant: str, window: Window, *, since: datetime | None = None) -> Arm | None:
        """Return what a variant did in a window; None if that is not known.

        Of a window that was not evaluated, or whose outcomes could not be counted, nothing is
        known; nor of one that several baselines share, since evaluations count the part of the
        newest alone. A variant that received nothing has an empty arm.
        """
        inputs = read_inputs(self.store, variant=variant, window=window)
        if inputs is None or self._is_shared(variant, window):
            return None
        for version, counting in self._countings.items():
            key = self.store.outcomes_key(baseline=version, variant=variant, window=window)
            try:
                data = self.store.objects.read(key)
            except ObjectNotFoundError:
                continue
            # None, too, if they were counted otherwise: until they are counted again.
            grains = decode_grains(data, counting)
            if counting.spec is None or not grains:
                return None
            some = [one for one in grains.values() if since is None or one.start >= since]
            counts = sum_counts(counting.spec, (o.counts for o in some if o.counts is not None))
            return arm_of_outcomes(counts, requests=sum(one.standing.records for one in some))
        return None if inputs.profiles else Arm()

    def _is_shared(self, variant: str, window: Window) -> bool:
        """Tell whether the captures of a window were profiled against several baselines."""
        if len(self._countings) == 1:
            return False
        found = (
            self.store.list_profiles(baseline=one, variant=variant, window=window)
            for one in self._countings
        )
        return sum(any(True for _ in profiles) for profiles in found) > 1

    def arms(self, variant: str, windows: Iterable[Window]) -> list[Arm]:
        """Return what is known of a variant in some windows."""
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            found = pool.map(partial(self.arm, variant), windows)
            return [arm for arm in found if arm is not None]


def _count(
    reader: _Reader, settings: AbMonitorSettings, window: Window, kept: Blocks | None
) -> Blocks:
    blocks = {} if kept is None else dict(kept.by_start)
    windows = windows_to_count(reader.config, settings, window, is_first=not blocks)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for block in pool.map(partial(_block, reader, settings, blocks), windows):
            if block is not None:
                blocks[block.start] = block
    return Blocks(by_start=blocks)


def _block(
    reader: _Reader, settings: AbMonitorSettings, kept: dict[datetime, Block], window: Window
) -> Block | None:
    """Return both arms of a window; None unless both are known.

    How much traffic the challenger should have had is what the settings said when the window was
    first counted: weights may change, and the settings with them.
    """
    since = settings.since
    champion = reader.arm(settings.champion, window, since=since)
    challenger = reader.arm(settings.challenger, window, since=since)
    if champion is None or challenger is None or not champion.requests + challenger.requests:
        return None
    known = kept.get(window.start)
    return Block(
        start=window.start,
        share=settings.share if known is None else known.share,
        champion=champion,
        challenger=challenger,
    )


def _plan(reader: _Reader, settings: AbMonitorSettings) -> ExperimentPlan | None:
    """Return the plan, made once from the champion's past; None as long as that is too short."""
    store = reader.store
    key = store.experiment_key(settings.name, PLAN)
    try:
        return decode_plan(store.objects.read(key))
    except ObjectNotFoundError:
        pass
    try:
        plan = _new_plan(reader, settings)
    except ExperimentError as error:
        logger.warning("experiment not planned", experiment=settings.name, reason=str(error))
        return None
    try:
        store.objects.write(key, encode_plan(plan), content_type="application/json", if_absent=True)
    except ConflictError:
        return decode_plan(store.objects.read(key))
    logger.info(
        "experiment planned", experiment=settings.name, requests=plan.requests, days=plan.days
    )
    return plan


def _new_plan(reader: _Reader, settings: AbMonitorSettings) -> ExperimentPlan:
    grid, since = reader.config.grid, settings.since
    first = since - max(_PAST, reader.config.window)
    windows = [one for one in grid.between(first, since) if one.start >= first and one.end <= since]
    arms = reader.arms(settings.champion, windows)
    past = sum(arms, Arm())
    for metric in (settings.primary, *settings.guardrails):
        rows = past.of(metric.name).rows
        if rows < settings.min_rows:
            raise ExperimentError(
                f"{settings.champion} has {rows:,} rows with {metric.name} from "
                f"{format_time(first)} to {format_time(since)}, fewer than min_rows: labels may "
                "still come; else begin later"
            )
    return plan_experiment(settings, past=past, period=len(arms) * reader.config.window)
