"""False alarms and delays of the evidence over time, by simulation with fixed seeds.

The engine as it is deployed: baselines are built from rows, windows are score sums that follow from
cell counts, and every window is added to the evidence and judged. A window's cell counts are drawn
straight from the true distribution of the 20 mixed columns instead of row by row.

Run it with ``python -m benchmarks.persistence_simulation``; it takes a quarter of an hour. Single
tables, as in ``python -m benchmarks.persistence_simulation delays``, take less.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.decision_simulation import SIZES, as_columns, interval, skewed
from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.drift.evidence import (
    EvidenceState,
    add_window,
    encode_evidence,
    judge_persistence,
)
from driftgauge.drift.scores import WindowScores, score_layout
from driftgauge.profile.spec import FeatureSpec
from driftgauge.settings import PersistenceSettings
from driftgauge.windows import Window

Floats = NDArray[np.float64]
START = datetime(2015, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MOVED = "normal 1"
DELAY_RUNS = 60
LONGEST_DELAY = 80
# Cells of equal probability on which a clustered window has random weights.
_CLUSTER_CELLS = 64


@dataclass(frozen=True)
class Law:
    """The true distribution of a column and the share of rows without a value."""

    cdf: Callable[[Floats], Floats]
    quantile: Callable[[Floats], Floats]
    missing: float
    whole: bool


def _categories(count: int) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    below = np.append(0.0, np.cumsum(skewed(count)))
    below[-1] = 1.0

    def cdf(values: Floats) -> Floats:
        index = np.clip(np.floor(values) + 1, 0, count).astype(np.intp)
        return np.asarray(below[index], dtype=np.float64)

    def quantile(u: Floats) -> Floats:
        return np.minimum(np.searchsorted(below, u, side="right") - 1, count - 1).astype(float)

    return cdf, quantile


def _mostly_zero() -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    counts = stats.poisson(3.0)

    def cdf(values: Floats) -> Floats:
        return np.where(values >= 0, 0.7 + 0.3 * counts.cdf(values), 0.0)

    def quantile(u: Floats) -> Floats:
        found = counts.ppf(np.clip((u - 0.7) / 0.3, 0.0, 1.0))
        return np.asarray(np.maximum(0.0, found), dtype=np.float64)

    return cdf, quantile


def laws() -> dict[str, Law]:
    """Return the 20 columns of the other simulations, every other one with missing values."""
    known = {f"normal {i}": stats.norm() for i in range(1, 6)}
    known |= {f"lognormal {i}": stats.lognorm(1.0, scale=math.exp(3.0)) for i in range(1, 4)}
    known |= {f"uniform {i}": stats.uniform() for i in range(1, 3)}
    known |= {"counts of 3": stats.poisson(3.0), "counts of 40": stats.poisson(40.0)}
    known |= {"weekday": stats.randint(0, 7)}
    known |= {"flag 1 %": stats.bernoulli(0.01), "flag 30 %": stats.bernoulli(0.3)}
    pairs = {name: (law.cdf, law.ppf) for name, law in known.items()}
    pairs["mostly zero"] = _mostly_zero()
    for count in (3, 10, 50):
        pairs[f"category of {count}"] = _categories(count)
    pairs["category of 10 again"] = _categories(10)
    missing = (0.0, 0.0002, 0.0, 0.002, 0.0, 0.02)
    return {
        name: Law(cdf, quantile, missing[i % 6], not name.startswith(("norm", "logn", "unif")))
        for i, (name, (cdf, quantile)) in enumerate(pairs.items())
    }


LAWS = laws()


def cluster_weights(size: int, design_effect: float, rows: int, rng: np.random.Generator) -> Floats:
    """Draw random distributions on [0, 1]: cumulative weights, shape (size, cells + 1)."""
    cells = np.full(_CLUSTER_CELLS, 1.0 / _CLUSTER_CELLS)
    if design_effect > 1.0:
        # A Dirichlet-multinomial of n rows has design effect 1 + (n - 1) / (concentration + 1).
        concentration = (rows - 1.0) / (design_effect - 1.0) - 1.0
        weights = rng.dirichlet(cells * concentration, size=size)
    else:
        weights = np.tile(cells, (size, 1))
    return np.concatenate([np.zeros((size, 1)), np.cumsum(weights, axis=1)], axis=1)


def _with_missing(column: Column, missing: NDArray[np.bool_]) -> Column:
    """Leave out the values of some rows."""
    present = int(np.count_nonzero(~missing))
    types = column.types
    return Column(
        numbers=np.where(missing, np.nan, column.numbers),
        codes=None if column.codes is None else np.where(missing, -1, column.codes),
        words=column.words,
        missing=missing,
        types=TypeCounts(
            integral=present if types.integral else 0,
            fractional=present if types.fractional else 0,
            text=present if types.text else 0,
        ),
    )


def make_baseline(
    rows: int, rng: np.random.Generator, *, design_effect: float = 1.0, cluster: int = 1000
) -> Baseline:
    """Build a baseline from rows that are clustered like the windows."""
    drawn = {}
    grid = np.linspace(0.0, 1.0, _CLUSTER_CELLS + 1)
    for name, law in LAWS.items():
        weights = cluster_weights(-(-rows // cluster), design_effect, cluster, rng)
        parts = [np.interp(rng.random(cluster), below, grid) for below in weights]
        found = law.quantile(np.concatenate(parts)[:rows])
        drawn[name] = found.astype(np.int64) if law.whole else found
    dressed = {
        name: _with_missing(column, rng.random(rows) < LAWS[name].missing)
        for name, column in as_columns(drawn).items()
    }
    return build_baseline(
        [Table(rows=rows, columns=dressed)],
        version=f"simulated-{rows}-{rng.integers(1 << 30)}",
        created=START,
    )


def cell_borders(spec: FeatureSpec, law: Law, shift: float) -> tuple[Floats, NDArray[np.intp]]:
    """Return the probability below each cell and the cells' order; the last cell is unseen."""
    edges = np.array(spec.edges)
    if spec.kind == "numeric":
        below = law.cdf(np.nextafter(edges, -np.inf) - shift)
        borders = np.concatenate([[0.0], below, [1.0, 1.0]])
        return borders, np.arange(spec.cells + 1)
    if spec.kind == "discrete":
        below = np.stack([law.cdf(np.nextafter(edges, -np.inf)), law.cdf(edges)], axis=1)
        borders = np.concatenate([[0.0], below.ravel(), [1.0, 1.0]])
        return borders, np.arange(spec.cells + 1)
    codes = np.arange(50.0)
    borders = np.append(0.0, law.cdf(codes))
    known = {word: i for i, word in enumerate(spec.categories)}
    return borders, np.array([known.get(f"c{i}", spec.cells) for i in range(50)])


