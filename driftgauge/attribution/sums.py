"""Global attributions as exact sums: parts of a window add up in any order to the same bytes.

Besides the sum of magnitudes the sums of their products are kept: they give the mean of squares,
and how sure each share is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.attribution.values import Attributions
from driftgauge.errors import AttributionError
from driftgauge.profile.exact import UNIT_BITS, exact_row_sums, ratio_to_float, to_units

_MAGIC = b"DGAS"
_VERSION = 1
_MOST_BYTES = 1 << 28
_LONGEST_SUM = 512
_MOST_SHIFT = 4096
_MOST_ROWS = 2**48
_CELLS_AT_ONCE = 1 << 22
_ROWS_AT_ONCE = 1 << 16
# A magnitude whose square is still far from the end of float64.
_LARGEST = 2.0**400


@dataclass(frozen=True, kw_only=True)
class LabelSums:
    """The sums of one output of the model, in units of 2**-1074.

    Attributes
    ----------
    magnitudes : tuple of int, length features
        Sums of |phi_j|.
    products : tuple of int, length features * (features + 1) / 2
        Sums of |phi_i| |phi_j| for i <= j, row by row of the upper triangle.
    expected : int or None
        Sum of the expected value over rows; None: it is not known of some rows.
    """

    magnitudes: tuple[int, ...]
    products: tuple[int, ...]
    expected: int | None

    def __add__(self, other: LabelSums) -> LabelSums:
        known = self.expected is not None and other.expected is not None
        return LabelSums(
            magnitudes=tuple(a + b for a, b in zip(self.magnitudes, other.magnitudes, strict=True)),
            products=tuple(a + b for a, b in zip(self.products, other.products, strict=True)),
            expected=(self.expected or 0) + (other.expected or 0) if known else None,
        )


@dataclass(frozen=True, kw_only=True)
class AttributionSums:
    """The global attribution of some rows, such that parts add up exactly.

    Attributes
    ----------
    features, labels : tuple of str
    rows : int
        Rows that were explained.
    sums : tuple of LabelSums
        One for each label.
    """

    features: tuple[str, ...]
    labels: tuple[str, ...]
    rows: int
    sums: tuple[LabelSums, ...]

    @classmethod
    def empty(cls, features: tuple[str, ...], labels: tuple[str, ...]) -> AttributionSums:
        """Return the sums of no row: what adds nothing."""
        d = len(features)
        nothing = LabelSums(magnitudes=(0,) * d, products=(0,) * (d * (d + 1) // 2), expected=0)
        return cls(features=features, labels=labels, rows=0, sums=(nothing,) * len(labels))

    def __add__(self, other: AttributionSums) -> AttributionSums:
        if (self.features, self.labels) != (other.features, other.labels):
            raise AttributionError("attributions of different features or outputs cannot be added")
        return AttributionSums(
            features=self.features,
            labels=self.labels,
            rows=self.rows + other.rows,
            sums=tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
        )

    def means(self, label: str) -> NDArray[np.float64]:
        """Return the mean magnitude of each feature, Clarify's ``mean_abs``; NaN without rows."""
        return _means(self._of(label).magnitudes, self.rows)

    def mean_products(self, label: str) -> NDArray[np.float64]:
        """Return the mean products of magnitudes, shape (features, features); NaN without rows.

        The diagonal is Clarify's ``mean_sq``.
        """
        d = len(self.features)
        upper = np.triu_indices(d)
        matrix = np.empty((d, d))
        matrix[upper] = _means(self._of(label).products, self.rows)
        matrix.T[upper] = matrix[upper]
        return matrix

    def expected_value(self, label: str) -> float | None:
        """Return the model's expected output; None if it is not known."""
        total = self._of(label).expected
        if total is None or not self.rows:
            return None
        return ratio_to_float(total, self.rows << UNIT_BITS)

    def _of(self, label: str) -> LabelSums:
        if label not in self.labels:
            raise AttributionError(f"no output {label!r}; there are {', '.join(self.labels)}")
        return self.sums[self.labels.index(label)]


def _means(sums: tuple[int, ...], rows: int) -> NDArray[np.float64]:
    if not rows:
        return np.full(len(sums), np.nan)
    return np.array([ratio_to_float(total, rows << UNIT_BITS) for total in sums])


def sum_attributions(attributions: Attributions) -> AttributionSums:
    """Sum SHAP values over their rows.

    Raises
    ------
    AttributionError
        If a value is not finite, or so large that its square is not.

    Examples
    --------
    >>> values = np.array([[[-1.0, 0.5], [2.0, 0.5]]])
    >>> some = Attributions(features=("a", "b"), labels=("y",), values=values, expected=None)
    >>> sums = sum_attributions(some) + sum_attributions(some)
    >>> sums.rows, sums.means("y").tolist()
    (4, [1.5, 0.5])
    """
    values = np.abs(attributions.values)
    if not (values < _LARGEST).all():
        raise AttributionError("a SHAP value is not a finite number of usual size")
    expected = attributions.expected
    return AttributionSums(
        features=attributions.features,
        labels=attributions.labels,
        rows=attributions.rows,
        sums=tuple(
            LabelSums(
                magnitudes=tuple(_sums(values[k].T)),
                products=tuple(_product_sums(values[k].T)),
                expected=None
                if expected is None
                else attributions.rows * to_units(float(expected[k])),
            )
            for k in range(len(attributions.labels))
        ),
    )


