"""One payload of any encoding to rows of scalars: the tolerant reader."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from driftgauge.capture.types import Scalar

MAX_COLUMNS = 4096
_MAX_DEPTH = 6
_ROW_KEYS = ("instances", "predictions")
_CONTAINERS = frozenset((list, dict))
# Python's json reads NaN and Infinity, which containers written in Python produce.
_PYTHON_NUMBERS = ("NaN", "Infinity")


class PayloadError(Exception):
    """A payload that cannot be used; the message is the reason to count."""


class Row(NamedTuple):
    """The scalars of one row: by position, by name, or some of both; neither if it has none."""

    cells: list[Scalar] | None
    fields: dict[str, Scalar] | None


def read_payload(data: Any, encoding: Any) -> list[Row]:
    r"""Read one side of a record.

    Parameters
    ----------
    data : object
        The ``data`` of the side; text, or JSON that was captured inline.
    encoding : object
        ``CSV``, ``JSON`` or ``BASE64``; anything else is told by its looks.

    Raises
    ------
    PayloadError
        With the reason to count, if nothing can be made of the payload.

    Examples
    --------
    >>> [row.cells for row in read_payload("1,a\n2,b\n", "CSV")]
    [['1', 'a'], ['2', 'b']]
    >>> read_payload('{"predictions": [{"score": 0.9}]}', "JSON")[0].fields
    {'score': 0.9}
    """
    if not isinstance(data, str):
        return rows_of_json(data)
    name = encoding.upper() if isinstance(encoding, str) else ""
    if name == "BASE64":
        data = text_of_base64(data)
    elif name == "CSV":
        return [Row(cells, None) for cells in read_csv(data)]
    elif name == "JSON":
        return _read_json(data)
    if looks_like_json(data):
        return _read_json(data)
    return [Row(cells, None) for cells in read_csv(data)]


def read_csv(text: str) -> list[list[Scalar]]:
    """Split CSV text into rows of cells (RFC 4180); blank lines are no rows.

    Raises
    ------
    PayloadError
        If a quoted cell does not end, or a cell is longer than the csv module allows.
    """
    if "\r" in text and '"' not in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if '"' not in text:
        return [[*line.split(",")] for line in text.split("\n") if line]
    try:
        return [[*row] for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise PayloadError("payload is not csv") from error


def looks_like_json(text: str) -> bool:
    """Tell JSON objects and arrays from CSV."""
    return text.lstrip()[:1] in ("{", "[")


def text_of_base64(data: object) -> str:
    """Return the text in base64.

    Raises
    ------
    PayloadError
        If it is not base64, or not UTF-8 inside.
    """
    if not isinstance(data, str):
        raise PayloadError("payload cannot be decoded")
    try:
        return base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise PayloadError("payload cannot be decoded") from error


def _read_json(text: str) -> list[Row]:
    try:
        value = json_value(text)
    except PayloadError:
        # JSON Lines carry the encoding JSON, too.
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2:
            raise
        return [row for line in lines for row in rows_of_json(json_value(line))]
    return rows_of_json(value)


def json_value(text: str) -> Any:
    """Decode JSON, with Python's ``NaN`` and ``Infinity``.

    Raises
    ------
    PayloadError
        With the reason to count.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        if not any(name in text for name in _PYTHON_NUMBERS) and "Number" not in str(error):
            raise PayloadError("payload is not json") from error
    except RecursionError as error:
        raise PayloadError("payload is nested too deep") from error
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # finds lone surrogates
    except RecursionError as error:
        raise PayloadError("payload is nested too deep") from error
    except ValueError as error:
        raise PayloadError("payload is not json") from error
    return value


def rows_of_json(value: Any) -> list[Row]:
    """Turn a decoded JSON document into rows.

    ``instances`` and ``predictions`` hold a row an element, and so does an array that holds
    objects or arrays; everything else is one row. ``features`` is a row's cells; other objects
    and arrays become dotted names.

    Examples
    --------
    >>> rows_of_json({"inputs": "hello", "parameters": {"top_p": 0.9}})[0].fields
    {'inputs': 'hello', 'parameters.top_p': 0.9}
    """
    if isinstance(value, dict):
        for key in _ROW_KEYS:
            if isinstance(value.get(key), list):
                return [_row_of(item) for item in value[key]]
        return [_row_of(value)]
    if isinstance(value, list) and value and any(isinstance(item, (dict, list)) for item in value):
        return [_row_of(item) for item in value]
    if isinstance(value, list) and not value:
        return []
    return [_row_of(value)]


def _row_of(item: Any) -> Row:
    """Turn one instance or prediction into a row."""
    if isinstance(item, dict):
        return _row_of_object(item)
    if not isinstance(item, list):
        return Row([item], None)
    if _is_flat(item):
        return Row(item or None, None)
    cells: list[Scalar] = []
    fields: dict[str, Scalar] = {}
    for index, value in enumerate(item):
        if isinstance(value, dict):
            _flatten(value, f"{index}.", fields, _MAX_DEPTH)
        else:
            _extend(value, cells, _MAX_DEPTH)
    return Row(cells or None, fields or None)


def _row_of_object(item: dict[str, Any]) -> Row:
    if _is_flat(item.values()):
        return Row(None, item or None)
    features = item.get("features")
    fields: dict[str, Scalar] = {}
    cells: list[Scalar] = []
    if isinstance(features, list) and _is_flat(features):
        cells = features
    elif isinstance(features, list):
        _extend(features, cells, _MAX_DEPTH)
    elif isinstance(features, dict):
        _flatten(features, "", fields, _MAX_DEPTH)
    rest = item
    if isinstance(features, (list, dict)):
        rest = {key: value for key, value in item.items() if key != "features"}
    _flatten(rest, "", fields, _MAX_DEPTH)
    return Row(cells or None, fields or None)


def _is_flat(values: Iterable[object]) -> bool:
    """Tell whether all values are scalars."""
    return _CONTAINERS.isdisjoint(map(type, values))


def _extend(value: Any, cells: list[Scalar], depth: int) -> None:
    """Append the scalars of nested arrays in order."""
    if isinstance(value, list):
        if depth:
            for item in value:
                _extend(item, cells, depth - 1)
    elif not isinstance(value, dict):
        cells.append(value)


def _flatten(value: dict[str, Any], prefix: str, fields: dict[str, Scalar], depth: int) -> None:
    """Collect the scalars of an object under dotted names."""
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict):
            inner = item
        elif isinstance(item, list):
            inner = {str(index): element for index, element in enumerate(item)}
        else:
            fields[name] = item
            continue
        if depth:
            _flatten(inner, f"{name}.", fields, depth - 1)
