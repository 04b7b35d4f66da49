"""Model files are untrusted: typed access to their JSON, with the place in every message."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import AttributionError


def json_of(data: bytes) -> Any:
    """Decode a model file.

    Raises
    ------
    AttributionError
        If it is not JSON.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AttributionError(f"the model file is not JSON: {error}") from error


def member(document: Any, *keys: str) -> Any:
    """Return what is below some keys.

    Raises
    ------
    AttributionError
        Naming the first key that is not there.
    """
    for i, key in enumerate(keys):
        if not isinstance(document, dict) or key not in document:
            raise AttributionError(f"the model file has no {'.'.join(keys[: i + 1])}")
        document = document[key]
    return document


def whole(value: Any, place: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """Return a whole number, which may be written as text."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = least - 1
    if isinstance(value, bool | float) or not least <= number <= most:
        raise AttributionError(
            f"the model file: {place}: expected a whole number from {least} to {most}"
        )
    return number


def real(value: Any, place: str) -> float:
    """Return a number, which may be written as text."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or math.isnan(number):
        raise AttributionError(f"the model file: {place}: expected a number")
    return number


def items(value: Any, place: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise AttributionError(f"the model file: {place}: expected a list")
    return value


def reals(value: Any, place: str, *, length: int | None = None) -> NDArray[np.float64]:
    """Return an array of numbers; null is NaN."""
    values = [math.nan if item is None else item for item in items(value, place)]
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise AttributionError(f"the model file: {place}: expected numbers") from error
    return _sized(array, place, length)


def wholes(value: Any, place: str, *, length: int | None = None) -> NDArray[np.int64]:
    """Return an array of whole numbers."""
    array = reals(value, place, length=length)
    with np.errstate(invalid="ignore"):
        cut = array.astype(np.int64)
    if (cut != array).any():
        raise AttributionError(f"the model file: {place}: expected whole numbers")
    return cut


def _sized(array: NDArray[np.float64], place: str, length: int | None) -> NDArray[np.float64]:
    if array.ndim != 1 or (length is not None and len(array) != length):
        wanted = "" if length is None else f"{length} "
        raise AttributionError(f"the model file: {place}: expected a plain list of {wanted}numbers")
    return array


def names_of(value: Any, place: str, *, length: int) -> tuple[str, ...] | None:
    """Return names of features; None if there are none.

    Raises
    ------
    AttributionError
        If they are not as many as features, or not different texts.
    """
    names = tuple(items(value, place))
    if not names:
        return None
    good = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    if not good or len(names) != length:
        raise AttributionError(f"the model file: {place}: expected {length} different names")
    return names
