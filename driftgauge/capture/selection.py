"""Which values of a payload are features, the predicted label and its probability.

The attributes are Model Monitor's: the index of a CSV column, or JMESPath into a JSON payload
(into each line, for JSON Lines).
"""

from __future__ import annotations

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from driftgauge.capture.calls import OUTPUT, Exchange, Side
from driftgauge.capture.documents import documents_of, inline_rows
from driftgauge.capture.payload import PayloadError, Row, rows_of_json
from driftgauge.capture.schema import CaptureSchema
from driftgauge.capture.settings import SelectionSettings, is_index
from driftgauge.capture.types import INTEGRAL, Scalar, read_scalar

_NOTHING = "selection finds nothing"


class Selector:
    """Takes the selected values out of payloads.

    Examples
    --------
    >>> settings = SelectionSettings(
    ...     features="instances[*].features", probability="predictions[*].score"
    ... )
    >>> selector = Selector(settings, schema=CaptureSchema())
    >>> given = Side(data='{"instances": [{"features": [1, 2]}]}', encoding="JSON")
    >>> returned = Side(data='{"predictions": [{"score": 0.7}]}', encoding="JSON")
    >>> selected = selector.select(Exchange(given=given, returned=returned))
    >>> selected.given.data, selected.returned.data
    ([[1, 2]], [{'score': 0.7, 'predicted_label': 1}])
    """

    def __init__(self, settings: SelectionSettings, *, schema: CaptureSchema) -> None:
        self._settings = settings
        self._outputs = schema.outputs or ()
        self._one_input = schema.inputs is not None and len(schema.inputs) == 1

    def select(self, exchange: Exchange) -> Exchange:
        """Return an exchange reduced to what is selected; a side without attributes stays whole.

        Raises
        ------
        PayloadError
            With the reason to count, if an attribute finds nothing, or not one value a row.
        """
        given = exchange.joined or exchange.given
        returned = exchange.joined or exchange.returned
        settings = self._settings
        if settings.features and given is not None:
            given = Side(data=inline_rows(self._features(given, settings.features)))
        if (settings.inference or settings.probability) and returned is not None:
            returned = Side(data=self._predictions(returned))
        if exchange.joined is None:
            return Exchange(given=given, returned=returned)
        # Of a joined output only the selected parts are known to be on a side.
        return Exchange(
            given=given if settings.features else None,
            returned=returned if settings.inference or settings.probability else None,
        )

    def _features(self, side: Side, attribute: str) -> list[Row]:
        documents = documents_of(side.data, side.encoding)
        if documents.rows is not None:
            return [Row([_cell(row, attribute)], None) for row in documents.rows]
        rows: list[Row] = []
        for value in documents.values or ():
            found = _search(attribute, value)
            flat = isinstance(found, list) and not any(
                isinstance(item, (list, dict)) for item in found
            )
            if flat and self._one_input:
                rows.extend(Row([item], None) for item in found)
            elif flat:
                rows.append(Row(found, None))
            else:
                rows.extend(rows_of_json(found))
        return rows

    def _predictions(self, side: Side) -> list[dict[str, Scalar]]:
        settings = self._settings
        columns: dict[str, list[Scalar]] = {}
        if settings.inference:
            columns[self._name_of(settings.inference)] = _values(side, settings.inference)
        if settings.probability:
            probabilities = _values(side, settings.probability)
            columns[self._name_of(settings.probability)] = probabilities
            if not settings.inference:
                labels: list[Scalar] = [
                    label_of(p, threshold=settings.threshold) for p in probabilities
                ]
                columns[settings.predicted_label] = labels
        if len(set(map(len, columns.values()))) != 1:
            raise PayloadError("inference and probability disagree on rows")
        return [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]

    def _name_of(self, attribute: str) -> str:
        """Return the column's name: the output's at that index, or the last part of the path."""
        if is_index(attribute):
            index = int(attribute)
            return self._outputs[index] if index < len(self._outputs) else f"_c{index}"
        return attribute.rsplit(".", 1)[-1].strip('"')


def label_of(probability: Scalar, *, threshold: float) -> int | None:
    """Return 1 for a probability above the threshold, 0 for one at or below it.

    Examples
    --------
    >>> label_of(0.5, threshold=0.5), label_of("0.51", threshold=0.5), label_of(None, threshold=0.5)
    (0, 1, None)
    """
    cell = read_scalar(probability)
    if cell.is_missing or cell.kind > INTEGRAL + 1:
        return None
    return int(cell.number > threshold)


def _values(side: Side, attribute: str) -> list[Scalar]:
    """Return one value a row."""
    documents = documents_of(side.data, side.encoding)
    if documents.rows is not None:
        return [_cell(row, attribute) for row in documents.rows]
    values: list[Scalar] = []
    for document in documents.values or ():
        found = _search(attribute, document)
        for item in found if isinstance(found, list) else [found]:
            value = item[0] if isinstance(item, list) and len(item) == 1 else item
            if isinstance(value, (list, dict)):
                raise PayloadError("selection finds not one value a row")
            values.append(value)
    return values


def _cell(row: list[Scalar], attribute: str) -> Scalar:
    if not is_index(attribute) or int(attribute) >= len(row):
        raise PayloadError(_NOTHING)
    return row[int(attribute)]


def _search(attribute: str, document: Any) -> Any:
    if is_index(attribute):
        raise PayloadError("selection of a csv column in json")
    try:
        # Compiled expressions are cached by the library.
        found = jmespath.search(attribute, document)
        if found is None and isinstance(document, dict) and OUTPUT in document:
            found = jmespath.search(attribute, document[OUTPUT])
    except (JMESPathError, RecursionError) as error:
        # A function of the expression that does not take what is there.
        raise PayloadError(_NOTHING) from error
    if found is None or found == []:
        raise PayloadError(_NOTHING)
    return found


def target_model_of(attribute: str, record: dict[str, Any]) -> str | None:
    """Return the target model that a record names, fit for a variant's name; None if it does not.

    Examples
    --------
    >>> record = {"eventMetadata": {"targetModel": "eu/churn v2.tar.gz"}}
    >>> target_model_of("eventMetadata.targetModel", record)
    'eu-churn-v2'
    """
    try:
        found = jmespath.search(attribute, record)
    except (JMESPathError, RecursionError):
        return None
    if not isinstance(found, str):
        return None
    stem = found.strip("/").removesuffix(".tar.gz")
    return (
        "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in stem).split()) or None
    )