def add_all(
    parts: Iterable[AttributionSums], *, features: tuple[str, ...], labels: tuple[str, ...]
) -> AttributionSums:
    """Add parts; the sum of none is empty."""
    return reduce(lambda a, b: a + b, parts, AttributionSums.empty(features, labels))


def _sums(lines: NDArray[np.float64]) -> list[int]:
    """Sum each line exactly."""
    totals = [0] * lines.shape[0]
    for start in range(0, lines.shape[1], _ROWS_AT_ONCE):
        part = lines[:, start : start + _ROWS_AT_ONCE].copy()
        sums = exact_row_sums(part, part.max(axis=1))
        totals = [a + b for a, b in zip(totals, sums, strict=True)]
    return totals


def _product_sums(lines: NDArray[np.float64]) -> list[int]:
    """Sum the products of all pairs of lines, in the order of the upper triangle."""
    first, second = np.triu_indices(lines.shape[0])
    step = max(1, _CELLS_AT_ONCE // max(1, min(lines.shape[1], _ROWS_AT_ONCE)))
    totals: list[int] = []
    for start in range(0, len(first), step):
        pairs = slice(start, start + step)
        here = [0] * len(first[pairs])
        for row in range(0, lines.shape[1], _ROWS_AT_ONCE):
            part = lines[:, row : row + _ROWS_AT_ONCE]
            sums = _sums(part[first[pairs]] * part[second[pairs]])
            here = [a + b for a, b in zip(here, sums, strict=True)]
        totals += here
    return totals


class _StoredLabel(msgspec.Struct, array_like=True, gc=False):
    sums: list[tuple[int, bytes]]
    expected: tuple[int, bytes] | None


class _Stored(msgspec.Struct, array_like=True, gc=False):
    features: list[str]
    labels: list[str]
    rows: int
    sums: list[_StoredLabel]


_DECODER = msgspec.msgpack.Decoder(_Stored)


def encode_sums(sums: AttributionSums) -> bytes:
    """Write sums. Equal sums give equal bytes."""
    stored = _Stored(
        features=list(sums.features),
        labels=list(sums.labels),
        rows=sums.rows,
        sums=[
            _StoredLabel(
                sums=[_packed(total) for total in (*label.magnitudes, *label.products)],
                expected=None if label.expected is None else _packed(label.expected),
            )
            for label in sums.sums
        ],
    )
    return _MAGIC + bytes([_VERSION]) + zlib.compress(msgspec.msgpack.encode(stored), 6)


def decode_sums(data: bytes) -> AttributionSums:
    """Read sums.

    Raises
    ------
    AttributionError
        If the bytes are no sums that this version reads, or are damaged.
    """
    stored = _read(data)
    d = len(stored.features)
    length = d + d * (d + 1) // 2
    unequal = len(stored.sums) != len(stored.labels) or any(
        len(label.sums) != length for label in stored.sums
    )
    if unequal or not 0 <= stored.rows <= _MOST_ROWS:
        raise AttributionError("damaged attributions: the sums do not fit the features")
    return AttributionSums(
        features=tuple(stored.features),
        labels=tuple(stored.labels),
        rows=stored.rows,
        sums=tuple(
            LabelSums(
                magnitudes=tuple(_unpacked(*total) for total in label.sums[:d]),
                products=tuple(_unpacked(*total) for total in label.sums[d:]),
                expected=None if label.expected is None else _unpacked(*label.expected),
            )
            for label in stored.sums
        ),
    )


def _read(data: bytes) -> _Stored:
    if data[:4] != _MAGIC:
        raise AttributionError("these bytes are no attributions")
    if data[4:5] != bytes([_VERSION]):
        raise AttributionError(
            f"attributions in another format than {_VERSION}: this driftgauge cannot read them"
        )
    inflate = zlib.decompressobj()
    try:
        payload = inflate.decompress(data[5:], _MOST_BYTES)
        if not inflate.eof:
            raise AttributionError("damaged attributions: they are cut off or too long")
        return _DECODER.decode(payload)
    except (zlib.error, msgspec.DecodeError) as error:
        raise AttributionError(f"damaged attributions: {error}") from error


def _packed(value: int) -> tuple[int, bytes]:
    """Return an integer as a power of two and the rest, little-endian."""
    shift = (value & -value).bit_length() - 1 if value else 0
    rest = value >> shift
    return shift, rest.to_bytes((rest.bit_length() + 8) // 8, "little", signed=True)


def _unpacked(shift: int, rest: bytes) -> int:
    if not (0 <= shift <= _MOST_SHIFT and len(rest) <= _LONGEST_SUM):
        raise AttributionError("damaged attributions: a sum is out of range")
    return int.from_bytes(rest, "little", signed=True) << shift