@dataclass(frozen=True)
class Stream:
    """Windows of one kind of traffic against one baseline."""

    baseline: Baseline
    rows: int
    design_effect: float = 1.0
    # Of the moved column, in standard deviations, from window ``moved_from`` on.
    shift: float = 0.0
    moved_from: int = 0
    # Correlation of a window's random weights with the previous window's.
    memory: float = 0.0

    def scores(self, windows: int, rng: np.random.Generator) -> Floats:
        """Draw the score sums of so many windows, shape (windows, S)."""
        layout = score_layout(self.baseline.profile)
        parts, counted = [], []
        grid = np.linspace(0.0, 1.0, _CLUSTER_CELLS + 1)
        for spec, cells in zip(self.baseline.spec.features, layout.cells, strict=True):
            law = LAWS[spec.name]
            present = self.rows - rng.binomial(self.rows, law.missing, size=windows)
            below = self._weights(windows, rng)
            shares = np.empty((windows, cells.shape[0]))
            for moved in (False, True):
                which = np.arange(windows) >= self.moved_from
                which = which if moved else ~which
                shift = self.shift if moved and spec.name == MOVED else 0.0
                borders, order = cell_borders(spec, law, shift)
                if self.design_effect > 1.0:
                    drawn = np.array([np.interp(borders, grid, row) for row in below[which]])
                    drawn = drawn.reshape(-1, borders.shape[0])
                else:
                    drawn = np.tile(borders, (int(np.count_nonzero(which)), 1))
                found = np.zeros((drawn.shape[0], cells.shape[0]))
                np.add.at(found.T, order, np.diff(drawn, axis=1).T)
                shares[which] = found.clip(0.0)
            shares /= shares.sum(axis=1, keepdims=True)
            counts = rng.multinomial(present, shares)
            sums = counts @ cells
            sums[:, -1] = self.rows - present
            parts.append(sums)
            counted.append(present[:, None])
        return np.concatenate([*parts, *counted], axis=1)

    def _weights(self, windows: int, rng: np.random.Generator) -> Floats:
        below = cluster_weights(windows, self.design_effect, self.rows, rng)
        # An autoregression of the weights; each window's own part keeps the variance the same.
        own = math.sqrt(1.0 - self.memory**2)
        middle = np.linspace(0.0, 1.0, _CLUSTER_CELLS + 1)
        for t in range(1, windows) if self.memory else ():
            mixed = middle + self.memory * (below[t - 1] - middle) + own * (below[t] - middle)
            below[t] = np.maximum.accumulate(mixed.clip(0.0, 1.0))
        return below


