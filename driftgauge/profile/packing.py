"""Arrays of numbers as text, for baselines in JSON."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray


def pack_floats(values: NDArray[np.float64]) -> str:
    """Write an array as little-endian float32 in base64, by rows.

    Examples
    --------
    >>> unpack_floats(pack_floats(np.array([[0.5, 1.0], [-2.0, 4.0]]))).tolist()
    [0.5, 1.0, -2.0, 4.0]
    """
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def unpack_floats(text: str) -> NDArray[np.float64]:
    """Read what ``pack_floats`` wrote, as a flat array.

    Raises
    ------
    ValueError
        If the text is not base64, or no whole number of values.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float64)
