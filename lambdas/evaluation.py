"""One window's evaluation: find its profiles, judge them, write, remember, publish."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import msgspec

from driftgauge.baseline import Baseline
from driftgauge.checks.constraints import encode_constraints, suggest_constraints
from driftgauge.config import MonitorConfig
from driftgauge.drift.assessment import Assessment, Occasion, Rules, assess_window
from driftgauge.drift.evidence import EvidenceState
from driftgauge.drift.references import StoredWindows
from driftgauge.drift.verdict import WindowVerdict, encode_verdict
from driftgauge.errors import DriftgaugeError, ObjectNotFoundError
from driftgauge.profile.profile import Profile
from driftgauge.report.html import render_report
from driftgauge.report.model_monitor import encode_statistics, encode_violations
from driftgauge.store import MonitorStore
from driftgauge.windows import Window
from lambdas.evidence import assess_with_evidence
from lambdas.hooks import postprocess
from lambdas.inputs import EvaluatedInputs, WindowFiles, WindowProfiles
from lambdas.outcome_evaluation import HISTORY, JudgedOutcomes, evaluate_outcomes
from lambdas.outcome_publication import publish_outcomes
from lambdas.publication import publish_compatible, publish_verdict
from lambdas.rollup import merge_stored
from lambdas.runtime import Runtime, now
from lambdas.state import VariantState, change_state, read_state

_AT_ONCE = 16


def evaluate_window(
    run: Runtime,
    config: MonitorConfig,
    found: WindowProfiles,
    files: WindowFiles,
    *,
    variant: str,
    window: Window,
    before: EvaluatedInputs | None = None,
    compatible_at: datetime | None = None,
) -> WindowVerdict:
    """Judge a window from its profiles, write its report, remember it, publish its metrics.

    Parameters
    ----------
    run : Runtime
    config : MonitorConfig
    found : WindowProfiles
        The window's profiles.
    files : WindowFiles
        What there is of the window besides. What arrives later makes an evaluation of its own.
    variant : str
    window : Window
    before : EvaluatedInputs, optional
        What the window's report was made from. If that were the same profiles, the stored verdict
        on drift stays and is not published again: only labels or attributions are new.
    compatible_at : datetime, optional
        The time of the metrics under Model Monitor's names; None: without them.

    Raises
    ------
    DriftgaugeError
        If the window cannot be judged. What is wrong with labels or attributions is raised last:
        the verdict on drift has been written and published by then.
    """
    store = run.store(config.name)
    baseline = run.baseline(store, found.baseline)
    profile = merge_stored(store, found.profiles, baseline.spec, window=window)
    occasion = Occasion(
        monitor=config.name,
        variant=variant,
        window=window,
        evaluated_at=now(),
        window_length=config.window,
    )
    verdict = _stored_verdict(store, found, before, occasion)
    is_new = verdict is None
    if verdict is None:
        verdict = judge_stored(
            store,
            config,
            baseline,
            profile,
            occasion=occasion,
            other_baseline_rows=_other_rows(run, store, found, window),
        )
        write_files(store, verdict, profile)
    judged: JudgedOutcomes | None = None
    failure: DriftgaugeError | None = None
    try:
        judged = evaluate_outcomes(
            run, config, found, files, occasion, outputs=baseline.spec.outputs
        )
    except DriftgaugeError as error:
        failure = error
    write_page(store, config, verdict, baseline, profile, judged)
    if is_new:
        newest = read_state(store, variant).newest
        change_state(store, variant, lambda state: _advance(state, window, verdict.evaluated_at))
        publish_verdict(
            config,
            verdict,
            is_newest=newest is None or window.end >= newest.end,
            is_replaced=_is_replaced(store, config, variant),
        )
    if judged is not None:
        explained = before is None or before.explained != judged.files.explained
        publish_outcomes(
            run, config, judged, is_current=found.is_current, is_newly_explained=explained
        )
    inputs = EvaluatedInputs(
        digest=found.digest,
        profiles=len(found.everything),
        evaluated_at=occasion.evaluated_at,
        outcomes=judged.files.digest if judged is not None else "",
        explained=judged.files.explained if judged is not None else "",
    )
    store.objects.write(
        store.report_key(variant=variant, window=window, name="inputs.json"),
        msgspec.json.encode(inputs),
        content_type="application/json",
    )
    if compatible_at is not None:
        publish_compatible(run, config, baseline, profile, variant=variant, moment=compatible_at)
    postprocess(run, config, variant)
    if failure is not None:
        raise failure
    return verdict


def _is_replaced(store: MonitorStore, config: MonitorConfig, variant: str) -> bool:
    """Tell whether a roll-out is about to put another model in the place of a variant's."""
    if config.rollout is None or variant == config.rolled_out:
        return False
    # Only for monitors that roll out: it brings in what retrainings need.
    from lambdas.rollout_record import read_rollout

    record = read_rollout(store)
    return record is not None and record.status == "running" and record.stage == "full"


def _stored_verdict(
    store: MonitorStore,
    found: WindowProfiles,
    before: EvaluatedInputs | None,
    occasion: Occasion,
) -> WindowVerdict | None:
    """Return the verdict on the very same profiles; None if there is none."""
    if before is None or before.digest != found.digest:
        return None
    try:
        return store.read_verdict(variant=occasion.variant, window=occasion.window)
    except ObjectNotFoundError:
        return None


def _other_rows(run: Runtime, store: MonitorStore, found: WindowProfiles, window: Window) -> int:
    return sum(
        merge_stored(store, some, run.baseline(store, version).spec, window=window).rows
        for version, some in found.others.items()
    )


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


def write_files(store: MonitorStore, verdict: WindowVerdict, profile: Profile) -> None:
    """Write what a window's report says of drift: Model Monitor's files, and the verdict."""
    window = Window(verdict.window_start, verdict.window_end)
    for name, data in (
        ("statistics.json", encode_statistics(profile)),
        ("constraints.json", encode_constraints(suggest_constraints(profile))),
        ("constraint_violations.json", encode_violations(verdict.violations)),
        ("verdicts.json", encode_verdict(verdict)),
    ):
        key = store.report_key(variant=verdict.variant, window=window, name=name)
        store.objects.write(key, data, content_type="application/json")


def write_page(
    store: MonitorStore,
    config: MonitorConfig,
    verdict: WindowVerdict,
    baseline: Baseline,
    profile: Profile,
    judged: JudgedOutcomes | None,
) -> None:
    """Write a window's report as a page."""
    window = Window(verdict.window_start, verdict.window_end)
    outcomes = None if judged is None else judged.verdict
    page = render_report(
        verdict=verdict,
        baseline=baseline,
        profile=profile,
        history=read_history(store, config, variant=verdict.variant, window=window),
        generated_at=verdict.evaluated_at if outcomes is None else outcomes.evaluated_at,
        decision=config.decision,
        outcomes=outcomes,
        outcome_history=() if judged is None else judged.history,
    )
    store.objects.write(
        store.report_key(variant=verdict.variant, window=window, name="report.html"),
        page.encode(),
        content_type="text/html; charset=utf-8",
    )


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

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        verdicts = pool.map(read, range(HISTORY, 0, -1))
        return [verdict for verdict in verdicts if verdict is not None]
