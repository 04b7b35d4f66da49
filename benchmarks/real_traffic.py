"""Alarms on real, clustered and seasonal traffic, by driftgauge and by other tools' rules.

Two data sets, each read from a PyPI package: the sample of US flights of 2015 that the demo plays
(in July 2015 US Airways' flights became American's), and all flights that left New York in 2013,
with and without the weather.

For each: a stationary year, put together from whole days of the reference period (block
bootstrap, so that days keep their clusters; each week has one day of every weekday), in which
every alarm is false; and the real year that followed, with the reason of every alarm.

Run it with ``python -m benchmarks.real_traffic``; about ten minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Sample, rules_for
from benchmarks.watching import Driftgauge, baseline_of, reasons_of
from driftgauge.drift.verdict import WindowVerdict
from local.departures import find_data, read_departures
from local.flights import find_flight_files, read_flights

DAY = timedelta(days=1)
SEED = 20130101
YEARS = 3
_SECONDS = 86_400


@dataclass(frozen=True, eq=False)
class Traffic:
    """Rows in order of time, by column; ``times`` in seconds since 1970."""

    name: str
    times: NDArray[np.int64]
    columns: Sample
    trained_on: tuple[datetime, datetime]

    def rows(self, first: datetime, last: datetime) -> NDArray[np.intp]:
        """Return the positions of the rows in ``[first, last)``."""
        low, high = np.searchsorted(self.times, [first.timestamp(), last.timestamp()])
        return np.arange(low, high)

    def take(self, index: NDArray[np.intp]) -> Sample:
        """Return some rows."""
        return {name: values[index] for name, values in self.columns.items()}


def utc(year: int, month: int, day: int) -> datetime:
    """Return midnight UTC of a day."""
    return datetime(year, month, day, tzinfo=UTC)


def flights_of_2015() -> Traffic:
    """Return the demo's flights; trained on January to March, as the demo's model is."""
    flights = read_flights(find_flight_files())
    columns: dict[str, NDArray[np.generic]] = {
        "carrier": flights.carrier,
        "weekday": flights.weekday,
        "distance": flights.distance,
        "air_time": flights.air_time,
        "schedule": flights.schedule,
    }
    return Traffic("US flights 2015", flights.times, columns, (utc(2015, 1, 1), utc(2015, 4, 1)))


def departures_of_2013(*, weather: bool) -> Traffic:
    """Return New York's departures; trained on January and February."""
    found = read_departures(find_data())
    columns: dict[str, NDArray[np.generic]] = {
        "carrier": found.carrier,
        "origin": found.origin,
        "dest": found.dest,
        "hour": found.hour,
        "distance": found.distance,
        "arrival": found.arrival,
    }
    if weather:
        columns |= {
            "temperature": found.temperature,
            "humidity": found.humidity,
            "wind": found.wind,
            "precipitation": found.precipitation,
            "pressure": found.pressure,
            "visibility": found.visibility,
        }
    name = f"New York departures 2013{', with weather' if weather else ''}"
    return Traffic(name, found.times, columns, (utc(2013, 1, 1), utc(2013, 3, 1)))


def stationary_weeks(
    traffic: Traffic, weeks: int, rng: np.random.Generator
) -> Iterator[NDArray[np.intp]]:
    """Put weeks together from days of the reference period, one of every weekday."""
    first, last = traffic.trained_on
    by_weekday: dict[int, list[NDArray[np.intp]]] = {}
    day = first
    while day < last:
        by_weekday.setdefault(day.weekday(), []).append(traffic.rows(day, day + DAY))
        day += DAY
    for _ in range(weeks):
        chosen = [days[rng.integers(len(days))] for _, days in sorted(by_weekday.items())]
        yield np.concatenate(chosen)


def real_weeks(traffic: Traffic) -> Iterator[tuple[datetime, NDArray[np.intp]]]:
    """Return the whole weeks after the reference period, with their start."""
    start = traffic.trained_on[1]
    end = datetime.fromtimestamp(int(traffic.times[-1]), UTC)
    while start + 7 * DAY <= end:
        yield start, traffic.rows(start, start + 7 * DAY)
        start += 7 * DAY


