"""The demo's flights."""

from __future__ import annotations

import gzip
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from local.flights import (
    Flights,
    FlightsError,
    find_flight_files,
    read_flights,
    share_of_day,
    utc,
)

HEADER = ",CANCELLED,AIRLINE,DEPARTURE_DELAY,TAXI_OUT,AIR_TIME,DISTANCE,DATE\n"


def write(folder: Path, *lines: str, header: str = HEADER) -> tuple[Path, ...]:
    path = folder / "flights.csv.gz"
    path.write_bytes(gzip.compress((header + "\n".join(lines) + "\n").encode()))
    return (path,)


@pytest.fixture(scope="module")
def flights() -> Flights:
    try:
        return read_flights(find_flight_files())
    except FlightsError as error:
        pytest.skip(str(error))


def test_flights_are_read_in_order_of_schedule_without_cancelled_ones(tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        "30,0,AA,16.0,9.0,100.0,700,2015-01-02",
        "10,1,US,,,,300,2015-01-01",
        "0,0,UA,15.0,9.0,,500,2015-01-01",
        "20,0,DL,-3.0,9.0,50.0,200,2015-01-02",
    )
    flights = read_flights(paths)
    assert flights.numbers.tolist() == [0, 20, 30]
    assert flights.carrier.tolist() == ["UA", "DL", "AA"]
    assert flights.weekday.tolist() == ["Thu", "Fri", "Fri"]
    assert flights.late.tolist() == [False, False, True]
    assert np.array_equal(flights.air_time, [np.nan, 50.0, 100.0], equal_nan=True)
    assert flights.schedule.tolist() == [0.0, 0.25, 0.75]
    moments = [datetime.fromtimestamp(time, UTC).isoformat() for time in flights.times.tolist()]
    assert moments == [
        "2015-01-01T00:00:00+00:00",
        "2015-01-02T06:00:00+00:00",
        "2015-01-02T18:00:00+00:00",
    ]
    assert flights.payloads()[:2] == ["UA,Thu,500,,0.0000", "DL,Fri,200,50,0.2500"]


def test_flights_between_two_moments_include_the_first_and_not_the_last(tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        "0,0,UA,0.0,9.0,1.0,5,2015-01-01",
        "10,0,UA,0.0,9.0,1.0,5,2015-01-02",
        "20,0,UA,0.0,9.0,1.0,5,2015-01-03",
    )
    chosen = read_flights(paths).between(utc(2015, 1, 1), utc(2015, 1, 3))
    assert chosen.numbers.tolist() == [0, 10]


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlightsError, match="expected"):
        read_flights(write(tmp_path, "1,2", header="a,b\n"))


def test_row_numbers_out_of_the_order_of_dates_are_refused(tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        "0,0,UA,0.0,9.0,1.0,5,2015-01-02",
        "10,0,UA,0.0,9.0,1.0,5,2015-01-01",
    )
    with pytest.raises(FlightsError, match="order"):
        read_flights(paths)


def test_a_day_is_shared_evenly_by_evenly_spaced_rows() -> None:
    numbers = np.arange(5, 400, 10)
    share = share_of_day(numbers, np.repeat([3, 4], 20))
    assert share[20:].tolist() == pytest.approx(np.arange(0.025, 1.0, 0.05).tolist())


def test_the_year_has_the_flights_the_story_is_told_of(flights: Flights) -> None:
    assert flights.rows == 98_458
    july = flights.times >= utc(2015, 7, 1).timestamp()
    june = (flights.times >= utc(2015, 6, 24).timestamp()) & ~july
    first_week = july & (flights.times < utc(2015, 7, 8).timestamp())
    assert (flights.carrier[june] == "US").sum() > 100
    assert (flights.carrier[july] == "US").sum() == 0
    american = [int((flights.carrier[week] == "AA").sum()) for week in (june, first_week)]
    assert american[1] > 1.8 * american[0]


def test_flights_scheduled_later_in_a_day_are_late_more_often(flights: Flights) -> None:
    """The position in the yearly file really is the order of scheduled departures."""
    parts = np.digitize(flights.schedule, [0.2, 0.4, 0.6, 0.8])
    shares = [float(flights.late[parts == part].mean()) for part in range(5)]
    assert shares == sorted(shares)
    assert shares[-1] > 2.5 * shares[0]


def test_the_package_is_read_without_being_imported(flights: Flights) -> None:
    assert flights.rows
    assert "popmon" not in sys.modules
