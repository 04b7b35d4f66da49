"""What labels and attributions say of a window: counted, judged and written."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from driftgauge.config import MonitorConfig
from driftgauge.drift.assessment import Occasion
from driftgauge.errors import ObjectNotFoundError, QualityError
from driftgauge.fairness.decision import Flips
from driftgauge.labels.standing import LabelCounts, usual_coverage
from driftgauge.outcome_assessment import (
    AttributionReference,
    WindowOutcomes,
    assess_outcomes,
    bias_files,
    explainability_files,
    flip_tests,
    learnt_design_effect,
    primary_of,
    quality_files,
)
from driftgauge.outcome_verdict import (
    LabelStanding,
    OutcomesVerdict,
    decode_outcomes_verdict,
    encode_outcomes_verdict,
)
from driftgauge.store import MonitorStore
from driftgauge.windows import Window, format_time
from lambdas.attribution_file import REFERENCE_FILE, StoredSums, read_stored_sums
from lambdas.inputs import WindowFiles, WindowProfiles
from lambdas.outcomes import CountedWindow, count_window
from lambdas.runtime import Runtime, logger
from lambdas.sample_rollup import read_sample

# Windows before one that its report draws, and that say what is usual.
HISTORY = 26
_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class JudgedOutcomes:
    """A window's verdict on its outcomes, what it rests on, and those of the windows before it."""

    verdict: OutcomesVerdict
    window: WindowOutcomes
    files: WindowFiles
    history: tuple[OutcomesVerdict, ...]


def evaluate_outcomes(
    run: Runtime,
    config: MonitorConfig,
    found: WindowProfiles,
    files: WindowFiles,
    occasion: Occasion,
    *,
    outputs: Sequence[str],
) -> JudgedOutcomes | None:
    """Judge a window by its labels and attributions, and write what is found.

    Parameters
    ----------
    run : Runtime
    config : MonitorConfig
    found : WindowProfiles
        Says which baseline judges.
    files : WindowFiles
        What there is of the window besides its profiles.
    occasion : Occasion
        Which window, and when.
    outputs : sequence of str
        Columns that the model returns.

    Returns
    -------
    JudgedOutcomes or None
        None if the monitor asks for nothing of the kind.

    Raises
    ------
    DriftgaugeError
        If a file cannot be read, or does not fit the baseline.
    """
    if config.outcomes is None and config.attribution is None:
        return None
    store = run.store(config.name)
    variant, window = occasion.variant, occasion.window
    baseline = run.outcome_baseline(store, found.baseline)
    if config.outcomes is not None:
        counted = count_window(run, config, files, baseline, variant=variant, window=window)
    else:
        counted = CountedWindow(files=files, standing=LabelCounts(), counts=None, bias=None)
    history = read_outcome_history(store, config, variant=variant, window=window)
    sums = None if counted.files.sums is None else read_stored_sums(store, counted.files.sums.key)
    outcomes = WindowOutcomes(
        labels=standing_of(counted.standing, history, occasion),
        counts=counted.counts,
        bias=counted.bias,
        flips=_flips(store, config, counted, window=window, outputs=outputs),
        sums=None if sums is None else sums.sums,
    )
    verdict = assess_outcomes(
        config=config,
        baseline=baseline,
        baseline_version=found.baseline,
        window=outcomes,
        occasion=occasion,
        design_effect=learnt_design_effect(
            history, primary=primary_of(config), baseline_version=found.baseline
        ),
        reference=_reference(store, found.baseline, sums),
    )
    _write(store, verdict, outcomes, occasion)
    return JudgedOutcomes(
        verdict=verdict, window=outcomes, files=counted.files, history=tuple(history)
    )


def standing_of(
    counts: LabelCounts, history: Sequence[OutcomesVerdict], occasion: Occasion
) -> LabelStanding:
    """Say how far a window's labels have come, beside earlier windows at the same age."""
    moment, window = occasion.evaluated_at, occasion.window
    age = max(0.0, (moment - window.end).total_seconds())
    # The rows of an open window are as old as what of it has passed.
    passed = min(moment, window.end) - window.start
    earlier = [
        (one.labels.counts, max(0.0, (moment - one.window_end).total_seconds()))
        for one in history
        if one.labels.counts.rows
    ]
    return LabelStanding(
        counts=counts,
        coverage=counts.coverage or 0.0,
        usual_coverage=usual_coverage(earlier, age, span=max(0.0, passed.total_seconds())),
        median_delay_seconds=counts.median_delay,
        age_seconds=age,
    )


def read_outcome_history(
    store: MonitorStore, config: MonitorConfig, *, variant: str, window: Window
) -> list[OutcomesVerdict]:
    """Return the verdicts on the outcomes of the windows before one, oldest first."""

    def read(number: int) -> OutcomesVerdict | None:
        start = window.start - number * config.window
        key = store.report_key(
            variant=variant, window=Window(start, start + config.window), name="outcomes.json"
        )
        try:
            return decode_outcomes_verdict(store.objects.read(key))
        except ObjectNotFoundError:
            return None
        except QualityError as error:
            logger.warning("earlier outcomes left out", key=key, reason=str(error))
            return None

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        verdicts = pool.map(read, range(HISTORY, 0, -1))
        return [verdict for verdict in verdicts if verdict is not None]


def _flips(
    store: MonitorStore,
    config: MonitorConfig,
    counted: CountedWindow,
    *,
    window: Window,
    outputs: Sequence[str],
) -> Flips:
    if config.bias is None or counted.bias is None:
        return ()
    sample = read_sample(store, counted.files.samples, window=window)
    return () if sample is None else flip_tests(config, sample.columns, outputs=outputs)


def _reference(
    store: MonitorStore, version: str, sums: StoredSums | None
) -> AttributionReference | None:
    """Return the attributions of the first window that was explained under a baseline."""
    if sums is None:
        return None
    known = read_stored_sums(store, store.baseline_key(version, REFERENCE_FILE))
    if known is None:
        return None
    itself = known.window_start == sums.window_start
    note = (
        "Windows of this baseline are compared with this one, the first that was explained."
        if itself
        else f"Compared with the window of {format_time(known.window_start)}, the first that was "
        "explained under this baseline, which has no attributions of its own."
    )
    return AttributionReference(sums=known.sums, note=note)


def _write(
    store: MonitorStore, verdict: OutcomesVerdict, outcomes: WindowOutcomes, occasion: Occasion
) -> None:
    folders = {
        "quality": quality_files(outcomes, verdict, occasion),
        "bias": bias_files(outcomes, verdict),
        "explainability": explainability_files(outcomes, verdict),
    }
    files = {
        f"{folder}/{name}": data for folder, some in folders.items() for name, data in some.items()
    }
    files["outcomes.json"] = encode_outcomes_verdict(verdict)

    def write(name: str) -> None:
        key = store.report_key(variant=occasion.variant, window=occasion.window, name=name)
        store.objects.write(key, files[name], content_type="application/json")

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for _ in pool.map(write, files):
            pass