def explain(verdict: WindowVerdict) -> str:
    """Say what rang in a window and what moved furthest."""
    found = reasons_of(verdict)
    parts = []
    for feature in (*verdict.drifted_inputs, *verdict.drifted_outputs):
        moved = feature.moved[0] if feature.moved else None
        what = (
            f": {moved.label} {100 * moved.baseline_share:.1f} % "
            f"-> {100 * moved.window_share:.1f} %"
            if moved
            else ""
        )
        parts.append(f"{feature.name} (effect {feature.effect or 0:.3f}{what})")
    if found.persistent and verdict.persistent:
        leading = verdict.persistent.features[0]
        parts.append(
            f"persistent: {leading.name} {leading.aspect} {leading.shift:+.3f} "
            f"since {leading.since:%d %b}"
        )
    if found.joint and verdict.joint:
        pairs = ", ".join(
            f"{p.first}~{p.second} {p.baseline:+.2f} -> {p.window:+.2f}"
            for p in verdict.joint.pairs[:1]
        )
        tests = "/".join(t.name for t in verdict.joint.tests if t.adjusted_p_value <= 0.01)
        parts.append(f"joint ({tests}) {pairs}")
    return "; ".join(parts)


def watch(traffic: Traffic) -> None:
    """Print both tables of one data set."""
    reference = traffic.take(traffic.rows(*traffic.trained_on))
    rows = next(iter(reference.values())).shape[0]
    baseline = baseline_of(reference)
    days = (traffic.trained_on[1] - traffic.trained_on[0]).days
    peers = rules_for(reference, rows=7 * rows // days)
    print(f"\n## {traffic.name}: {rows:,} reference rows, {7 * rows // days:,} a week\n")
    print(
        f"| rule | alarms in each of {YEARS} stationary years of 52 weeks "
        "| real weeks with an alarm |"
    )
    print("|---|---|---|")
    table: dict[str, list[int]] = {name: [] for name in ("driftgauge", *peers)}
    reasons: list[str] = []
    for year in range(YEARS):
        rng = np.random.default_rng(SEED + year)
        monitor = Driftgauge(baseline, length=7 * DAY, first=traffic.trained_on[1])
        counts = dict.fromkeys(table, 0)
        for index in stationary_weeks(traffic, 52, rng):
            window = traffic.take(index)
            verdict = monitor.judge(window)
            if reasons_of(verdict).alarm:
                counts["driftgauge"] += 1
                reasons.append(f"stationary year {year + 1}: {explain(verdict)}")
            for name, rule in peers.items():
                counts[name] += bool(rule.drifted(window))
        for name, count in counts.items():
            table[name].append(count)
    real = dict.fromkeys(table, 0)
    weeks = 0
    monitor = Driftgauge(baseline, length=7 * DAY, first=traffic.trained_on[1])
    for start, index in real_weeks(traffic):
        window = traffic.take(index)
        weeks += 1
        verdict = monitor.judge(window)
        if reasons_of(verdict).alarm:
            real["driftgauge"] += 1
            reasons.append(f"week of {start:%d %b %Y}: {explain(verdict)}")
        for name, rule in peers.items():
            real[name] += bool(rule.drifted(window))
    for name, counts_of in table.items():
        print(f"| {name} | {', '.join(map(str, counts_of))} | {real[name]} of {weeks} |")
    print("\nReasons of driftgauge's alarms:\n")
    for reason in reasons:
        print(f"- {reason}")


SOURCES: tuple[Callable[[], Traffic], ...] = (
    flights_of_2015,
    lambda: departures_of_2013(weather=False),
    lambda: departures_of_2013(weather=True),
)


def main() -> None:
    """Print the tables of all data sets."""
    for source in SOURCES:
        watch(source())


if __name__ == "__main__":
    main()
