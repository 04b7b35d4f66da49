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
        Columns the endpoint returned. None: name them ``_c0``, ``_c1``, ...
    columns : tuple of str or None
        All columns of a baseline that does not tell outputs from inputs, in its order: used
        where ``inputs`` is None.
    outputs_first : bool
        Whether outputs are numbered, and stand in ``columns``, before the inputs.

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
    columns: tuple[str, ...] | None = None
    outputs_first: bool = True

    def __post_init__(self) -> None:
        names = (*(self.inputs or ()), *(self.outputs or ()))
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CaptureError(
                f"the columns {', '.join(map(repr, twice))} are named twice; give every input and "
                "output column a name of its own"
            )

    def name_sides(
        self, *, inputs: int | None, outputs: int | None
    ) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        """Name the columns of both sides, given how many values each has by position.

        Parameters
        ----------
        inputs, outputs : int or None
            How many; None if the side was not captured, or names its values itself.

        Returns
        -------
        inputs, outputs : tuple of str or None
            What the schema says, else the names in ``columns`` if they are as many as there are
            values, else numbers. None if there is nothing to name.

        Examples
        --------
        >>> CaptureSchema(columns=("churn", "age", "plan")).name_sides(inputs=2, outputs=1)
        (('age', 'plan'), ('churn',))
        >>> CaptureSchema(outputs_first=False).name_sides(inputs=2, outputs=1)
        (('_c0', '_c1'), ('_c2',))
        """
        given, returned = self.inputs, self.outputs
        if given is None and inputs is not None and self.columns is not None:
            known = self.columns
            if returned is None and len(known) == inputs + (outputs or 0):
                split = (outputs or 0) if self.outputs_first else inputs
                first, second = known[:split], known[split:]
                if not self.outputs_first:
                    first, second = second, first
                return second, first if outputs is not None else None
            # The baseline knows the inputs alone: rows of another width are rejected.
            given = known
        if self.outputs_first:
            returned = _numbered(0, outputs) if returned is None else returned
            given = _numbered(len(returned or ()), inputs) if given is None else given
        else:
            given = _numbered(0, inputs) if given is None else given
            returned = _numbered(len(given or ()), outputs) if returned is None else returned
        return given, returned


def _numbered(first: int, width: int | None) -> tuple[str, ...] | None:
    return None if width is None else tuple(f"_c{i}" for i in range(first, first + width))
