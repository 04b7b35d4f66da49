"""The names of the columns in a captured payload that does not name them itself."""

from __future__ import annotations

from dataclasses import dataclass

from driftgauge.errors import CaptureError


@dataclass(frozen=True, kw_only=True)
class CaptureSchema:
    """Names of positional columns, in order.

    Attributes
    ----------
    inputs : tuple of str or None
        Columns of a CSV row (or JSON array) the endpoint received. None: name them ``_c0``,
        ``_c1``, ... after the outputs, as Model Monitor does.
    outputs : tuple of str or None
        Columns the endpoint returned. None: name them ``_c0``, ``_c1``, ... Empty: leave out what
        the endpoint returned, whatever it is.

    Notes
    -----
    Named values (JSON objects) keep their own names.

    Raises
    ------
    CaptureError
        If a name occurs twice.
    """

    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        names = (*(self.inputs or ()), *(self.outputs or ()))
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CaptureError(
                f"the columns {', '.join(map(repr, twice))} are named twice; give every input and "
                "output column a name of its own"
            )
