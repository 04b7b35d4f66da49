"""Which cells of a column are the same: told by keys of 64-bit words, without an object a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.grid import PADDING, Index
from driftgauge.capture.types import Cell

Words = NDArray[np.uint64]
# The words of the keys, all of one shape.
Keys = list[Words]

# Pieces longer than this have no key.
LONGEST_KEY: Final = PADDING - 8
_TABLE_BITS = 14
# A table of few keys is tried to be so many bits larger than their number, and stays in the cache.
_SPARE_BITS = 3
# Where the words of a column are looked for first.
_FIRST_ROWS = 4096
_MIXERS = tuple(
    np.array([(seed + 2 * i) * 0x9E3779B97F4A7C15 % 2**64 | 1 for i in range(8)], dtype=np.uint64)
    for seed in (1, 0x5851F42D4C957F2D, 0x14057B7EF767814F)
)
# All ones above so many bytes: no byte of UTF-8 is all ones.
_HIGH_BYTES = np.array([2**64 - (1 << (8 * n)) for n in range(9)], dtype=np.uint64)
# No key: after a byte of all ones come others.
_NO_KEY = np.uint64(0xFF)
_MOST_KNOWN = 512


def keys_of(data: bytearray, starts: Index, lengths: Index) -> Keys:
    """Return a key for each piece: two pieces have the same key if they are the same.

    Parameters
    ----------
    data : bytearray
        UTF-8, with ``PADDING`` bytes behind the last piece.
    starts, lengths : ndarray of int, any shape
        Where the pieces are; none is longer than ``LONGEST_KEY``.
    """
    # Any eight bytes of the data as a number, at any offset.
    sliding: Words = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
    longest = int(lengths.max())
    keys = [sliding[starts]]
    keys[0] |= _HIGH_BYTES.take(lengths if longest <= 8 else np.minimum(lengths, 8), mode="clip")
    for offset in range(8, longest, 8):
        key = sliding[starts + offset]
        key |= _HIGH_BYTES[np.clip(lengths - offset, 0, 8)]
        keys.append(key)
    return keys


def number_keys(keys: Keys) -> list[tuple[Index, Index]] | None:
    """Give each distinct key of a column a number, in order of first appearance.

    A key is looked up in a table by its hash; the table holds the first place of each hash, and
    the key there is compared with the others, so that two keys with one hash are noticed.

    Parameters
    ----------
    keys : list of ndarray of uint64, shape (rows, columns)

    Returns
    -------
    list of tuple of ndarray, or None
        For each column the number of each key, shape (rows,), and the row where each number
        appears first, shape (distinct keys,). None if the hashes do not tell.

    Examples
    --------
    >>> [(numbers, firsts)] = number_keys([np.array([[7], [5], [7]], dtype=np.uint64)])
    >>> numbers.tolist(), firsts.tolist()
    ([0, 1, 0], [0, 1])
    """
    columns = keys[0].shape[1]
    flat = [key.ravel() for key in keys]
    places = np.arange(flat[0].shape[0])
    first = _first_places(flat, places, columns)
    if first is None:
        return None
    firsts = np.flatnonzero(first == places)
    numbers = np.zeros(places.shape[0], dtype=np.intp)
    found = []
    for column in range(columns):
        own = firsts[firsts % columns == column]
        numbers[own] = np.arange(own.shape[0])
        found.append((numbers[first[column::columns]], own // columns))
    return found


def number_objects(cells: Sequence[bytes]) -> tuple[Index, Index]:
    """Give each distinct piece of one column a number, see ``number_keys``."""
    seen: dict[bytes, int] = {}
    codes = np.array([seen.setdefault(cell, len(seen)) for cell in cells], dtype=np.intp)
    _, firsts = np.unique(codes, return_index=True)
    return codes, firsts


def _first_places(keys: Keys, places: Index, columns: int) -> Index | None:
    """Return for each key where it is first in its column; None if the hashes do not tell.

    Parameters
    ----------
    keys : list of ndarray of uint64, shape (rows * columns,)
        The words of the keys, row by row.
    places : ndarray of int, shape (rows * columns,)
        0, 1, 2, ...
    """
    table = np.empty(columns << _TABLE_BITS, dtype=np.intp)
    own_part = np.arange(columns) << _TABLE_BITS
    for mixers in _MIXERS:
        slots = (_slots(keys, mixers, _TABLE_BITS).reshape(-1, columns) | own_part).ravel()
        table[slots[::-1]] = places[::-1]  # the last assignment wins: the first place
        first: Index = table[slots]
        if all(bool((key[first] == key).all()) for key in keys):
            return first
    return None


def _slots(keys: Keys, mixers: Words, bits: int) -> Index:
    """Return hashes: the highest bits of products, to which all bits of a key contribute."""
    mixed = keys[0] * mixers[0]
    for key, mixer in zip(keys[1:], mixers[1:], strict=False):
        mixed ^= key * mixer
    mixed >>= np.uint64(64 - bits)
    slots: Index = mixed.view(np.intp)  # they are small
    return slots


class KnownCells:
    """The cells of one column that were seen before; most columns hold few different words.

    Where all cells of a column are known, a look at a table gives their numbers. What is known
    changes the speed and never the result.
    """

    def __init__(self) -> None:
        self._cells: list[Cell] = []
        self._known: Keys = []
        self._mixers: Words | None = None
        self._bits = 0
        self._keys: Keys = []
        self._codes: Index = np.empty(0, dtype=np.intp)

    def number(self, keys: Keys) -> tuple[NDArray[np.int32], list[Cell]] | None:
        """Return the cells of a column as numbers; None if some are new.

        Parameters
        ----------
        keys : list of ndarray of uint64, shape (rows,)

        Returns
        -------
        tuple of ndarray and list of Cell, or None
            The number of each cell, shape (rows,), and the cell of each number.
        """
        if self._mixers is None or len(keys) != len(self._keys):
            return None
        slots = _slots(keys, self._mixers, self._bits)
        for key, known in zip(keys, self._keys, strict=True):
            if not np.array_equal(known.take(slots, mode="clip"), key):
                return None
        order = self._order(slots)
        numbers = np.zeros(len(self._cells), dtype=np.int32)
        numbers[order] = np.arange(order.shape[0], dtype=np.int32)
        numbers = numbers.take(self._codes)
        return numbers.take(slots, mode="clip"), [self._cells[code] for code in order.tolist()]

    def _order(self, slots: Index) -> Index:
        """Return the positions of the cells that occur, in order of first appearance."""
        rows = slots.shape[0]
        # Most often the first rows have all of them.
        for some in (_FIRST_ROWS, rows):
            codes = self._codes.take(slots[:some], mode="clip")
            first = np.full(len(self._cells), rows)
            first[codes[::-1]] = np.arange(codes.shape[0] - 1, -1, -1)  # the last assignment wins
            if some >= rows or int(first.max()) < rows:
                break
        order = np.argsort(first, kind="stable")
        return order[: np.count_nonzero(first < rows)]

    def learn(self, keys: Keys, cells: Sequence[Cell]) -> None:
        """Remember distinct cells; too many different ones are not worth it.

        Parameters
        ----------
        keys : list of ndarray of uint64, shape (cells,)
        cells : sequence of Cell
        """
        if len(keys) != len(self._known):
            self._cells, self._known = [], [key[:0] for key in keys]
        self._mixers = None
        if len(self._cells) + len(cells) > 2 * _MOST_KNOWN:
            self._cells, self._known = [], []
            return
        joined = [np.concatenate(pair) for pair in zip(self._known, keys, strict=True)]
        _, chosen = np.unique(np.stack(joined, axis=1), axis=0, return_index=True)
        chosen.sort()
        known = [key[chosen] for key in joined]
        if chosen.shape[0] > _MOST_KNOWN:
            return
        every = [*self._cells, *cells]
        self._cells, self._known = [every[i] for i in chosen.tolist()], known
        few = min(_TABLE_BITS, chosen.shape[0].bit_length() + _SPARE_BITS)
        for bits in range(few, _TABLE_BITS + 1):
            for mixers in _MIXERS:
                slots = _slots(known, mixers, bits)
                if np.unique(slots).shape[0] == slots.shape[0]:
                    self._fill(slots, mixers, bits)
                    return

    def _fill(self, slots: Index, mixers: Words, bits: int) -> None:
        self._mixers, self._bits = mixers, bits
        self._keys = [np.full(1 << bits, _NO_KEY) for _ in self._known]
        for table, key in zip(self._keys, self._known, strict=True):
            table[slots] = key
        self._codes = np.zeros(1 << bits, dtype=np.intp)
        self._codes[slots] = np.arange(slots.shape[0])
