"""Ids of records as digests of fixed length, which sort, compare and store well."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

ID_BYTES = 16
# numpy drops NUL bytes at the end of a value it hands out, but compares, sorts and copies values
# of one length as the bytes they are.
ID_TYPE = np.dtype(f"S{ID_BYTES}")


def ids_of(event_ids: Iterable[str]) -> NDArray[np.bytes_]:
    """Return the BLAKE2b digests of record ids, 128 bits each.

    That two of a billion ids share a digest has a probability of about 10**-21.

    Examples
    --------
    >>> ids = ids_of(["a", "b", "a"])
    >>> ids.dtype.itemsize, bool(ids[0] == ids[2]), bool(ids[0] == ids[1])
    (16, True, False)
    """
    digests = b"".join(
        [
            blake2b(text.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).digest()
            for text in event_ids
        ]
    )
    return np.frombuffer(digests, dtype=ID_TYPE)


def known_among(ids: NDArray[np.bytes_], known: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Say which ids are among others.

    Parameters
    ----------
    ids : ndarray of S16, shape (n,)
    known : ndarray of S16, shape (m,)
        Sorted; may hold an id more than once.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if not known.size:
        return np.zeros(ids.shape[0], dtype=np.bool_)
    place = np.searchsorted(known, ids)
    place[place == known.shape[0]] = 0
    found: NDArray[np.bool_] = known[place] == ids
    return found


def run_starts(ids: NDArray[np.bytes_]) -> NDArray[np.intp]:
    """Return where each run of equal ids starts in a sorted array.

    Examples
    --------
    >>> run_starts(np.array([b"a", b"a", b"b"])).tolist()
    [0, 2]
    """
    if not ids.size:
        return np.zeros(0, dtype=np.intp)
    return np.concatenate((np.zeros(1, dtype=np.intp), np.flatnonzero(ids[1:] != ids[:-1]) + 1))
