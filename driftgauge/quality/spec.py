"""What outcomes are counted by: fixed by the baseline, so that all later counts add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.columns import Column
from driftgauge.errors import QualityError
from driftgauge.profile.words import LONGEST_WORD, canonical_word, count_words, number_word
from driftgauge.quality.outcomes import Outcomes, Problem, check_classes

MOST_SEGMENTS = 20
# Bins of a regression's predictions in which the size of the error is kept.
_PREDICTION_BINS = 32
_LEAST_ROWS_OF_A_BIN = 50
MOST_CLASSES = 200


@dataclass(frozen=True, kw_only=True)
class OutcomeSpec:
    """The classes, bins and segments that outcomes are counted by.

    Attributes
    ----------
    problem : {"regression", "binary", "multiclass"}
    classes : tuple of str
        As in ``Outcomes``.
    cuts : tuple of float
        Regression: increasing bounds between the bins of the prediction, which belong to the
        bin above them.
    center : float
        Regression: a number near the mean label; moments are taken about it.
    segments : mapping of str to tuple of str
        The categories of each column that are counted on their own.

    Raises
    ------
    QualityError
        If the classes do not suit the problem or there are too many.
    """

    problem: Problem
    classes: tuple[str, ...]
    cuts: tuple[float, ...] = ()
    center: float = 0.0
    segments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_classes(self.problem, self.classes)
        if len(self.classes) > MOST_CLASSES:
            raise QualityError(
                f"{len(self.classes)} classes; at most {MOST_CLASSES} can be counted: is the label "
                "a number, and the problem a regression?"
            )

    @cached_property
    def digest(self) -> bytes:
        """Eight bytes that differ for specifications that count differently."""
        return blake2b(msgspec.msgpack.encode(self), digest_size=8).digest()

    @cached_property
    def whole(self) -> OutcomeSpec:
        """The same without segments: what each segment is counted by."""
        return OutcomeSpec(
            problem=self.problem, classes=self.classes, cuts=self.cuts, center=self.center
        )

    @cached_property
    def segment_names(self) -> tuple[tuple[str, str], ...]:
        """Column and category of every segment, in the order in which they are counted."""
        return tuple((column, word) for column, words in self.segments.items() for word in words)


def specify_outcomes(outcomes: Outcomes, *more: Outcomes) -> OutcomeSpec:
    """Choose bins and segments from the baseline's outcomes, which may come in several parts.

    Of every column the 20 categories with most rows become segments. The predictions of a
    regression are cut at their quantiles into at most 32 bins of at least 50 rows.

    Examples
    --------
    >>> spec = specify_outcomes(
    ...     Outcomes(
    ...         problem="binary", classes=("no", "yes"), labels=np.zeros(3),
    ...         predictions=np.zeros(3), probabilities=None, segments={},
    ...     )
    ... )
    >>> spec.classes, spec.segment_names
    (('no', 'yes'), ())
    """
    parts = (outcomes, *more)
    totals: dict[str, Counter[str]] = {}
    for part in parts:
        for name, column in part.segments.items():
            totals.setdefault(name, Counter()).update(count_words(column))
    segments = {
        name: tuple(sorted(sorted(found, key=lambda word: (-found[word], word))[:MOST_SEGMENTS]))
        for name, found in totals.items()
        if found
    }
    cuts: tuple[float, ...] = ()
    center = 0.0
    if outcomes.problem == "regression":
        predictions = np.concatenate([part.predictions for part in parts])
        labels = np.concatenate([part.labels for part in parts])
        cuts = _quantiles(predictions[np.isfinite(predictions)])
        labels = labels[np.isfinite(labels)]
        center = float(np.median(labels)) if labels.size else 0.0
    return OutcomeSpec(
        problem=outcomes.problem,
        classes=outcomes.classes,
        cuts=cuts,
        center=center,
        segments=segments,
    )


def _quantiles(values: NDArray[np.float64]) -> tuple[float, ...]:
    bins = min(_PREDICTION_BINS, values.shape[0] // _LEAST_ROWS_OF_A_BIN)
    if bins < 2:
        return ()
    inner = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    cuts = np.unique(inner)
    return tuple(cuts[cuts > values.min()].tolist())


def category_index(column: Column, categories: tuple[str, ...]) -> NDArray[np.intp]:
    """Return each row's position among the categories, -1 for any other value.

    Examples
    --------
    >>> from driftgauge.columns import TypeCounts
    >>> ones = Column(numbers=np.array([1.0, 2.0]), types=TypeCounts(integral=2))
    >>> category_index(ones, ("0", "1")).tolist()
    [1, -1]
    """
    known = {word: i for i, word in enumerate(categories)}
    index = np.full(column.rows, -1, dtype=np.intp)
    if column.codes is not None:
        of_code = [known.get(canonical_word(word), -1) for word in column.words]
        index = np.array([*of_code, -1], dtype=np.intp)[column.codes]
    finite = np.isfinite(column.numbers)
    if finite.any():
        values, inverse = np.unique(column.numbers[finite], return_inverse=True)
        of_value = np.array([known.get(number_word(value), -1) for value in values.tolist()])
        index[finite] = of_value[inverse]
    return index


def encode_spec(spec: OutcomeSpec) -> bytes:
    """Write a specification as MessagePack."""
    return msgspec.msgpack.encode(spec)


def decode_spec(data: bytes) -> OutcomeSpec:
    """Read a specification.

    Raises
    ------
    QualityError
        If the bytes are none.
    """
    try:
        spec = msgspec.msgpack.decode(data, type=OutcomeSpec)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise QualityError(f"a specification of outcomes cannot be read: {error}") from error
    longest = max((len(word) for _, word in spec.segment_names), default=0)
    if longest > LONGEST_WORD or not np.all(np.diff(np.array((*spec.cuts, np.inf))) > 0):
        raise QualityError("a specification of outcomes has bad bins or segments")
    return spec
