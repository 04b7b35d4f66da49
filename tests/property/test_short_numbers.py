"""Short numbers are parsed as the rules for one cell say, and nothing else is taken for one."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from driftgauge.capture.grid import COMMA, Grid, grid_of_text
from driftgauge.capture.short_numbers import ShortNumbers
from driftgauge.capture.types import FRACTIONAL, INTEGRAL, read_text

_SHORT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
numbers = st.from_regex(r"-?[0-9]{1,4}(\.[0-9]{1,4})?", fullmatch=True)
anything = st.text("0123456789.-+eE/'ß ", max_size=10)


def grid_of(rows: list[tuple[str, ...]]) -> Grid:
    texts = [",".join(row).encode() for row in rows]
    grid = grid_of_text(texts, width=len(rows[0]))
    assert grid is not None
    grid.view[grid.ends[:, -1]] = COMMA
    return grid


def check(rows: list[tuple[str, ...]], columns: list[int]) -> None:
    found = ShortNumbers().read(grid_of(rows), columns)
    chosen = [[row[column] for row in rows] for column in columns]
    short = all(_SHORT.fullmatch(c) and len(c) <= 8 for cells in chosen for c in cells)
    assert (found is not None) == short
    if found is None:
        return
    table, fractional = found
    for cells, values, count in zip(chosen, table, fractional, strict=True):
        wanted = [read_text(cell) for cell in cells]
        assert {cell.kind for cell in wanted} <= {INTEGRAL, FRACTIONAL}
        # The bytes tell -0.0 from 0.0.
        assert values.tobytes() == np.array([cell.number for cell in wanted]).tobytes()
        assert count == sum(cell.kind == FRACTIONAL for cell in wanted)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.tuples(numbers, anything, numbers), min_size=1, max_size=6))
@example(rows=[("-0", "", "-0.0")])
@example(rows=[("007", "a", "99999999"), ("0.000001", "b", "-1.5")])
@example(rows=[("9999.999", "1", "-999.999")])
def test_short_numbers_are_read_by_the_rules(rows: list[tuple[str, ...]]) -> None:
    for columns in ([0], [0, 2], [2], [1], [0, 1, 2], [1, 2]):
        check(rows, columns)


@settings(max_examples=300, deadline=None)
@given(cells=st.lists(st.one_of(numbers, anything), min_size=1, max_size=3))
@example(cells=["-"])
@example(cells=["--1"])
@example(cells=["-.5"])
@example(cells=[".5"])
@example(cells=["5."])
@example(cells=["1.2.3"])
@example(cells=["1..2"])
@example(cells=["1/2"])
@example(cells=["1-2"])
@example(cells=["1.-2"])
@example(cells=["12345678."])
@example(cells=["123456789"])
@example(cells=["1e5"])
@example(cells=["+5"])
def test_nothing_else_is_taken_for_a_short_number(cells: list[str]) -> None:
    check([(cell, "1") for cell in cells], [0])
    check([("2.5", cell) for cell in cells], [0, 1])


def test_every_byte_is_told_from_a_digit_at_every_place() -> None:
    for place in range(4):
        for byte in range(256):
            text = bytearray(b"12.34567"[: 4 + place])
            text[place] = byte
            if byte in b',\n"':
                continue
            grid = grid_of_text([bytes(text)], width=1)
            assert grid is not None
            grid.view[grid.ends[:, -1]] = COMMA
            short = _SHORT.fullmatch(text.decode("latin-1")) is not None
            found = ShortNumbers().read(grid, [0])
            assert (found is not None) == short
            if found is not None:
                assert found[0].tolist() == [[float(text)]]


def test_many_decimals_are_the_nearest_floats_in_pieces_of_any_size() -> None:
    generator = np.random.default_rng(7)
    digits = generator.integers(0, 10**7, (30_000, 3)).tolist()
    places = generator.integers(0, 7, (30_000, 3)).tolist()
    cells = [
        tuple(f"{n / 10**p:.{p}f}"[:8].rstrip(".") for n, p in zip(*row, strict=True))
        for row in zip(digits, places, strict=True)
    ]
    found = ShortNumbers().read(grid_of(cells), [0, 1, 2])
    assert found is not None
    assert found[0].T.tolist() == [[float(cell) for cell in row] for row in cells]
    assert found[1] == [sum("." in row[i] for row in cells) for i in range(3)]
