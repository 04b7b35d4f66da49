"""What windows' outcomes are compared with: quality, bias and attributions of the baseline.

One file holds all of it, ``outcomes.msgpack``. Model Monitor's and Clarify's files beside it are
for people and for other programs; nothing reads them back.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import numpy as np

from driftgauge.attribution.files import encode_explanations, explanations_of
from driftgauge.attribution.reference import Reference
from driftgauge.attribution.rows import FeatureRows
from driftgauge.attribution.sums import AttributionSums, decode_sums, encode_sums
from driftgauge.checks.clarify_analysis import ClarifyAnalysis, decode_analysis, encode_analysis
from driftgauge.errors import BaselineError, DriftgaugeError, ObjectNotFoundError
from driftgauge.fairness.counts import BiasCounts, decode_bias_counts, encode_bias_counts
from driftgauge.quality.codec import decode_counts, encode_counts
from driftgauge.quality.counts import OutcomeCounts
from driftgauge.quality.files import (
    QualityConstraints,
    decode_quality_constraints,
    encode_quality_constraints,
    encode_quality_statistics,
)
from driftgauge.quality.spec import OutcomeSpec, decode_spec, encode_spec

OUTCOMES_FILE = "outcomes.msgpack"
_MAGIC = b"DGOB"
_VERSION = 1
_MOST_BYTES = 1 << 28
_LARGEST_EFFECT = 1e6
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True, eq=False)
class OutcomeBaseline:
    """The outcomes of a baseline; every part may be absent, and ``notes`` say why.

    Attributes
    ----------
    spec : OutcomeSpec or None
        What outcomes are counted by; None: they are not.
    counts : OutcomeCounts or None
        Labelled rows; None where only Model Monitor's constraints are left.
    constraints : QualityConstraints or None
        Thresholds for strict mode.
    bias : BiasCounts or None
        The same rows by facet.
    analysis : ClarifyAnalysis or None
        Their bias metrics, for strict mode.
    sums : AttributionSums or None
        Global attributions.
    explanations : mapping of str to mapping of str to float, or None
        Global SHAP values by output, where only Clarify's ``analysis.json`` is left.
    reference : Reference or None
        The rows that explanations replace unknown features by.
    design_effect : float
        How many times more the rows' loss varies between blocks of rows in their order than it
        would between blocks of independent rows; at least 1.
    notes : tuple of str
        What is absent, and why.
    """

    spec: OutcomeSpec | None = None
    counts: OutcomeCounts | None = None
    constraints: QualityConstraints | None = None
    bias: BiasCounts | None = None
    analysis: ClarifyAnalysis | None = None
    sums: AttributionSums | None = None
    explanations: Mapping[str, Mapping[str, float]] | None = None
    reference: Reference | None = None
    design_effect: float = 1.0
    notes: tuple[str, ...] = field(default=())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to compare a window with."""
        known = (self.spec, self.analysis, self.sums, self.explanations, self.reference)
        return all(part is None for part in known)


class _StoredReference(msgspec.Struct, array_like=True, gc=False):
    names: list[str]
    numbers: bytes
    codes: bytes | None
    words: list[list[str]]
    weights: bytes


class _Stored(msgspec.Struct, gc=False):
    spec: bytes | None
    counts: bytes | None
    constraints: bytes | None
    bias: bytes | None
    analysis: bytes | None
    sums: bytes | None
    explanations: dict[str, dict[str, float]] | None
    reference: _StoredReference | None
    design_effect: float
    notes: list[str]


_DECODER = msgspec.msgpack.Decoder(_Stored)


def encode_outcome_baseline(baseline: OutcomeBaseline) -> bytes:
    """Write an outcome baseline. Equal ones give equal bytes."""
    known = baseline.explanations
    stored = _Stored(
        spec=_if_known(encode_spec, baseline.spec),
        counts=_if_known(encode_counts, baseline.counts),
        constraints=_if_known(encode_quality_constraints, baseline.constraints),
        bias=_if_known(encode_bias_counts, baseline.bias),
        analysis=_if_known(encode_analysis, baseline.analysis),
        sums=_if_known(encode_sums, baseline.sums),
        explanations=None if known is None else {name: dict(of) for name, of in known.items()},
        reference=_if_known(_stored_reference, baseline.reference),
        design_effect=baseline.design_effect,
        notes=list(baseline.notes),
    )
    return _MAGIC + bytes([_VERSION]) + zlib.compress(msgspec.msgpack.encode(stored), 6)


