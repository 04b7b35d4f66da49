"""False alarms and power of the verdicts, by simulation with fixed seeds.

Each window is judged by the engine as it is deployed: baselines are built from 10,000 rows, windows
are profiled and compared. For false alarms all 20 columns are judged at once. Power is the chance
that the one column that moved is found in the first window after it moved, with 19 quiet ones
beside it: judged with the part of the error probability that Holm's correction gives it.

Run it with ``python -m benchmarks.decision_simulation``; it takes about a quarter of an hour.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.columns import Column, TypeCounts
from driftgauge.config import DecisionSettings
from driftgauge.drift.decision import judge_features
from driftgauge.drift.distances import ks, psi
from driftgauge.drift.special import ks_p_value, normal_isf, normal_sf
from driftgauge.drift.verdict import FeatureVerdict
from driftgauge.profile.build import profile_columns

Values = NDArray[np.float64] | NDArray[np.int64]
Change = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]

BASELINE_ROWS = 10_000
SIZES = (50, 100, 200, 500, 1000, 5000)
BASELINES = 40
QUIET_WINDOWS = 1500
MOVED_BASELINES = 20
MOVED_WINDOWS = 3000
SHIFT_WINDOWS = 1000
SETTINGS = DecisionSettings()
MOVED = "normal 1"
# What Holm's correction leaves the first of twenty columns, two of which lack values.
ONE_OF_TWENTY = DecisionSettings(alpha=SETTINGS.alpha / 20.2)


def skewed(categories: int) -> NDArray[np.float64]:
    """Return shares that fall like 1 / rank^1.2."""
    weights = np.arange(1, categories + 1, dtype=np.float64) ** -1.2
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def draw(rows: int, rng: np.random.Generator) -> dict[str, Values]:
    """Draw rows of the 20 columns; integers stand for themselves or for a category.

    Two columns lack values: NaN, or the category -1.
    """
    columns: dict[str, Values] = {f"normal {i}": rng.standard_normal(rows) for i in range(1, 6)}
    columns |= {f"lognormal {i}": rng.lognormal(3.0, 1.0, rows) for i in range(1, 4)}
    columns |= {f"uniform {i}": rng.uniform(0.0, 1.0, rows) for i in range(1, 3)}
    columns["counts of 3"] = rng.poisson(3.0, rows)
    columns["counts of 40"] = rng.poisson(40.0, rows)
    columns["weekday"] = rng.integers(0, 7, rows)
    columns["mostly zero"] = rng.poisson(3.0, rows) * (rng.random(rows) < 0.3)
    columns["flag 1 %"] = (rng.random(rows) < 0.01).astype(np.int64)
    columns["flag 30 %"] = (rng.random(rows) < 0.3).astype(np.int64)
    for categories in (3, 10, 10, 50):
        name = f"category of {categories}"
        name = f"{name} again" if name in columns else name
        columns[name] = rng.choice(categories, size=rows, p=skewed(categories))
    columns["lognormal 3"][rng.random(rows) < 0.1] = np.nan
    columns["category of 10 again"][rng.random(rows) < 0.02] = -1
    return columns


def as_columns(values: Mapping[str, Values]) -> dict[str, Column]:
    """Dress arrays as columns."""
    columns = {}
    for name, array in values.items():
        rows = array.shape[0]
        worded, whole = name.startswith("category"), array.dtype == np.int64
        missing = array == -1 if worded else np.isnan(array)
        present = rows - int(missing.sum())
        if worded:
            columns[name] = Column(
                numbers=np.full(rows, np.nan),
                codes=array.astype(np.int32),
                words=tuple(f"c{i}" for i in range(50)),
                types=TypeCounts(text=present),
                missing=missing,
            )
        else:
            types = TypeCounts(integral=present) if whole else TypeCounts(fractional=present)
            columns[name] = Column(numbers=array.astype(np.float64), types=types, missing=missing)
    return columns


def baselines(rng: np.random.Generator) -> list[Baseline]:
    """Build a few baselines, so that the figures do not hang on one."""
    return [
        build_baseline(
            [Table(rows=BASELINE_ROWS, columns=as_columns(draw(BASELINE_ROWS, rng)))],
            version=f"simulated-{i}",
            created=datetime(2015, 4, 1, tzinfo=UTC),
        )
        for i in range(BASELINES)
    ]


def drifted(baseline: Baseline, values: Mapping[str, Values], rows: int) -> set[str]:
    """Judge one window and name the drifted columns."""
    profile = profile_columns(baseline.spec, as_columns(values), rows=rows)
    verdicts = judge_features(
        baseline=baseline.profile, profile=profile, decision=SETTINGS, features={}
    )
    return {verdict.name for verdict in verdicts if verdict.verdict == "drift"}


def interval(hits: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    z = 1.959964
    share = hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials)
    half *= math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def percent(hits: int, trials: int) -> str:
    """Write a share with its interval."""
    low, high = interval(hits, trials)
    return f"{100 * hits / trials:6.2f} % ({100 * low:.2f} to {100 * high:.2f})"


CHANGES: tuple[tuple[str, Change, tuple[int, ...]], ...] = (
    ("mean + 0.5 sd", lambda x, _: x + 0.5, (50, 100, 200)),
    ("mean + 0.25 sd", lambda x, _: x + 0.25, (100, 200, 500, 1000)),
    ("mean + 0.1 sd", lambda x, _: x + 0.1, (1000, 5000)),
    ("sd x 1.5", lambda x, _: x * 1.5, (100, 200)),
    ("sd / 1.5", lambda x, _: x / 1.5, (100, 200)),
    ("5 % are -999", lambda x, rng: np.where(rng.random(x.size) < 0.05, -999.0, x), (100, 200)),
    ("20 % are 0", lambda x, rng: np.where(rng.random(x.size) < 0.2, 0.0, x), (200,)),
)


def simple_rule(baseline: Baseline, values: Mapping[str, Values], rows: int) -> bool:
    """Judge the moved column as KS with Bonferroni's correction and corrected PSI would."""
    name = MOVED
    profile = profile_columns(baseline.spec, as_columns({name: values[name]}), rows=rows)
    there, here = baseline.profile.feature(name).counts, profile.feature(name).counts
    p_value = ks_p_value(ks(there, here), rows, BASELINE_ROWS)
    # The outermost cells are empty in the baseline; 26 of the others make about a tenth.
    groups = np.clip((np.arange(there.size) - 1) * 10 // (there.size - 2), 0, 9)
    coarse = [np.bincount(groups, counts, minlength=10) for counts in (there, here)]
    effect = psi(coarse[0], coarse[1]) - 9 * (1 / rows + 1 / BASELINE_ROWS)
    return p_value <= SETTINGS.alpha / 20 and effect > SETTINGS.min_effect


def false_alarms(known: list[Baseline], rng: np.random.Generator) -> None:
    """Print how often nothing is taken for drift."""
    print("False alarms: 20 unchanged columns")
    print(f"{'rows':>6}  {'of feature-windows':<28}{'of windows':<28}CPU ms per window")
    columns = len(known[0].spec.features)
    for rows in SIZES:
        features = windows = 0
        spent = 0.0
        for i in range(QUIET_WINDOWS):
            values = draw(rows, rng)
            started = time.process_time()
            found = drifted(known[i % len(known)], values, rows)
            spent += time.process_time() - started
            features += len(found)
            windows += bool(found)
        share = percent(features, QUIET_WINDOWS * columns)
        took = 1000 * spent / QUIET_WINDOWS
        print(f"{rows:>6}  {share:<28}{percent(windows, QUIET_WINDOWS):<28}{took:.1f}", flush=True)


def moved_baselines(rng: np.random.Generator) -> list[Baseline]:
    """Build baselines of the column that moves, without the others."""
    return [
        build_baseline(
            [Table(rows=BASELINE_ROWS, columns=as_columns({MOVED: values}))],
            version=f"moved-{i}",
            created=datetime(2015, 4, 1, tzinfo=UTC),
        )
        for i, values in enumerate(rng.standard_normal((MOVED_BASELINES, BASELINE_ROWS)))
    ]


def judge_moved(
    baseline: Baseline, values: NDArray[np.float64], dispersion: float = 1.0
) -> FeatureVerdict:
    """Judge the moved column as one of twenty, of which no other helps it."""
    profile = profile_columns(baseline.spec, as_columns({MOVED: values}), rows=values.size)
    (verdict,) = judge_features(
        baseline=baseline.profile,
        profile=profile,
        decision=ONE_OF_TWENTY,
        features={},
        dispersions={MOVED: dispersion},
    )
    return verdict


def power(known: list[Baseline], rng: np.random.Generator) -> None:
    """Print how often a change of one column is found in the first window."""
    print("Power in the first window: 1 changed column among 20")
    print(f"{'change':<16}{'rows':>6}  {'found':<28}KS and PSI alone")
    for label, change, sizes in CHANGES:
        for rows in sizes:
            hits = simple = 0
            for i in range(MOVED_WINDOWS):
                values = change(rng.standard_normal(rows), rng)
                baseline = known[i % len(known)]
                hits += judge_moved(baseline, values).verdict == "drift"
                simple += simple_rule(baseline, {MOVED: values}, rows)
            found, alone = percent(hits, MOVED_WINDOWS), percent(simple, MOVED_WINDOWS)
            print(f"{label:<16}{rows:>6}  {found:<28}{alone}", flush=True)


def detectable(known: list[Baseline], rng: np.random.Generator) -> None:
    """Print how often the shift that a verdict calls detectable is found, and what intervals hold.

    Clusters are rows that are alike, and their size is the known dispersion.
    """
    print("The detectable shift of the mean, and 95 % intervals of PSI at that shift")
    print(f"{'cluster':<8}{'rows':>6}{'shift, sd':>12}  {'found':<28}interval holds the truth")
    for cluster in (1, 4):
        for rows in SIZES[1:]:
            hits = held = 0
            draws = rng.standard_normal((SHIFT_WINDOWS, rows // cluster))
            verdict = judge_moved(known[0], np.repeat(draws[0], cluster), float(cluster))
            shift = verdict.detectable_shift or math.nan
            for i, values in enumerate(draws):
                baseline = known[i % len(known)]
                window = np.repeat(values + shift, cluster)
                verdict = judge_moved(baseline, window, float(cluster))
                hits += verdict.verdict == "drift"
                low, high = verdict.distance_interval or (math.nan, math.nan)
                groups = min(10, max(2, rows // cluster // 10))
                held += low <= population_psi(shift, groups) <= high
            found, covered = percent(hits, SHIFT_WINDOWS), percent(held, SHIFT_WINDOWS)
            print(f"{cluster:<8}{rows:>6}{shift:>12.3f}  {found:<28}{covered}", flush=True)


def population_psi(shift: float, cells: int) -> float:
    """Return the index of a shifted normal distribution in cells of equal baseline share."""
    edges = [math.inf, *(normal_isf(k / cells) for k in range(1, cells)), -math.inf]
    moved = np.diff([normal_sf(edge - shift) for edge in edges])
    return psi(np.full(cells, 1 / cells), moved, smoothing=0.0)


def main() -> None:
    """Run all tables."""
    rng = np.random.default_rng(20150701)
    print(
        f"alpha {SETTINGS.alpha:g}, min_effect {SETTINGS.min_effect:g}, baselines of "
        f"{BASELINE_ROWS:,} rows; in brackets 95 % intervals"
    )
    moved = moved_baselines(rng)
    power(moved, rng)
    detectable(moved, rng)
    rng = np.random.default_rng(20150702)
    false_alarms(baselines(rng), rng)


if __name__ == "__main__":
    main()
