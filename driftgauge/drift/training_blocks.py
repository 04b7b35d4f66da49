"""How the training data varied from block to block, for a monitor that has seen no window yet.

Traffic comes in clusters, and how much more its windows differ than independent rows would must
be learnt from windows. Before there are any, the training data stand in: cut into blocks of rows as
they follow each other, which is their order of time if nobody shuffled them. Shuffled rows
show no clusters, and the first windows are judged as if rows were independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.drift.scores import score_layout
from driftgauge.profile.build import profile_columns
from driftgauge.profile.packing import pack_floats, unpack_floats
from driftgauge.profile.profile import Profile

_MOST_BLOCKS: Final = 64
_FEWEST_BLOCKS: Final = 8
_FEWEST_ROWS: Final = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingBlocks:
    """Score sums of the training data, block by block in the order of its rows.

    Attributes
    ----------
    rows : ndarray of float64, shape (B,)
        Rows of each block.
    sums : ndarray of float64, shape (B, S)
        See ``ScoreLayout.baseline``.
    """

    rows: NDArray[np.float64]
    sums: NDArray[np.float64]

    def of_size(self, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Join neighboring blocks to windows of about so many rows.

        Returns
        -------
        sums, rows : ndarray of float64, shapes (W, S) and (W,), or None
            None if fewer than eight windows of that size come out.
        """
        each = max(1, round(rows / float(self.rows.mean())))
        windows = self.rows.shape[0] // each
        if windows < _FEWEST_BLOCKS:
            return None
        used = windows * each
        joined = self.sums[:used].reshape(windows, each, -1).sum(axis=1)
        return joined, self.rows[:used].reshape(windows, each).sum(axis=1)


def cut_training_data(profile: Profile, columns: Mapping[str, Column], rows: int) -> list[Profile]:
    """Profile at most 64 blocks of neighboring rows.

    Parameters
    ----------
    profile : Profile
        The training data's.
    columns : mapping of str to Column
        The training data.
    rows : int
        Its rows; fewer than eight blocks of 50 are too few, and there is none.
    """
    blocks = min(_MOST_BLOCKS, rows // _FEWEST_ROWS)
    if blocks < _FEWEST_BLOCKS:
        return []
    edges = np.linspace(0, rows, blocks + 1).astype(np.intp).tolist()
    parts = []
    for first, end in pairwise(edges):
        part = {name: column.take(slice(first, end)) for name, column in columns.items()}
        parts.append(profile_columns(profile.spec, part, rows=end - first))
    return parts


def sum_blocks(profile: Profile, parts: Sequence[Profile]) -> TrainingBlocks | None:
    """Sum the scores of blocks; None if there is none."""
    if not parts:
        return None
    layout = score_layout(profile)
    return TrainingBlocks(
        rows=np.array([part.rows for part in parts], dtype=np.float64),
        sums=np.stack([layout.sums(part) for part in parts]),
    )


def encode_blocks(blocks: TrainingBlocks) -> dict[str, str]:
    """Write blocks for a JSON document: little-endian float32 as base64."""
    return {"rows": pack_floats(blocks.rows), "sums": pack_floats(blocks.sums)}


def decode_blocks(document: Mapping[str, str], profile: Profile) -> TrainingBlocks:
    """Read blocks.

    Raises
    ------
    ValueError
        If they do not fit the baseline's profile.
    """
    rows = unpack_floats(document.get("rows", ""))
    sums = unpack_floats(document.get("sums", ""))
    slots = score_layout(profile).baseline.shape[0]
    if not rows.size or sums.size != rows.size * slots or not np.isfinite(sums).all():
        raise ValueError("the blocks of the training data do not fit its columns")
    if not (np.isfinite(rows).all() and rows.min() > 0):
        raise ValueError("an impossible number of rows in a block of the training data")
    return TrainingBlocks(rows=rows, sums=sums.reshape(rows.size, slots))
