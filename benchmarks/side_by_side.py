"""The same streams given to driftgauge and to the default rules of other tools.

Simulated: 20 mixed columns, baseline of 10,000 rows, windows without any change, then windows in
which one column's mean has moved for good. For each rule: the share of unchanged windows with an
alarm, the share of streams whose moved column is named in the first window, and how many windows
pass until it is. Some rules ring so often that finding the column costs nothing; on the Pareto
front is a rule if no other is as good in all three, and better in one.

Run it with ``python -m benchmarks.side_by_side [--rows N] [--picture FILE]``; about half an hour on
one core; a size alone takes five to ten minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.decision_simulation import MOVED, draw, interval
from benchmarks.peers import Rule, Sample, rules_for
from benchmarks.pictures import Dot, Panel, draw_panels
from benchmarks.watching import Driftgauge, baseline_of
from driftgauge.baseline import Baseline

BASELINE_ROWS = 10_000
SIZES = (100, 500, 1000, 5000)
SHIFTS = (0.1, 0.25, 0.5)
QUIET_WINDOWS = 200
LEAD = 20
# Windows to wait for a detection: small windows need more of them.
PATIENCE = {100: 60, 500: 30, 1000: 30, 5000: 30}
STREAMS = 20
OURS = "driftgauge"
SEED = 20150702
DAY = timedelta(days=1)


@dataclass
class Score:
    """What one rule did at one window size, for one shift."""

    quiet: int = 0
    false_alarms: int = 0
    moved: int = 0
    found: int = 0
    delays: tuple[int, ...] = ()

    @property
    def false_share(self) -> float:
        """Share of unchanged windows with an alarm."""
        return self.false_alarms / max(1, self.quiet)

    @property
    def median_delay(self) -> float:
        """Windows until the moved column is named; the patience if it never is."""
        return float(np.median(self.delays))


def sample(rows: int, rng: np.random.Generator, shift: float = 0.0) -> Sample:
    """Draw a window; categories are words."""
    drawn: dict[str, NDArray[np.generic]] = {}
    for name, values in draw(rows, rng).items():
        drawn[name] = values.astype(str) if name.startswith("category") else values
    if shift:
        drawn[MOVED] = np.asarray(drawn[MOVED], dtype=np.float64) + shift
    return drawn


def _names(found: set[str]) -> bool:
    return any(name == MOVED or name.startswith(f"{MOVED} (") for name in found)


def run_quiet(rules: dict[str, Rule], rows: int, rng: np.random.Generator) -> dict[str, Score]:
    """Count alarms in windows without any change."""
    scores = {name: Score() for name in rules}
    for _ in range(QUIET_WINDOWS):
        window = sample(rows, rng)
        for name, rule in rules.items():
            scores[name].quiet += 1
            scores[name].false_alarms += bool(rule.drifted(window))
    return scores


def run_moved(
    reference: Sample, baseline: Baseline, rows: int, shift: float, rng: np.random.Generator
) -> dict[str, Score]:
    """Play streams whose column moves after some windows, until each rule has named it."""
    peers = rules_for(reference, rows=rows)
    scores = {name: Score() for name in (OURS, *peers)}
    for _ in range(STREAMS):
        rules: dict[str, Rule] = {OURS: Driftgauge(baseline, length=DAY), **peers}
        for _ in range(LEAD):
            rules[OURS].drifted(sample(rows, rng))
        waiting = set(rules)
        for count in range(1, PATIENCE[rows] + 1):
            window = sample(rows, rng, shift)
            for name in sorted(waiting):
                hit = _names(rules[name].drifted(window))
                if count == 1:
                    scores[name].moved += 1
                    scores[name].found += hit
                if hit or count == PATIENCE[rows]:
                    scores[name].delays += (count if hit else PATIENCE[rows] + 1,)
                    waiting.discard(name)
            if not waiting:
                break
    return scores


def on_front(ours: tuple[float, ...], others: Sequence[tuple[float, ...]]) -> bool:
    """Tell whether no other point is as low in all coordinates and lower in one."""
    return not any(
        other != ours and all(theirs <= own for theirs, own in zip(other, ours, strict=True))
        for other in others
    )


def percent(hits: int, trials: int) -> str:
    """Write a share with its 95 % interval."""
    low, high = interval(hits, trials)
    return f"{100 * hits / max(1, trials):.1f} % ({100 * low:.0f} to {100 * high:.0f})"


def main() -> None:
    """Print one table and draw one picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.side_by_side", description=__doc__)
    parser.add_argument("--picture", type=Path, help="where to write the picture (SVG)")
    parser.add_argument(
        "--rows", type=int, nargs="+", choices=SIZES, default=SIZES, help="window sizes"
    )
    options = parser.parse_args()
    rng = np.random.default_rng(SEED)
    reference = sample(BASELINE_ROWS, rng)
    baseline = baseline_of(reference)
    panels = []
    print("| rows | rule | windows with a false alarm |", end="")
    print("".join(f" {shift:g} sd, first window | median windows |" for shift in SHIFTS))
    print("|---|---|---|" + "---|---|" * len(SHIFTS))
    for rows in options.rows:
        rules: dict[str, Rule] = {
            OURS: Driftgauge(baseline, length=DAY),
            **rules_for(reference, rows=rows),
        }
        # Sizes can be run one by one, with the same streams.
        rng = np.random.default_rng((SEED, rows))
        quiet = run_quiet(rules, rows, rng)
        moved = {shift: run_moved(reference, baseline, rows, shift, rng) for shift in SHIFTS}
        for name, score in quiet.items():
            cells = [f"{rows:,}", name, percent(score.false_alarms, score.quiet)]
            for shift in SHIFTS:
                found = moved[shift][name]
                delay = found.median_delay
                cells += [
                    percent(found.found, found.moved),
                    f"> {PATIENCE[rows]}" if delay > PATIENCE[rows] else f"{delay:g}",
                ]
            print("| " + " | ".join(cells) + " |", flush=True)
        for shift in SHIFTS:
            points = {
                name: (quiet[name].false_share, moved[shift][name].median_delay) for name in quiet
            }
            with_power = {
                name: (*point, -moved[shift][name].found) for name, point in points.items()
            }
            others = [point for name, point in with_power.items() if name != OURS]
            front = on_front(with_power[OURS], others)
            print(f"<!-- {rows} rows, {shift:g} sd: Pareto front: {front} -->", flush=True)
            panels.append(
                Panel(
                    title=f"{rows:,} rows, {shift:g} sd",
                    dots=tuple(Dot(name, *point) for name, point in points.items()),
                )
            )
    if options.picture:
        options.picture.write_text(draw_panels(panels, columns=len(SHIFTS)), encoding="utf-8")


if __name__ == "__main__":
    main()