def decode_outcome_baseline(data: bytes) -> OutcomeBaseline:
    """Read an outcome baseline.

    Raises
    ------
    BaselineError
        If the bytes are none that this version reads, or are damaged.
    """
    stored = _read(data)
    try:
        spec = _if_known(decode_spec, stored.spec)
        if not 1.0 <= stored.design_effect <= _LARGEST_EFFECT:
            raise BaselineError("its design effect is no number from 1 on")
        return OutcomeBaseline(
            spec=spec,
            counts=None if stored.counts is None else decode_counts(stored.counts, spec),
            constraints=_if_known(decode_quality_constraints, stored.constraints),
            bias=_if_known(decode_bias_counts, stored.bias),
            analysis=_if_known(decode_analysis, stored.analysis),
            sums=_if_known(decode_sums, stored.sums),
            explanations=stored.explanations,
            reference=_if_known(_read_reference, stored.reference),
            design_effect=stored.design_effect,
            notes=tuple(stored.notes),
        )
    except (DriftgaugeError, ValueError) as error:
        raise BaselineError(
            f"the outcomes of a baseline are damaged: {error}; put the training data there again"
        ) from error


def outcome_files(baseline: OutcomeBaseline) -> dict[str, bytes]:
    """Return all files of an outcome baseline by name, Model Monitor's and Clarify's included."""
    files = {OUTCOMES_FILE: encode_outcome_baseline(baseline)}
    if baseline.counts is not None and baseline.counts.labelled:
        files["quality/statistics.json"] = encode_quality_statistics(baseline.counts)
    if baseline.constraints is not None:
        files["quality/constraints.json"] = encode_quality_constraints(baseline.constraints)
    if baseline.analysis is not None:
        files["bias/analysis.json"] = encode_analysis(baseline.analysis)
    if baseline.sums is not None and baseline.sums.rows:
        files["explainability/analysis.json"] = encode_explanations(explanations_of(baseline.sums))
    return files


def read_outcome_baseline(read: Callable[[str], bytes]) -> OutcomeBaseline | None:
    """Read an outcome baseline; None if the baseline has none.

    Parameters
    ----------
    read : callable
        Returns a file of the baseline by its name, or raises ``ObjectNotFoundError``.

    Raises
    ------
    BaselineError
        As ``decode_outcome_baseline``.
    """
    try:
        data = read(OUTCOMES_FILE)
    except ObjectNotFoundError:
        return None
    return decode_outcome_baseline(data)


def _if_known(make: Callable[[Given], Made], given: Given | None) -> Made | None:
    return None if given is None else make(given)


def _read(data: bytes) -> _Stored:
    if data[:4] != _MAGIC:
        raise BaselineError("these bytes are no outcomes of a baseline")
    if data[4:5] != bytes([_VERSION]):
        raise BaselineError(
            f"outcomes of a baseline in another format than {_VERSION}: put the training data "
            "there again"
        )
    inflate = zlib.decompressobj()
    try:
        payload = inflate.decompress(data[5:], _MOST_BYTES)
        if not inflate.eof:
            raise BaselineError("the outcomes of a baseline are cut off or too long")
        return _DECODER.decode(payload)
    except (zlib.error, msgspec.DecodeError) as error:
        raise BaselineError(f"the outcomes of a baseline are damaged: {error}") from error


def _stored_reference(reference: Reference) -> _StoredReference:
    rows = reference.rows
    return _StoredReference(
        names=list(rows.names),
        numbers=rows.numbers.astype("<f8").tobytes(),
        codes=None if rows.codes is None else rows.codes.astype("<i4").tobytes(),
        words=[list(words) for words in rows.words],
        weights=reference.weights.astype("<f8").tobytes(),
    )


def _read_reference(stored: _StoredReference) -> Reference:
    weights = np.frombuffer(stored.weights, dtype="<f8")
    shape = (weights.shape[0], len(stored.names))
    codes = None
    if stored.codes is not None:
        codes = np.frombuffer(stored.codes, dtype="<i4").reshape(shape).astype(np.int32)
        most = np.array([len(words) for words in stored.words])
        if most.shape != shape[1:] or (codes < -1).any() or (codes >= most).any():
            raise BaselineError("a word of its reference rows is unknown")
    return Reference(
        rows=FeatureRows(
            names=tuple(stored.names),
            numbers=np.frombuffer(stored.numbers, dtype="<f8").reshape(shape).astype(np.float64),
            codes=codes,
            words=tuple(tuple(words) for words in stored.words),
        ),
        weights=weights.astype(np.float64),
    )
