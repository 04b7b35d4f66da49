"""What a recovered column is: the parts of a profile that belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftgauge.profile import profile as tally
from driftgauge.profile.profile import TALLIES, Profile
from driftgauge.profile.spec import FeatureSpec, InferredType, ProfileSpec
from driftgauge.report.statistics import FeatureStatistics

TYPES: Final[Mapping[str, InferredType]] = {
    "Integral": "Integral",
    "Fractional": "Fractional",
    "String": "String",
    "Unknown": "Unknown",
}
TALLY_OF_TYPE = {
    "Integral": tally.INTEGRAL,
    "Fractional": tally.FRACTIONAL,
    "String": tally.TEXT,
    "Unknown": tally.TEXT,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class RecoveredFeature:
    """What a profile holds of one column, see ``Profile``."""

    spec: FeatureSpec
    counts: NDArray[np.int64]
    tallies: NDArray[np.int64]
    extremes: tuple[float, float] = (np.inf, -np.inf)
    sums: tuple[int, int] = (0, 0)
    unseen: dict[str, int] = field(default_factory=dict)


def join_features(features: Iterable[RecoveredFeature], *, version: str, rows: int) -> Profile:
    """Make a profile of recovered columns."""
    found = tuple(features)
    return Profile(
        spec=ProfileSpec(version=version, features=tuple(one.spec for one in found)),
        rows=rows,
        counts=np.concatenate([one.counts for one in found]),
        tallies=np.array([one.tallies for one in found], dtype=np.int64),
        extremes=np.array([one.extremes for one in found], dtype=np.float64),
        sums=tuple(part for one in found for part in one.sums),
        unseen=tuple(one.unseen for one in found),
    )


def base_tallies(known: FeatureStatistics, rows: int, at: int) -> NDArray[np.int64]:
    """Return a column's tallies: what is missing, and all that is present as one type."""
    tallies = np.zeros(TALLIES, dtype=np.int64)
    tallies[tally.MISSING] = rows - known.present
    tallies[at] = known.present
    return tallies
