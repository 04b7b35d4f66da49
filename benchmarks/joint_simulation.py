"""False alarms and power of the joint verdict, by simulation with fixed seeds.

Each window is judged by the engine as it is deployed: baselines are built from 10,000 rows, windows
are profiled and compared. The changes leave every column's own distribution as it was.

Run it with ``python -m benchmarks.joint_simulation``; it takes about five minutes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.decision_simulation import (
    BASELINE_ROWS,
    SIZES,
    Values,
    as_columns,
    draw,
    percent,
)
from driftgauge.baseline import Baseline, build_baseline
from driftgauge.capture.table import Table
from driftgauge.config import DecisionSettings
from driftgauge.drift.joint import judge_joint
from driftgauge.drift.verdict import JointVerdict
from driftgauge.profile.build import profile_columns
from driftgauge.windows import parse_time

Drawn = dict[str, Values]
Change = Callable[[Drawn, np.random.Generator], None]

BASELINES = 20
QUIET_WINDOWS = 2000
MOVED_WINDOWS = 300
SETTINGS = DecisionSettings()
FIVE = ("normal 1", "normal 2", "normal 3", "flag 30 %", "category of 3")


def _numbers(values: Mapping[str, Values], name: str) -> NDArray[np.float64]:
    return np.asarray(values[name], dtype=np.float64)


def correlate(values: Drawn, rng: np.random.Generator) -> None:
    """Correlation 0 to 0.5 of two normal columns."""
    values["normal 2"] = 0.5 * _numbers(values, "normal 1") + np.sqrt(0.75) * values["normal 2"]


def mirror(values: Drawn, rng: np.random.Generator) -> None:
    """Equal size, independent signs: all correlations stay zero."""
    first = _numbers(values, "normal 1")
    values["normal 2"] = first * rng.choice([-1.0, 1.0], first.shape[0])


def flag_tails(values: Drawn, rng: np.random.Generator) -> None:
    """Set a flag in both tails of a normal column: correlation zero."""
    values["flag 30 %"] = (np.abs(_numbers(values, "normal 1")) > 1.0364).astype(np.int64)


def multiply_signs(values: Drawn, rng: np.random.Generator) -> None:
    """Exclusive or of three signs: any two of the columns stay independent."""
    signs = np.sign(_numbers(values, "normal 1") * _numbers(values, "normal 2"))
    values["normal 3"] = np.abs(_numbers(values, "normal 3")) * signs


def shift_one(values: Drawn, rng: np.random.Generator) -> None:
    """One column's mean moves by one standard deviation; nothing else does."""
    values["normal 1"] = _numbers(values, "normal 1") + 1.0


CHANGES: tuple[tuple[str, Change], ...] = (
    ("correlation 0 to 0.5", correlate),
    ("equal sizes, free signs", mirror),
    ("flag of both tails", flag_tails),
    ("xor of three signs", multiply_signs),
    ("only a mean + 1 sd", shift_one),
)


def draw_rows(rows: int, names: tuple[str, ...], rng: np.random.Generator) -> Drawn:
    """Draw rows of some columns; all 20 without names."""
    values = draw(rows, rng)
    return {name: values[name] for name in names} if names else values


def make_baselines(names: tuple[str, ...], rng: np.random.Generator) -> list[Baseline]:
    """Build many baselines, since each one's error is common to all its windows."""
    created = parse_time("2015-04-01T00:00:00Z")
    found = []
    for i in range(BASELINES):
        columns = as_columns(draw_rows(BASELINE_ROWS, names, rng))
        table = Table(rows=BASELINE_ROWS, columns=columns)
        found.append(build_baseline([table], version=f"simulated-{i}", created=created))
    return found


def judge(baseline: Baseline, values: Mapping[str, Values], rows: int) -> JointVerdict:
    """Judge one window."""
    profile = profile_columns(baseline.spec, as_columns(values), rows=rows)
    return judge_joint(baseline=baseline, profile=profile, settings=SETTINGS, features={})


def false_alarms(known: list[Baseline], names: tuple[str, ...], rng: np.random.Generator) -> None:
    """Print how often unchanged windows alarm, and how often each test is significant alone."""
    print(f"{'rows':>6}  {'windows that alarm':<28}{'p <= 1 %, test by test':<56}ms a verdict")
    for rows in SIZES:
        alarms, spent = 0, 0.0
        low: Counter[str] = Counter()
        for i in range(QUIET_WINDOWS):
            values = draw_rows(rows, names, rng)
            baseline = known[i % len(known)]
            profile = profile_columns(baseline.spec, as_columns(values), rows=rows)
            started = time.process_time()
            found = judge_joint(baseline=baseline, profile=profile, settings=SETTINGS, features={})
            spent += time.process_time() - started
            alarms += found.verdict == "drift"
            low.update(test.name for test in found.tests if test.p_value <= SETTINGS.alpha)
        tests = ", ".join(
            f"{name} {100 * n / QUIET_WINDOWS:.2f}" for name, n in sorted(low.items())
        )
        took = 1000 * spent / QUIET_WINDOWS
        print(f"{rows:>6}  {percent(alarms, QUIET_WINDOWS):<28}{tests:<56}{took:.1f}", flush=True)


def power(known: list[Baseline], names: tuple[str, ...], rng: np.random.Generator) -> None:
    """Print how often changes of the joint distribution are found in the first window."""
    print(f"{'change':<26}{'rows':>6}  {'found':<28}by test, %")
    for label, change in CHANGES:
        for rows in (200, 1000, 5000):
            hits = 0
            by: Counter[str] = Counter()
            for i in range(MOVED_WINDOWS):
                values = draw_rows(rows, names, rng)
                change(values, rng)
                found = judge(known[i % len(known)], values, rows)
                hits += found.verdict == "drift"
                by.update(t.name for t in found.tests if t.adjusted_p_value <= SETTINGS.alpha)
            tests = ", ".join(
                f"{name} {100 * n / MOVED_WINDOWS:.0f}" for name, n in sorted(by.items())
            )
            print(f"{label:<26}{rows:>6}  {percent(hits, MOVED_WINDOWS):<28}{tests}", flush=True)


def main() -> None:
    """Run both tables for 20 columns and for 5."""
    print(
        f"alpha {SETTINGS.alpha:g}, smallest change of a correlation "
        f"{SETTINGS.joint.min_correlation_change:g}, min_effect {SETTINGS.min_effect:g}; baselines "
        f"of {BASELINE_ROWS:,} rows; in brackets 95 % intervals"
    )
    for columns, names in ((20, ()), (5, FIVE)):
        rng = np.random.default_rng(20150701)
        known = make_baselines(names, rng)
        spec = known[0].spec.joint
        if spec is None:
            raise SystemExit("the baseline has no sums over whole rows")
        print(f"\n{columns} columns: {len(spec.components)} components, {len(spec.waves)} waves")
        false_alarms(known, names, rng)
        power(known, names, rng)


if __name__ == "__main__":
    main()
