"""One window's evaluation: find its profiles, judge them, write, remember, publish."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from driftgauge.baseline import Baseline
from driftgauge.checks.constraints import encode_constraints, suggest_constraints
from driftgauge.config import MonitorConfig
from driftgauge.drift.assessment import Assessment, Occasion, Rules, assess_window
from driftgauge.drift.evidence import EvidenceState
from driftgauge.drift.references import StoredWindows
from driftgauge.drift.verdict import (
    JointVerdict,
    PersistentDrift,
    WindowVerdict,
    encode_verdict,
)
from driftgauge.errors import ObjectNotFoundError, StoreError
from driftgauge.profile.profile import Profile
from driftgauge.report.compatible_metrics import Publisher, data_quality_points
from driftgauge.report.html import render_report
from driftgauge.report.model_monitor import encode_statistics, encode_violations
from driftgauge.store import Current, MonitorStore, StoredProfile
from driftgauge.store.services import put_metric_data
from driftgauge.windows import Window, format_time
from lambdas.evidence import assess_with_evidence
from lambdas.hooks import postprocess
from lambdas.rollup import merge_stored
from lambdas.runtime import Measure, Runtime, logger, now, publish_metrics
from lambdas.state import VariantState, change_state, read_state

_HISTORY = 26
# Baselines before the current one whose profiles a window may still consist of. Each costs a
# listing, and traffic is profiled against the baseline of its day of arrival.
_EARLIER_BASELINES = 4
# CloudWatch takes no datapoint that is older.
_OLDEST_METRIC = timedelta(days=14)
# Evidence grows without bound; a graph should still show where it rings, which is at 1.
_MOST_EVIDENCE = 10.0


@dataclass(frozen=True, kw_only=True)
class WindowProfiles:
    """The stored profiles of one window: those to judge, and those of other baselines."""

    baseline: str
    profiles: tuple[StoredProfile, ...]
    others: dict[str, tuple[StoredProfile, ...]]

    @property
    def everything(self) -> tuple[StoredProfile, ...]:
        """All profiles of the window."""
        return (*self.profiles, *(one for some in self.others.values() for one in some))

    @property
    def digest(self) -> str:
        """A digest that changes whenever anything the verdict depends on is stored anew."""
        lines = [self.baseline, *sorted(f"{one.key} {one.tag}" for one in self.everything)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class EvaluatedInputs:
    """What a window's report was made from: ``inputs.json``, written after everything else."""

    digest: str
    profiles: int
    evaluated_at: datetime
    version: int = 1


def find_profiles(
    store: MonitorStore, current: Current, *, variant: str, window: Window
) -> WindowProfiles:
    """Find a window's profiles.

    The window is judged against the current baseline if there are profiles of it, else against
    the newest earlier one that has any.
    """
    versions = [current.baseline]
    for promotion in reversed(current.history):
        if promotion.baseline not in versions and len(versions) <= _EARLIER_BASELINES:
            versions.append(promotion.baseline)
    found = {}
    for version in versions:
        some = tuple(store.list_profiles(baseline=version, variant=variant, window=window))
        if some:
            found[version] = some
    chosen = next(iter(found), current.baseline)
    return WindowProfiles(baseline=chosen, profiles=found.pop(chosen, ()), others=found)


def read_inputs(store: MonitorStore, *, variant: str, window: Window) -> EvaluatedInputs | None:
    """Return what a window's report was made from; None if it has none."""
    key = store.report_key(variant=variant, window=window, name="inputs.json")
    try:
        return msgspec.json.decode(store.objects.read(key), type=EvaluatedInputs)
    except (ObjectNotFoundError, msgspec.ValidationError):
        return None


def evaluate_window(
    run: Runtime,
    config: MonitorConfig,
    found: WindowProfiles,
    *,
    variant: str,
    window: Window,
    compatible_at: datetime | None = None,
) -> WindowVerdict:
    """Judge a window from its profiles, write its report, remember it, publish its metrics.

    ``compatible_at`` is the time of the metrics under Model Monitor's names; None: without them.
    """
    store = run.store(config.name)
    baseline = run.baseline(store, found.baseline)
    profile = merge_stored(store, found.profiles, baseline.spec, window=window)
    moment = now()
    others = sum(
        merge_stored(store, some, run.baseline(store, version).spec, window=window).rows
        for version, some in found.others.items()
    )
    verdict = judge_stored(
        store,
        config,
        baseline,
        profile,
        occasion=Occasion(
            monitor=config.name,
            variant=variant,
            window=window,
            evaluated_at=moment,
            window_length=config.window,
        ),
        other_baseline_rows=others,
    )
    write_report(store, config, verdict, baseline, profile)
    newest = read_state(store, variant).newest
    change_state(store, variant, lambda state: _advance(state, window, moment))
    publish_verdict(config, verdict, is_newest=newest is None or window.end >= newest.end)
    inputs = EvaluatedInputs(
        digest=found.digest, profiles=len(found.everything), evaluated_at=moment
    )
    store.objects.write(
        store.report_key(variant=variant, window=window, name="inputs.json"),
        msgspec.json.encode(inputs),
        content_type="application/json",
    )
    if compatible_at is not None:
        publish_compatible(run, config, baseline, profile, variant=variant, moment=compatible_at)
    postprocess(run, config, variant)
    return verdict


