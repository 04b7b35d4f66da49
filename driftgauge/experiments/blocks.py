"""An experiment's traffic in blocks of time: both arms of one block are compared with each other.

What changes with time, such as the mix of requests or the arms' shares of the traffic, so cannot
be mistaken for a difference between the arms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import ExperimentError
from driftgauge.experiments.arms import Arm, Segment, Sums

Side = Literal["champion", "challenger"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Both arms in one stretch of inference time.

    Attributes
    ----------
    start : datetime
        Start of the stretch.
    share : float
        Share of the traffic that the challenger should have received, above 0 and below 1. A block
        ends where the weights change.
    champion, challenger : Arm
        What they did.

    Raises
    ------
    ExperimentError
        If the share is no such number, or the start has no time zone.
    """

    start: datetime
    share: float
    champion: Arm
    challenger: Arm

    def __post_init__(self) -> None:
        if self.start.utcoffset() is None:
            raise ExperimentError(f"block of {self.start.isoformat()}: the time has no zone")
        if not 0.0 < self.share < 1.0:
            raise ExperimentError(
                f"block of {self.start.isoformat()}: the challenger's share of traffic is "
                f"{self.share}; in an experiment both arms receive some"
            )


@dataclass(frozen=True, kw_only=True)
class Series:
    """One metric's sums by block, as floats about a number near its mean.

    Attributes
    ----------
    center : float
        Subtracted from every value.
    champion_rows, challenger_rows : ndarray of float64, shape (..., blocks)
        Rows.
    champion_sums, challenger_sums : ndarray of float64, shape (..., blocks)
        Sums of (value - center).
    champion_squares, challenger_squares : ndarray of float64, shape (..., blocks)
        Sums of (value - center)^2.
    """

    center: float
    champion_rows: Floats
    challenger_rows: Floats
    champion_sums: Floats
    challenger_sums: Floats
    champion_squares: Floats
    challenger_squares: Floats

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.champion_rows.shape[-1])


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The blocks of an experiment, by start. ``a + b`` is exact, in any order and grouping."""

    by_start: Mapping[datetime, Block] = field(default_factory=lambda: MappingProxyType({}))

    def __add__(self, other: Blocks) -> Blocks:
        return blocks_of([*self, *other])

    def __iter__(self) -> Iterator[Block]:
        return (self.by_start[start] for start in sorted(self.by_start))

    def __len__(self) -> int:
        return len(self.by_start)

    @property
    def starts(self) -> tuple[datetime, ...]:
        """Starts of the blocks, in order."""
        return tuple(sorted(self.by_start))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Column and category of all segments, sorted."""
        return tuple(
            sorted({s for b in self for arm in (b.champion, b.challenger) for s in arm.segments})
        )

    def sums(self, side: Side, metric: str, segment: Segment | None = None) -> Sums:
        """Return one metric's sums over all blocks of one arm."""
        total = Sums()
        for block in self.by_start.values():
            total += _arm(block, side).of(metric, segment)
        return total

    def series(self, metric: str, segment: Segment | None = None) -> Series:
        """Return one metric's sums by block, in order of time."""
        sides: tuple[Side, Side] = ("champion", "challenger")
        sums = {side: [_arm(block, side).of(metric, segment) for block in self] for side in sides}
        total = Sums()
        for part in (*sums["champion"], *sums["challenger"]):
            total += part
        center = total.mean or 0.0
        moments = {
            side: np.array([one.about(center) for one in parts]).reshape(-1, 2)
            for side, parts in sums.items()
        }
        rows = {
            side: np.array([one.rows for one in parts], dtype=np.float64)
            for side, parts in sums.items()
        }
        return Series(
            center=center,
            champion_rows=rows["champion"],
            challenger_rows=rows["challenger"],
            champion_sums=moments["champion"][:, 0],
            challenger_sums=moments["challenger"][:, 0],
            champion_squares=moments["champion"][:, 1],
            challenger_squares=moments["challenger"][:, 1],
        )


def _arm(block: Block, side: Side) -> Arm:
    return block.champion if side == "champion" else block.challenger


def blocks_of(blocks: Iterable[Block]) -> Blocks:
    """Put blocks together; those with the same start add up.

    Raises
    ------
    ExperimentError
        If two blocks with the same start have different shares.
    """
    found: dict[datetime, Block] = {}
    for block in blocks:
        before = found.get(block.start)
        if before is None:
            found[block.start] = block
            continue
        if before.share != block.share:
            raise ExperimentError(
                f"block of {block.start.isoformat()}: the challenger's share is both "
                f"{before.share} and {block.share}; begin a block where the weights change"
            )
        found[block.start] = Block(
            start=block.start,
            share=block.share,
            champion=before.champion + block.champion,
            challenger=before.challenger + block.challenger,
        )
    return Blocks(by_start=found)
