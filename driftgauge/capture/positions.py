"""Which column a position stands for: what a monitor names, and what its baseline knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from driftgauge.capture.schema import CaptureSchema
from driftgauge.capture.settings import CaptureSettings, is_index
from driftgauge.capture.text_names import captured_names

_RANGE = re.compile(r"([0-9]{1,4})\s*-\s*([0-9]{1,4})")
# A path that ends with one value of the array of features: ``instances[*].features[3]``.
_ELEMENT = re.compile(r"(?:.*\.)?features\[([0-9]{1,4})\]")


def schema_of(
    capture: CaptureSettings, *, columns: Sequence[str], outputs: Sequence[str]
) -> CaptureSchema:
    """Name the positional columns: what the monitor says, else what the baseline knows.

    Parameters
    ----------
    capture : CaptureSettings
    columns, outputs : sequence of str
        All columns of the baseline in its order, and those of them that are outputs.

    Examples
    --------
    >>> schema_of(CaptureSettings(), columns=("score", "age"), outputs=("score",)).inputs
    ('age',)
    """
    names = captured_names(columns)
    first = capture.order == "output-first"
    returned = capture.outputs or captured_names(outputs) or None
    if capture.inputs is None and returned is None:
        return CaptureSchema(columns=names or None, outputs_first=first)
    given = capture.inputs or tuple(name for name in names if name not in (returned or ()))
    return CaptureSchema(inputs=given or None, outputs=returned, outputs_first=first)


def excluded_columns(
    capture: CaptureSettings, *, columns: Sequence[str], outputs: Sequence[str]
) -> tuple[str, ...]:
    """Return the names of the columns that ``select.exclude`` means.

    An entry that is the name of a column means that column. Else an index counts the columns from
    0 in the order of ``capture.order``, a range ``0-3`` includes both ends, ``features[3]`` counts
    the inputs, and another JMESPath expression means the column it ends with. What fits no column
    stays as it is, and an index too large is the name such a column would get.

    Parameters
    ----------
    capture : CaptureSettings
    columns, outputs : sequence of str
        As in ``schema_of``.

    Examples
    --------
    >>> capture = CaptureSettings.model_validate(
    ...     {"select": {"exclude": ["age", 0, "2-3", "instances[*].zip"]}}
    ... )
    >>> names = ("score", "age", "plan", "city", "zip")
    >>> excluded_columns(capture, columns=names, outputs=("score",))
    ('age', 'score', 'plan', 'city', 'zip')
    """
    schema = schema_of(capture, columns=columns, outputs=outputs)
    inputs = schema.inputs or ()
    ordered = schema.columns or (
        (*(schema.outputs or ()), *inputs)
        if schema.outputs_first
        else (*inputs, *(schema.outputs or ()))
    )
    known = {*columns, *ordered}
    found = (
        name
        for entry in capture.select.exclude
        for name in ([entry] if entry in known else _meant(entry, ordered, inputs or ordered))
    )
    return tuple(dict.fromkeys(found))


def _meant(entry: str, ordered: Sequence[str], inputs: Sequence[str]) -> Iterator[str]:
    """Yield the names of the columns that an entry means that is no name itself."""
    span = _RANGE.fullmatch(entry)
    element = _ELEMENT.fullmatch(entry)
    if is_index(entry):
        yield _at(int(entry), ordered)
    elif span is not None and int(span[1]) <= int(span[2]):
        for index in range(int(span[1]), int(span[2]) + 1):
            yield _at(index, ordered)
    elif element is not None and int(element[1]) < len(inputs):
        yield inputs[int(element[1])]
    else:
        parts = [part.strip('"') for part in entry.split(".")]
        # The longest end that is a column: nested values have dotted names.
        ends = (".".join(parts[i:]) for i in range(1, len(parts)))
        yield next((end for end in ends if end in ordered), entry)


def _at(index: int, names: Sequence[str]) -> str:
    return names[index] if index < len(names) else f"_c{index}"