def judge_stored(
    store: MonitorStore,
    config: MonitorConfig,
    baseline: Baseline,
    profile: Profile,
    *,
    occasion: Occasion,
    other_baseline_rows: int,
) -> WindowVerdict:
    """Judge a window with the evidence of the windows before it, and remember the window there.

    References are the stored profiles that were counted against the same baseline: after a new
    baseline they start anew, as the evidence does.
    """
    version = baseline.spec.version

    def find(window: Window, variant: str) -> Profile | None:
        some = list(store.list_profiles(baseline=version, variant=variant, window=window))
        return merge_stored(store, some, baseline.spec, window=window) if some else None

    rules = Rules(
        decision=config.decision,
        features=config.column_settings(
            [feature.name for feature in baseline.spec.features], outputs=baseline.spec.outputs
        ),
        references=config.references,
        mode=config.mode,
    )

    def assess(evidence: EvidenceState) -> Assessment:
        return assess_window(
            baseline=baseline,
            profile=profile,
            rules=rules,
            occasion=occasion,
            evidence=evidence,
            past=StoredWindows(find),
            other_baseline_rows=other_baseline_rows,
        )

    if not rules.keeps_evidence:
        return assess(EvidenceState.empty(version)).verdict
    return assess_with_evidence(store, baseline=version, variant=occasion.variant, assess=assess)


def _advance(state: VariantState, window: Window, moment: datetime) -> VariantState:
    if state.newest_end is not None and window.end < state.newest_end:
        return state
    return replace(state, newest_start=window.start, newest_end=window.end, evaluated_at=moment)


def write_report(
    store: MonitorStore,
    config: MonitorConfig,
    verdict: WindowVerdict,
    baseline: Baseline,
    profile: Profile,
) -> None:
    """Write the files of a window's report."""
    window = Window(verdict.window_start, verdict.window_end)
    history = read_history(store, config, variant=verdict.variant, window=window)
    page = render_report(
        verdict=verdict,
        baseline=baseline,
        profile=profile,
        history=history,
        generated_at=verdict.evaluated_at,
        decision=config.decision,
    )
    for name, kind, data in (
        ("statistics.json", "application/json", encode_statistics(profile)),
        (
            "constraints.json",
            "application/json",
            encode_constraints(suggest_constraints(profile)),
        ),
        (
            "constraint_violations.json",
            "application/json",
            encode_violations(verdict.violations),
        ),
        ("report.html", "text/html; charset=utf-8", page.encode()),
        ("verdicts.json", "application/json", encode_verdict(verdict)),
    ):
        key = store.report_key(variant=verdict.variant, window=window, name=name)
        store.objects.write(key, data, content_type=kind)


def read_history(
    store: MonitorStore, config: MonitorConfig, *, variant: str, window: Window
) -> list[WindowVerdict]:
    """Return the verdicts of the windows before one, oldest first, as far as there are any."""

    def read(number: int) -> WindowVerdict | None:
        start = window.start - number * config.window
        try:
            return store.read_verdict(variant=variant, window=Window(start, start + config.window))
        except ObjectNotFoundError:
            return None

    with ThreadPoolExecutor(max_workers=8) as pool:
        verdicts = pool.map(read, range(_HISTORY, 0, -1))
        return [verdict for verdict in verdicts if verdict is not None]


def publish_verdict(config: MonitorConfig, verdict: WindowVerdict, *, is_newest: bool) -> None:
    """Publish a verdict's metrics and its line in the log.

    The newest window's metrics carry the present time, because alarms look at the present. An
    older window that late data changed carries its own end, if CloudWatch still takes it.
    """
    line = describe_verdict(verdict)
    if is_newest:
        publish_metrics(config=config, variant=verdict.variant, measures=measures(verdict))
    elif now() - verdict.window_end < _OLDEST_METRIC:
        publish_metrics(
            config=config,
            variant=verdict.variant,
            measures=measures(verdict),
            moment=verdict.window_end,
        )
    logger.info("window evaluated", extra={"newest": is_newest, **line})


def is_compatible(config: MonitorConfig, variant: str) -> bool:
    """Return whether a variant's windows are published under Model Monitor's names too."""
    settings = config.model_monitor_metrics
    return settings is not None and variant == (settings.variant or config.endpoint.variants[0])


