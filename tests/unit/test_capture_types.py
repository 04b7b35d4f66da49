"""Model Monitor's types."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driftgauge.capture.types import Type, classify, column_of_values, read_scalar, read_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[(text, "integral") for text in ("0", "-1", "+1", "01", " 7", "- 7", "9" * 30)],
        *[(text, "fractional") for text in ("1.0", "-0.5", "1e3", "1.5E-3", "+ 2.5", "1e400")],
        *[(text, "boolean") for text in ("true", "false")],
        *[(text, "text") for text in (".5", "5.", "NaN", "inf", "True", "1 ", "  1", "1e", "0x1")],
        *[(text, "text") for text in ("1_000", "\u0661", "1\n", "nan", "null", " ")],
        ("", None),
    ],
)
def test_a_text_has_the_type_that_deequ_gives_it(text: str, expected: Type | None) -> None:
    assert classify(text) == expected


def test_a_number_is_read_to_the_nearest_double() -> None:
    assert read_text("0.1").number == 0.1
    assert read_text("- 7").number == -7.0
    assert read_text("9007199254740993").number == 9007199254740992.0
    assert read_text("1e400").number == math.inf
    assert math.copysign(1, read_text("-0").number) == 1.0


def test_json_scalars_have_types_of_their_own() -> None:
    assert read_scalar(True).word == "true"
    assert read_scalar(None).is_missing
    assert read_scalar("").is_missing
    assert read_scalar("3").number == 3.0
    assert read_scalar(10**400).number == math.inf
    assert math.isnan(read_scalar(float("nan")).number)


def test_a_column_counts_each_value_once() -> None:
    column = column_of_values([1, 1.0, "1", True, "true", "a", "", None, "a"])
    assert column.types.present == 7
    assert (column.types.integral, column.types.fractional) == (2, 1)
    assert (column.types.boolean, column.types.text) == (2, 2)
    assert column.words == ("true", "a")
    assert column.codes is not None
    assert column.codes.tolist() == [-1, -1, -1, 0, 0, 1, -1, -1, 1]
    assert column.missing is not None
    assert np.flatnonzero(column.missing).tolist() == [6, 7]


def test_not_a_number_is_a_number_in_json() -> None:
    column = column_of_values([1.5, float("nan"), float("inf")])
    assert column.types.fractional == 3
    assert column.missing is None
    assert column.codes is None


def test_integers_beyond_the_range_of_doubles_become_infinite() -> None:
    column = column_of_values([1, -(10**400)])
    assert column.numbers.tolist() == [1.0, -math.inf]
    assert column.types.integral == 2
