"""An A/B test: both variants' outcomes, grain by grain of settled windows, and what they say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from posixpath import commonpath

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
from lambdas.experiment_weights import EndpointWeights
from lambdas.experiment_windows import change_counts, windows_to_count
from lambdas.inputs import read_inputs, recent_baselines
from lambdas.outcomes import counting_of, decode_grains
from lambdas.runtime import Runtime, logger, now

PLAN = "plan.json"
# What an evaluation writes last.
_REPORTED = "inputs.json"
# What the champion did in this time before the experiment makes its plan.
_PAST = timedelta(days=7)
_AT_ONCE = 16


def judge_arms(
    run: Runtime,
    config: MonitorConfig,
    settings: AbMonitorSettings,
    window: Window,
    *,
    weights: EndpointWeights | None = None,
) -> ExperimentVerdict | None:
    """Judge an A/B test after a window was evaluated; None if it cannot be judged yet.

    Parameters
    ----------
    run : Runtime
    config : MonitorConfig
    settings : AbMonitorSettings
    window : Window
        The one that was evaluated.
    weights : EndpointWeights, optional
        Those that split the traffic; without them it is the settings' share.

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
        count=partial(_count, reader, settings, window, weights),
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

    def arms(self, variant: str, window: Window) -> dict[datetime, Arm] | None:
        """Return what a variant did in a window by start of the grain; None if that is not known.

        Of a window that was not evaluated, or whose outcomes could not be counted, nothing is
        known; nor of one that several baselines share, since evaluations count the part of the
        newest alone. A variant that received nothing has no arm.
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
            none = sum_counts(counting.spec, ())
            return {
                one.start: arm_of_outcomes(one.counts or none, requests=one.standing.records)
                for one in grains.values()
            }
        return None if inputs.profiles else {}

    def _is_shared(self, variant: str, window: Window) -> bool:
        """Tell whether the captures of a window were profiled against several baselines."""
        if len(self._countings) == 1:
            return False
        found = (
            self.store.list_profiles(baseline=one, variant=variant, window=window)
            for one in self._countings
        )
        return sum(any(True for _ in profiles) for profiles in found) > 1

    def evaluated(self, variant: str, windows: Sequence[Window]) -> list[Window]:
        """Return those windows, given in the order of time, that have a report.

        One listing: a week has thousands of short windows, and to ask for each takes minutes.
        """
        keys = {
            self.store.report_key(variant=variant, window=window, name=_REPORTED): window
            for window in windows
        }
        names = list(keys)
        if not names:
            return []
        folder = commonpath([names[0], names[-1]])
        listed = self.store.objects.list(folder, after=names[0].removesuffix(_REPORTED))
        known = takewhile(lambda info: info.key <= names[-1], listed)
        return [keys[info.key] for info in known if info.key in keys]

    def known_arms(self, variant: str, windows: Iterable[Window]) -> list[Arm]:
        """Return what a variant did in each of those windows of which it is known."""
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            found = pool.map(partial(self.arms, variant), windows)
            return [sum(arms.values(), Arm()) for arms in found if arms is not None]


def _count(
    reader: _Reader,
    settings: AbMonitorSettings,
    window: Window,
    weights: EndpointWeights | None,
    kept: Blocks | None,
) -> Blocks:
    blocks = {} if kept is None else dict(kept.by_start)
    windows = windows_to_count(reader.config, settings, window, is_first=not blocks)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        found = pool.map(partial(_both_arms, reader, settings), windows)
        for one, arms in zip(windows, found, strict=True):
            if not arms:
                continue
            share = _share(reader.config, settings, blocks, one, weights)
            if share is not None:
                # Grains, not windows: how much blocks differ is known after ten of them.
                blocks = {start: block for start, block in blocks.items() if start not in one}
                for start, (champion, challenger) in arms.items():
                    blocks[start] = Block(
                        start=start, share=share, champion=champion, challenger=challenger
                    )
    return Blocks(by_start=blocks)


def _both_arms(
    reader: _Reader, settings: AbMonitorSettings, window: Window
) -> dict[datetime, tuple[Arm, Arm]]:
    """Return both arms of a window's grains with requests; none unless both are known."""
    champion = reader.arms(settings.champion, window)
    challenger = reader.arms(settings.challenger, window)
    if champion is None or challenger is None:
        return {}
    both = {
        start: (champion.get(start, Arm()), challenger.get(start, Arm()))
        for start in sorted({*champion, *challenger})
        if start >= settings.since
    }
    return {start: arms for start, arms in both.items() if arms[0].requests + arms[1].requests}


def _share(
    config: MonitorConfig,
    settings: AbMonitorSettings,
    blocks: Mapping[datetime, Block],
    window: Window,
    weights: EndpointWeights | None,
) -> float | None:
    """Return the share of the traffic that the challenger should have had in a window.

    It is what the weights said when the window was first counted: they may change later. None if
    they say another share than that of the window before, and may have changed within this one:
    neither would be right for all of it.
    """
    counted = next((block for start, block in blocks.items() if start in window), None)
    if counted is not None:
        return counted.share
    served = None if weights is None else weights.share(config, settings)
    if served is None:
        return settings.share
    earlier = max((start for start in blocks if start < window.start), default=None)
    before = settings.share if earlier is None else blocks[earlier].share
    if math.isclose(served.share, before, rel_tol=1e-4):
        return before
    if served.since <= max(window.start, settings.since):
        return served.share
    logger.warning(
        "window not counted",
        experiment=settings.name,
        window=str(window),
        share=before,
        served=served.share,
        reason="the endpoint was changed since its start, and the weights say another share",
    )
    return None


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


def past_windows(config: MonitorConfig, since: datetime) -> list[Window]:
    """Return the whole windows before an experiment that its plan is made from.

    Parameters
    ----------
    config : MonitorConfig
    since : datetime
        When it began, which may be anywhere within a window.
    """
    # Of two windows' time one is whole.
    first = since - max(_PAST, 2 * config.window)
    between = config.grid.between(first, since)
    return [one for one in between if one.start >= first and one.end <= since]


def _new_plan(reader: _Reader, settings: AbMonitorSettings) -> ExperimentPlan:
    since = settings.since
    windows = past_windows(reader.config, since)
    arms = reader.known_arms(settings.champion, reader.evaluated(settings.champion, windows))
    past = sum(arms, Arm())
    for metric in (settings.primary, *settings.guardrails):
        rows = past.of(metric.name).rows
        if rows < settings.min_rows:
            raise ExperimentError(
                f"{settings.champion} has {rows:,} rows with {metric.name} from "
                f"{format_time(windows[0].start)} to {format_time(windows[-1].end)}, fewer than "
                "min_rows: labels may still come; else begin later"
            )
    return plan_experiment(settings, past=past, period=len(arms) * reader.config.window)
