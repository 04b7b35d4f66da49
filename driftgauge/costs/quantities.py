"""How much a monitor does in a month: what its configuration and traffic make of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from driftgauge.config import MonitorConfig

HOURS_PER_MONTH: Final = 730.0
SECONDS_PER_MONTH: Final = HOURS_PER_MONTH * 3600
# A window of more files has a rollup; as the evaluate function has it.
ROLLUP_ABOVE: Final = 8
LIST_PAGE: Final = 1000
# Where models are retrained, an evaluation looks for profiles of this many earlier baselines.
_EARLIER_BASELINES = 4
_UNENDING = 10  # evaluation on arrival waits ten debounces at most


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What the configuration does not say about a monitor.

    Attributes
    ----------
    rows_per_hour : float
        Captured rows, over all variants.
    bytes_per_row : float
        Captured bytes of a row, input and output with their envelope.
    files_per_hour : float
        Capture files, over all variants: SageMaker writes about one a minute and instance.
    features : int
        Columns of the baseline, inputs and outputs.
    retrainings_per_month : float
        Where retraining is enabled.
    label_files_per_hour : float
        Ground-truth objects, where there are outcomes. Every row gets its label.
    label_delay_hours : float
        From a prediction to its label.
    """

    rows_per_hour: float = 1000.0
    bytes_per_row: float = 500.0
    files_per_hour: float = 60.0
    features: int = 25
    retrainings_per_month: float = 1.0
    label_files_per_hour: float = 1.0
    label_delay_hours: float = 24.0


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a monitor does in a month."""

    files: float
    windows: float
    arrivals: float
    evaluations: float
    profiles_read: float
    rollups: float
    window_files: float
    lists: float
    evidence: float
    references_read: float


def default_assumptions(config: MonitorConfig, *, features: int | None = None) -> Assumptions:
    """Return the assumptions on a monitor of which no more is known than its configuration.

    Parameters
    ----------
    config : MonitorConfig
        The monitor; if it names its input columns, they are counted.
    features : int, optional
        Columns of its baseline.
    """
    if features is None and config.capture.inputs is not None:
        features = len(config.capture.inputs) + len(config.capture.outputs or ("output",))
    return Assumptions() if features is None else Assumptions(features=features)


def work_of(config: MonitorConfig, assumptions: Assumptions) -> Work:
    """Return what a monitor does in a month, given its traffic."""
    variants = len(config.endpoint.variants)
    per_hour = assumptions.files_per_hour / variants  # of one variant
    window_hours = config.window / timedelta(hours=1)
    windows = variants * HOURS_PER_MONTH / window_hours
    files_in_window = per_hour * window_hours
    files = assumptions.files_per_hour * HOURS_PER_MONTH
    # Messages of one second are taken together.
    arrivals = min(files, SECONDS_PER_MONTH)
    profiles = files
    if config.evaluate == "on_schedule":
        evaluations = windows
        listings, pages = windows, math.ceil(files_in_window / LIST_PAGE)
    else:
        debounce = config.debounce.total_seconds()
        busiest = 3600 / (_UNENDING * debounce)
        often = per_hour if per_hour * debounce <= 3600 else min(per_hour, busiest)
        evaluations = variants * HOURS_PER_MONTH * often
        # Each profile is read once, but the first few again until there is a rollup.
        few = min(files_in_window, ROLLUP_ABOVE)
        profiles += windows * few * (few + 1) / 2
        # At each arrival, evaluated or not, of a window that is half full on average; and the
        # schedule looks at each window once more.
        listings, pages = arrivals + windows, math.ceil(files_in_window / 2 / LIST_PAGE + 0.5)
        if config.model_monitor_metrics is not None:
            evaluations, profiles = evaluations + windows, profiles + windows * few
    earlier = _EARLIER_BASELINES if config.retraining.enabled else 0
    sound = config.mode == "sound"
    learns = config.decision.persistence.enabled or config.decision.clustering == "windows"
    compared = evaluations * sum(one.count for one in config.references) if sound else 0
    return Work(
        files=files,
        windows=windows,
        arrivals=arrivals,
        evaluations=evaluations,
        profiles_read=profiles,
        rollups=evaluations if files_in_window > ROLLUP_ABOVE else 0,
        window_files=files_in_window,
        lists=listings * (max(1, pages) + earlier)
        + compared * max(1, math.ceil(files_in_window / LIST_PAGE)),
        evidence=evaluations if sound and learns else 0,
        # Of a window in the past there is a rollup, or few profiles.
        references_read=compared * (1 if files_in_window > ROLLUP_ABOVE else files_in_window),
    )
