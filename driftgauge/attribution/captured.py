"""Attributions that the endpoint returns with its predictions: read, not computed.

They are columns of the captured output whose names begin with a prefix (``shap_age``, or
``shap.age`` for ``{"shap": {"age": ...}}``), or what a JMESPath finds in the output, as in the
answers of Clarify's online explanations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import jmespath
import numpy as np
from jmespath.exceptions import JMESPathError
from numpy.typing import NDArray

from driftgauge.attribution.values import Attributions, label_names
from driftgauge.capture.documents import documents_of
from driftgauge.capture.envelope import Envelopes, Record
from driftgauge.capture.lines import CHUNK_BYTES, read_lines
from driftgauge.capture.payload import PayloadError
from driftgauge.columns import Column, Rejects
from driftgauge.errors import AttributionError

_NOT_NUMBERS = "attributions are not finite numbers"
_WRONG_WIDTH = "wrong number of attributions"
_MAX_MAGNITUDE = 2.0**400


def captured_features(columns: Mapping[str, Column], prefix: str) -> tuple[str, ...]:
    """Return the features whose attributions are columns.

    Raises
    ------
    AttributionError
        If no column has the prefix.
    """
    found = tuple(
        name.removeprefix(prefix) for name in columns if name.startswith(prefix) and name != prefix
    )
    if not prefix or not found:
        known = ", ".join(map(repr, list(columns)[:20]))
        raise AttributionError(f"no column begins with {prefix!r}; there are {known}")
    return found


def attributions_of_columns(
    columns: Mapping[str, Column],
    prefix: str,
    features: Sequence[str],
    *,
    rejects: Rejects,
    source: str = "",
    label: str | None = None,
) -> Attributions:
    """Read attributions that are columns.

    Rows without a finite number for every feature are counted as rejected.

    Raises
    ------
    AttributionError
        If a feature has no column.
    """
    absent = [name for name in features if prefix + name not in columns]
    if absent:
        raise AttributionError(f"no column {prefix + absent[0]!r}")
    table = np.column_stack([columns[prefix + name].numbers for name in features])
    good = _usable(table)
    if not good.all():
        rejects.add(
            reason=_NOT_NUMBERS, source=source, line=0, excerpt="", count=int((~good).sum())
        )
    return _attributions(table[good], tuple(features), label)


def read_captured(
    stream: BinaryIO,
    *,
    path: str,
    features: Sequence[str],
    source: str,
    rejects: Rejects,
    label: str | None = None,
) -> Iterator[Attributions]:
    """Read attributions from the output side of captures by a JMESPath.

    Parameters
    ----------
    stream : binary file
        SageMaker's captures.
    path : str
        Into the output's JSON document, or each of its lines. It finds a list of numbers, which is
        one row; a list of such lists; or objects from feature to number.
    features : sequence of str
        In the order of the lists.
    source : str
        The object's name, for messages.
    rejects : Rejects
        Is added what cannot be used.
    label : str or None
        Name of the model's output; None: ``label0``.

    Yields
    ------
    Attributions
        Of some records.

    Raises
    ------
    AttributionError
        If the path is no JMESPath.
    CaptureError
        If the object as a whole is unreadable.
    """
    try:
        expression = jmespath.compile(path)
    except JMESPathError as error:
        raise AttributionError(f"{path!r} is no JMESPath: {error}") from error
    envelopes = Envelopes(Record, unlike="not a capture record", source=source, rejects=rejects)
    for chunk in read_lines(stream, source=source, rejects=rejects, chunk_bytes=CHUNK_BYTES):
        records, numbers = envelopes.decode(chunk.lines, chunk.first)
        rows: list[list[float]] = []
        for record, number in zip(records, numbers, strict=True):
            try:
                rows += _rows_of(record, expression, tuple(features))
            except PayloadError as error:
                rejects.add(reason=str(error), source=source, line=number, excerpt="")
        if rows:
            yield _attributions(np.array(rows), tuple(features), label)
    envelopes.check()


def _rows_of(record: Record, expression: Any, features: tuple[str, ...]) -> list[list[float]]:
    data = record.captureData
    side = data.endpointOutput if data is not None else None
    if side is None or side.data is None:
        raise PayloadError("output was not captured")
    rows: list[list[float]] = []
    for document in documents_of(side.data, side.encoding).values or ():
        try:
            found = expression.search(document)
        except (JMESPathError, RecursionError) as error:
            raise PayloadError("no attributions in the output") from error
        nested = isinstance(found, list) and any(isinstance(item, list | dict) for item in found)
        rows += [_row_of(item, features) for item in (found if nested else [found])]
    if not rows:
        raise PayloadError("no attributions in the output")
    return rows


def _row_of(item: Any, features: tuple[str, ...]) -> list[float]:
    if item is None:
        raise PayloadError("no attributions in the output")
    if isinstance(item, dict):
        item = [item.get(name) for name in features]
    if not isinstance(item, list) or len(item) != len(features):
        raise PayloadError(_WRONG_WIDTH)
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in item)
    if not numeric or not all(abs(value) < _MAX_MAGNITUDE for value in item):
        raise PayloadError(_NOT_NUMBERS)
    return [float(value) for value in item]


def _usable(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    usable: NDArray[np.bool_] = np.all(np.abs(table) < _MAX_MAGNITUDE, axis=1)
    return usable


def _attributions(
    table: NDArray[np.float64], features: tuple[str, ...], label: str | None
) -> Attributions:
    return Attributions(
        features=features,
        labels=(label,) if label is not None else label_names(1),
        values=table[None],
        expected=None,
    )