def values(
    stream: Stream, windows: int, rng: np.random.Generator, every: int, look: int = 1
) -> Iterator[tuple[EvidenceState, float]]:
    """Add window after window and judge; yield the state and the monitor's e-detector.

    Parameters
    ----------
    every : int
        False alarms that are allowed: one in so many windows.
    look : int
        Judge each look-th window.
    """
    layout = score_layout(stream.baseline.profile)
    settings = PersistenceSettings(false_alarm_every=every * DAY)
    state = EvidenceState.empty(stream.baseline.spec.version)
    for t, sums in enumerate(stream.scores(windows, rng)):
        window = Window(START + t * DAY, START + (t + 1) * DAY)
        state = add_window(
            state, WindowScores(layout=layout, window=window, rows=stream.rows, sums=sums)
        )
        if (t + 1) % look:
            continue
        found = judge_persistence(
            state,
            baseline=stream.baseline.profile,
            features={},
            settings=settings,
            window_length=DAY,
        )
        yield state, 0.0 if found.verdict == "insufficient_data" else found.value


def first_alarm(
    stream: Stream, windows: int, rng: np.random.Generator, every: int, look: int = 1
) -> tuple[float, float]:
    """Return the number of windows before the first alarm (infinite: none), and the highest value.

    The run ends with its first alarm.
    """
    highest = 0.0
    for state, value in values(stream, windows, rng, every, look):
        highest = max(highest, value)
        if value >= every:
            return float(sum(state.windows) - 1), highest
    return math.inf, highest


def false_alarms(
    seed: int,
    *,
    rows: int,
    baseline_rows: int,
    windows: int,
    runs: int,
    design_effect: float = 1.0,
    memory: float = 0.0,
    look: int = 1,
) -> str:
    """Return table cells: runs with an alarm, and the values that runs reach."""
    rng = np.random.default_rng(seed)
    alarms, highest = 0, []
    for _ in range(runs):
        baseline = make_baseline(
            baseline_rows, rng, design_effect=design_effect, cluster=min(rows, baseline_rows)
        )
        stream = Stream(baseline, rows, design_effect=design_effect, memory=memory)
        first, top = first_alarm(stream, windows, rng, every=windows, look=look)
        alarms += math.isfinite(first)
        highest.append(top)
    low, high = interval(alarms, runs)
    reach = f"{np.median(highest):.0f}"
    return f"{alarms} of {runs} ({100 * low:.0f} to {100 * high:.0f} %) | {reach}"


def independent() -> None:
    """Print false alarms on independent rows."""
    print("| rows | windows | runs with an alarm | median maximum |")
    print("|---|---|---|---|")
    for i, rows in enumerate(SIZES):
        cells = false_alarms(100 + i, rows=rows, baseline_rows=10_000, windows=365, runs=24)
        print(f"| {rows:,} | 365 | {cells} |", flush=True)


