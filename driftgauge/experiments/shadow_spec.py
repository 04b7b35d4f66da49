"""What pairs of predictions are counted by: fixed, so that all later counts add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.errors import ExperimentError
from driftgauge.quality.counts import LARGEST_NUMBER
from driftgauge.quality.outcomes import Problem, check_classes
from driftgauge.quality.spec import MOST_CLASSES, OutcomeSpec

# Bins of the difference of two scores: the middle one is centered on none.
_HALF: Final = 50
DIFFERENCE_BINS: Final = 2 * _HALF + 1
_SCORE_STEP: Final = 0.02
# So many bins on either side of the middle that the tolerance is an edge.
_STEPS_OF_TOLERANCE: Final = 5.5


@dataclass(frozen=True, kw_only=True)
class ShadowSpec:
    """What pairs of predictions are counted by.

    Attributes
    ----------
    problem : {"regression", "binary", "multiclass"}
    classes : tuple of str
        As in ``driftgauge.quality.outcomes.Outcomes``.
    tolerance : float or None
        Regression: numbers that differ by no more agree. None for classes, which agree if equal.
    segments : mapping of str to tuple of str
        The categories of each column that are counted on their own.

    Raises
    ------
    ExperimentError
        If there is no tolerance where one is needed, or one where none is.
    QualityError
        If the classes do not suit the problem.
    """

    problem: Problem
    classes: tuple[str, ...] = ()
    tolerance: float | None = None
    segments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_classes(self.problem, self.classes)
        if len(self.classes) > MOST_CLASSES:
            raise ExperimentError(
                f"{len(self.classes)} classes; at most {MOST_CLASSES} can be compared"
            )
        if self.problem != "regression":
            if self.tolerance is not None:
                raise ExperimentError("classes agree or not: a tolerance is for regression only")
        elif self.tolerance is None or not 0.0 < self.tolerance <= LARGEST_NUMBER:
            raise ExperimentError(
                "predicted numbers hardly ever are equal: give the tolerance, above 0, up to which "
                "two of them agree"
            )

    @cached_property
    def digest(self) -> bytes:
        """Eight bytes that differ for specifications that count differently."""
        return blake2b(msgspec.msgpack.encode(self), digest_size=8).digest()

    @cached_property
    def segment_names(self) -> tuple[tuple[str, str], ...]:
        """Column and category of every segment, in the order in which they are counted."""
        return tuple((column, word) for column, words in self.segments.items() for word in words)

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Edges between the bins of the difference; an edge belongs to the bin above it.

        Probabilities: 101 bins of 0.02. Numbers: 11 bins within the tolerance, and 45 of the same
        width on either side, those at the ends open.
        """
        step = _SCORE_STEP if self.tolerance is None else self.tolerance / _STEPS_OF_TOLERANCE
        found: NDArray[np.float64] = step * (np.arange(-_HALF, _HALF, dtype=np.float64) + 0.5)
        return found


def shadow_spec(spec: OutcomeSpec, *, tolerance: float | None = None) -> ShadowSpec:
    """Return what pairs are counted by: the classes and segments of a baseline's outcomes.

    Examples
    --------
    >>> shadow_spec(OutcomeSpec(problem="binary", classes=("no", "yes"))).classes
    ('no', 'yes')
    """
    return ShadowSpec(
        problem=spec.problem,
        classes=spec.classes,
        tolerance=tolerance,
        segments=dict(spec.segments),
    )
