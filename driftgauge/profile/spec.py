"""What a profile counts: one specification per column, fixed by the baseline.

Profiles can be added because every one of them counts in the same cells. The cells are chosen
once, from the training data, and travel with the baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from driftgauge.profile.joint import JointSpec
from driftgauge.profile.resolution import Resolution

Kind = Literal["numeric", "discrete", "categorical", "boolean"]
Role = Literal["input", "output"]
InferredType = Literal["Integral", "Fractional", "String", "Unknown"]


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """How one column is counted.

    Attributes
    ----------
    name : str
        The column's name.
    role : {"input", "output"}
        Whether the endpoint received or returned it.
    kind : {"numeric", "discrete", "categorical", "boolean"}
        ``numeric``: cells between ``edges``. ``discrete`` (a numeric column with few distinct
        values): one cell for each of ``edges``, one for each gap between, below and above them.
        ``categorical`` and ``boolean``: one cell for each of ``categories``; other values are
        counted as unseen.
    inferred_type : {"Integral", "Fractional", "String", "Unknown"}
        Model Monitor's type of the column in the training data.
    edges : tuple of float
        Strictly increasing. ``numeric``: K edges make K + 1 half-open cells, ``(-inf, e0)``,
        ``[e0, e1)``, ... and ``[eK-1, inf)``. ``discrete``: the K distinct values; cell 2i + 1
        is value i, even cells are the gaps: 2K + 1 cells.
    categories : tuple of str
        Sorted. For ``boolean`` ``("false", "true")``.
    center : float
        The baseline's mean; moments are sums of powers of (value - center).
    scale : float
        The baseline's population standard deviation, in the column's unit; 1.0 if it is zero.
    resolution : Resolution, optional
        Numeric and discrete columns: how the cells are cut into those that values are counted
        in. Decisions know only the cells between ``edges``.
    """

    name: str
    role: Role
    kind: Kind
    inferred_type: InferredType
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    center: float = 0.0
    scale: float = 1.0
    resolution: Resolution | None = None

    @property
    def cells(self) -> int:
        """Number of cells that decisions are made on (unseen categories not included)."""
        if self.kind == "numeric":
            return len(self.edges) + 1
        if self.kind == "discrete":
            return 2 * len(self.edges) + 1
        return len(self.categories)


@dataclass(frozen=True, kw_only=True)
class ProfileSpec:
    """How a whole row is counted.

    ``version`` names the baseline it came from; ``joint`` says which sums over whole rows are kept,
    None for none.
    """

    version: str
    features: tuple[FeatureSpec, ...]
    joint: JointSpec | None = None

    def __getitem__(self, name: str) -> FeatureSpec:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the input columns, in order."""
        return tuple(feature.name for feature in self.features if feature.role == "input")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output columns, in order."""
        return tuple(feature.name for feature in self.features if feature.role == "output")