def publish_compatible(
    run: Runtime,
    config: MonitorConfig,
    baseline: Baseline,
    profile: Profile,
    *,
    variant: str,
    moment: datetime,
) -> None:
    """Publish a closed window under Model Monitor's names, if the monitor asks for it.

    A refusal does not undo the evaluation, which has been written: it is logged, and counted as
    a failed evaluation so that an alarm rings.
    """
    settings = config.model_monitor_metrics
    if settings is None or now() - moment >= _OLDEST_METRIC:
        return
    publisher = Publisher(
        schedule=settings.schedule,
        endpoint=None if settings.batch else config.endpoint.name,
        namespace=settings.namespace,
    )
    points = data_quality_points(
        publisher, profile=profile, baseline=baseline.profile, constraints=baseline.constraints
    )
    refused = [point.name for point in points if not point.acceptable]
    if refused:
        logger.warning("metrics without a name CloudWatch takes", count=len(refused))
    try:
        put_metric_data(
            namespace=publisher.namespace_of("data"),
            points=[point for point in points if point.acceptable],
            moment=moment,
            client=run.cloudwatch,
        )
    except StoreError as error:
        publish_metrics(config=config, variant=variant, measures=[Measure("EvaluationFailures", 1)])
        logger.error("Model Monitor metrics not published", monitor=config.name, reason=str(error))


def measures(verdict: WindowVerdict) -> Iterator[Measure]:
    """Return the metrics of a verdict.

    A window with too few rows says nothing about drift, so those metrics stay away and the
    alarms keep their state.
    """
    for feature in verdict.features:
        # The distance that strict mode's chi-squared has is a p-value: larger is nearer.
        comparable = feature.effect is not None or feature.test != "chi_squared"
        if feature.distance is not None and comparable:
            name = "FeatureDistance" if feature.role == "input" else "PredictionDistance"
            yield Measure(name, feature.distance, "None")
    if not verdict.insufficient:
        yield Measure("DriftedFeatures", len(verdict.drifted_inputs))
        yield Measure("DriftedPredictions", len(verdict.drifted_outputs))
    persistent, joint = verdict.persistent, verdict.joint
    if persistent is not None:
        # A new baseline's evidence starts with nothing, and what rang before it must fall silent.
        learning = persistent.verdict == "insufficient_data"
        ratio = 0.0 if learning else persistent.value / persistent.threshold
        yield Measure("PersistentDrift", min(ratio, _MOST_EVIDENCE), "None")
    if joint is not None and joint.verdict != "insufficient_data":
        yield Measure("JointDrift", float(joint.verdict == "drift"))
    if verdict.quality_violations or not verdict.insufficient:
        yield Measure("Violations", len(verdict.quality_violations))
    yield Measure("WindowRows", verdict.rows)
    if verdict.rows or verdict.rejected_total:
        yield Measure("RejectedShare", 100.0 * verdict.rejected_share, "Percent")
    yield Measure("EvaluationFailures", 0)


def describe_verdict(verdict: WindowVerdict) -> dict[str, object]:
    """Return the fields of the log line: the numbers of every column, and no payload values."""
    return {
        "monitor": verdict.monitor,
        "variant": verdict.variant,
        "window_start": format_time(verdict.window_start),
        "window_end": format_time(verdict.window_end),
        "baseline": verdict.baseline_version,
        "rows": verdict.rows,
        "other_baseline_rows": verdict.other_baseline_rows,
        "rejected": verdict.rejected,
        "alarm": verdict.alarm,
        "violations": len(verdict.violations),
        "seasonal": [f.name for f in verdict.features if f.verdict == "seasonal"],
        "persistent": _describe_persistent(verdict.persistent),
        "joint": _describe_joint(verdict.joint),
        "references": [
            {"name": one.name, "rows": one.rows, "drifted": one.drifted}
            for one in verdict.references
        ],
        "features": [
            {
                "name": f.name,
                "role": f.role,
                "verdict": f.verdict,
                "rows": f.rows,
                "distance": f.distance,
                "effect": f.effect,
                "p_value": f.adjusted_p_value,
            }
            for f in verdict.features
        ],
    }


def _describe_persistent(persistent: PersistentDrift | None) -> dict[str, object] | None:
    if persistent is None:
        return None
    # Aspects may be categories, which are values of the payload.
    return {
        "verdict": persistent.verdict,
        "value": persistent.value,
        "threshold": persistent.threshold,
        "windows": persistent.windows,
        "features": [
            {"name": one.name, "value": one.value, "since": format_time(one.since)}
            for one in persistent.features
        ],
    }


def _describe_joint(joint: JointVerdict | None) -> dict[str, object] | None:
    if joint is None:
        return None
    return {
        "verdict": joint.verdict,
        "tests": [
            {"name": one.name, "effect": one.effect, "p_value": one.adjusted_p_value}
            for one in joint.tests
        ],
    }