def long() -> None:
    """Print false alarms in runs so long that a baseline's error would show."""
    print("| rows | baseline | windows | runs with an alarm | median maximum |")
    print("|---|---|---|---|---|")
    for i, (base, rows) in enumerate(((2000, 200), (2000, 1000), (10_000, 200), (10_000, 1000))):
        cells = false_alarms(150 + i, rows=rows, baseline_rows=base, windows=2000, runs=16, look=10)
        print(f"| {rows:,} | {base:,} | 2,000 | {cells} |", flush=True)


def clustered() -> None:
    """Print false alarms where windows differ more than their rows say."""
    print(
        "| rows | design effect | correlation of neighbors | runs with an alarm | median maximum |"
    )
    print("|---|---|---|---|---|")
    cases = [(200, 10.0, 0.0), (1000, 3.0, 0.0), (1000, 10.0, 0.0), (1000, 10.0, 0.4)]
    for i, (rows, effect, memory) in enumerate([*cases, (1000, 10.0, 0.7)]):
        cells = false_alarms(
            200 + i,
            rows=rows,
            baseline_rows=10_000,
            windows=365,
            runs=24,
            design_effect=effect,
            memory=memory,
        )
        print(f"| {rows:,} | {effect:g} | {memory:g} | {cells} |", flush=True)


def delays() -> None:
    """Print how many windows a lasting shift takes to be found."""
    print("| shift | rows | healthy windows before | one false alarm in | found | median delay |")
    print("|---|---|---|---|---|---|")
    cases = [
        (0.1, 1000, 30, 365),
        (0.1, 1000, 30, 8760),
        (0.05, 1000, 30, 365),
        (0.05, 1000, 100, 365),
        (0.1, 1000, 0, 365),
        (0.05, 1000, 0, 365),
        (0.1, 200, 30, 365),
        (0.25, 200, 30, 365),
    ]
    for i, (shift, rows, healthy, every) in enumerate(cases):
        rng = np.random.default_rng(300 + i)
        found = []
        for _ in range(DELAY_RUNS):
            stream = Stream(make_baseline(10_000, rng), rows, shift=shift, moved_from=healthy)
            first, _ = first_alarm(stream, healthy + LONGEST_DELAY, rng, every)
            # An alarm before the shift is none of the shift's.
            found.append(first - healthy + 1 if first >= healthy else math.inf)
        found.sort()
        # Order statistics that hold the median between them 95 times in 100.
        half = 0.98 * math.sqrt(DELAY_RUNS)
        low = found[max(0, math.floor(DELAY_RUNS / 2 - half))]
        high = found[min(DELAY_RUNS - 1, math.ceil(DELAY_RUNS / 2 + half))]
        share = sum(map(math.isfinite, found)) / DELAY_RUNS
        print(
            f"| {shift:g} sd | {rows:,} | {healthy} | {every:,} windows | {100 * share:.0f} % | "
            f"{_count(found[DELAY_RUNS // 2])} ({_count(low)} to {_count(high)}) |",
            flush=True,
        )


def _count(windows: float) -> str:
    return f"{windows:.0f}" if math.isfinite(windows) else f"over {LONGEST_DELAY}"


def state_size() -> None:
    """Print how large the state is and how long one window takes."""
    rng = np.random.default_rng(400)
    stream = Stream(make_baseline(10_000, rng), 1000)
    layout = score_layout(stream.baseline.profile)
    state = EvidenceState.empty(stream.baseline.spec.version)
    print("| windows | entries | state of 20 columns, kB |")
    print("|---|---|---|")
    for t, sums in enumerate(stream.scores(10_000, rng), start=1):
        window = Window(START + t * DAY, START + (t + 1) * DAY)
        state = add_window(state, WindowScores(layout=layout, window=window, rows=1000, sums=sums))
        if t in (10, 100, 1000, 10_000):
            print(f"| {t:,} | {len(state.starts)} | {len(encode_evidence(state)) / 1000:.1f} |")


TABLES = {
    "independent": independent,
    "long": long,
    "clustered": clustered,
    "delays": delays,
    "state": state_size,
}


def main(names: Sequence[str]) -> None:
    """Print the named tables, or all."""
    for name in names or TABLES:
        TABLES[name]()
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
