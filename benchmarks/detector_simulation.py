"""False alarms and delays of the concept-drift detectors, by simulation with fixed seeds.

200 streams of 5,000 outcomes. The error rate is 0.2 for 1,000 of them, then higher. A second table
gives the detectors windows' error rates instead, of independent and of clustered outcomes. A third
does what ``driftgauge replay --ground-truth`` does: the design effect is learnt, from 8 windows.

Run it with ``python -m benchmarks.detector_simulation``; it takes about two minutes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.decision_simulation import percent
from driftgauge.drift.detectors import (
    Adwin,
    Ddm,
    Detector,
    HddmA,
    HddmW,
    PageHinkley,
    run_detector,
)
from driftgauge.drift.outcome_stream import DETECTOR_NAMES, Direction, watch_outcomes

STREAMS = 200
CLEAN = 1000
SHIFTED = 4000
RATE = 0.2
RATES = (0.25, 0.3, 0.4)
ROWS = 200
CLEAN_WINDOWS = 100
SHIFTED_WINDOWS = 100
LEARNING_WINDOWS = 8
YEAR = LEARNING_WINDOWS + 365
# Rows of a window, and how many times more the windows vary than independent rows would.
REPLAYS = ((200, 1.0), (200, 8.0), (2000, 1.0), (2000, 5.0), (2000, 25.0))
# Rows that share a fate, such as the flights of one bad day; 25 alike of 200 give this much.
CLUSTER = 25
OUTCOMES: dict[str, Callable[[], Detector]] = {
    "ADWIN": Adwin,
    "Page-Hinkley": PageHinkley,
    "HDDM_A": HddmA,
    "HDDM_W": HddmW,
    "DDM": Ddm,
}
WINDOWS: dict[str, Callable[[], Detector]] = {
    **OUTCOMES,
    "ADWIN": lambda: Adwin(clock=1),
    "Page-Hinkley": lambda: PageHinkley(min_updates=5),
}


def first_alarm(detector: Detector, values: NDArray[np.float64], start: int) -> int | None:
    """Return the first position from ``start`` on at which a detector fires."""
    for i, value in enumerate(values.tolist()):
        if detector.update(value) and i >= start:
            return i
    return None


def outcome_streams() -> None:
    """Print the table of single outcomes."""
    rng = np.random.default_rng(20150702)
    clean = (rng.random((STREAMS, CLEAN)) < RATE).astype(float)
    quiet = (rng.random((STREAMS, SHIFTED)) < RATE).astype(float)
    changed = [(rng.random((STREAMS, SHIFTED)) < rate).astype(float) for rate in RATES]
    print(
        f"Outcomes: {STREAMS} streams, error rate {RATE} for {CLEAN:,}, then higher for {SHIFTED:,}"
    )
    header = "".join(f"{f'{RATE} to {rate}':<34}" for rate in RATES)
    print(f"{'detector':<14}{'alarm within 1,000':<30}{'within 5,000':<30}{header}")
    for name, make in OUTCOMES.items():
        early = sum(first_alarm(make(), row, 0) is not None for row in clean)
        whole = np.concatenate([clean, quiet], axis=1)
        ever = sum(first_alarm(make(), row, 0) is not None for row in whole)
        line = f"{name:<14}{percent(early, STREAMS):<30}{percent(ever, STREAMS):<30}"
        for part in changed:
            streams = np.concatenate([clean, part], axis=1)
            found = [first_alarm(make(), row, CLEAN) for row in streams]
            line += f"{_found(found, CLEAN):<34}"
        print(line, flush=True)


def window_streams() -> None:
    """Print the table of windows' error rates."""
    rng = np.random.default_rng(20150703)
    print(f"Windows of {ROWS} rows: {CLEAN_WINDOWS} clean, then {SHIFTED_WINDOWS} with more errors")
    for cluster, effect, label in (
        (1, 1.0, "independent rows"),
        (CLUSTER, 1.0, f"clusters of {CLUSTER} alike, taken for independent"),
        (CLUSTER, float(CLUSTER), f"clusters of {CLUSTER} alike, design effect given"),
    ):
        print(f"{label}")
        for name, make in WINDOWS.items():
            clean = _error_rates(rng, RATE, CLEAN_WINDOWS, cluster)
            early = sum(bool(_fired(make(), row, effect)) for row in clean)
            line = f"  {name:<14}{percent(early, STREAMS):<30}"
            for rate in RATES[:2]:
                part = _error_rates(rng, rate, SHIFTED_WINDOWS, cluster)
                streams = np.concatenate([clean, part], axis=1)
                found = [
                    next((i for i in _fired(make(), row, effect) if i >= CLEAN_WINDOWS), None)
                    for row in streams
                ]
                line += f"{_found(found, CLEAN_WINDOWS):<34}"
            print(line, flush=True)


def replayed_windows() -> None:
    """Print the table of windows whose design effect is learnt."""
    rng = np.random.default_rng(20150704)
    print(f"A year of {YEAR - LEARNING_WINDOWS} quiet windows; 0.2 to 0.3 after {CLEAN_WINDOWS}")
    for rows, effect in REPLAYS:
        print(f"windows of {rows:,} rows, design effect {effect:g}")
        quiet = _watched(_clustered(rng, np.full(YEAR, RATE), rows, effect), rows)
        rates = np.repeat((RATE, RATES[1]), (CLEAN_WINDOWS, SHIFTED_WINDOWS))
        moved = _watched(_clustered(rng, rates, rows, effect), rows)
        for name, label in DETECTOR_NAMES.items():
            early = sum(any(name in fired for fired in one) for one in quiet)
            found = [
                next((i for i, f in enumerate(one) if i >= CLEAN_WINDOWS and name in f), None)
                for one in moved
            ]
            print(f"  {label:<14}{percent(early, STREAMS):<30}{_found(found, CLEAN_WINDOWS)}")
        early = sum(any(one) for one in quiet)
        print(f"  {'any':<14}{percent(early, STREAMS)}", flush=True)


def _watched(streams: NDArray[np.float64], rows: int) -> list[tuple[dict[str, Direction], ...]]:
    return [
        watch_outcomes(((rate, rows) for rate in row), learning_windows=LEARNING_WINDOWS).fired
        for row in streams.tolist()
    ]


def _clustered(
    rng: np.random.Generator, rates: NDArray[np.float64], rows: int, effect: float
) -> NDArray[np.float64]:
    """Draw windows' error rates; each window's own rate is beta-distributed around its mean."""
    own = np.broadcast_to(rates, (STREAMS, rates.shape[0]))
    if effect > 1.0:
        size = (rows - 1.0) / (effect - 1.0) - 1.0
        own = rng.beta(own * size, (1.0 - own) * size)
    return rng.binomial(rows, own) / rows


def _fired(detector: Detector, rates: NDArray[np.float64], effect: float) -> tuple[int, ...]:
    return run_detector(detector, ((rate, ROWS) for rate in rates.tolist()), design_effect=effect)


def _error_rates(
    rng: np.random.Generator, rate: float, windows: int, cluster: int
) -> NDArray[np.float64]:
    clusters = ROWS // cluster
    return rng.binomial(clusters, rate, size=(STREAMS, windows)) / clusters


def _found(positions: list[int | None], start: int) -> str:
    delays = [i - start + 1 for i in positions if i is not None]
    share = percent(len(delays), len(positions))
    return f"{share}, {np.median(delays):.0f}" if delays else share


def main() -> None:
    """Run all tables."""
    print("share of streams with 95 % intervals in brackets, then the median delay")
    outcome_streams()
    window_streams()
    replayed_windows()


if __name__ == "__main__":
    main()
