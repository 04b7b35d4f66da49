"""Baselines: what training data looked like, as windows are compared with it.

A baseline is three files: ``baseline.json`` (the cells of each column and the profile of the
training data in them), and Model Monitor's ``statistics.json`` and ``constraints.json``.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftgauge.capture.text import looks_like_text, measure_texts
from driftgauge.capture.text_names import with_text_parts
from driftgauge.checks.constraints import (
    Constraints,
    decode_constraints,
    encode_constraints,
    suggest_constraints,
)
from driftgauge.columns import Column, TypeCounts
from driftgauge.drift.importance import label_associations
from driftgauge.drift.joint_clusters import (
    JointClusters,
    decode_clusters,
    encode_clusters,
    learn_clusters,
)
from driftgauge.drift.training_blocks import (
    TrainingBlocks,
    cut_training_data,
    decode_blocks,
    encode_blocks,
    sum_blocks,
)
from driftgauge.errors import BaselineError, ProfileError
from driftgauge.profile.build import profile_columns
from driftgauge.profile.cells import choose_feature, finite_numbers
from driftgauge.profile.codec import decode_profile, encode_profile
from driftgauge.profile.joint import check_joint, joint_moments
from driftgauge.profile.joint_choice import (
    JointChance,
    choose_joint,
    decode_chance,
    encode_chance,
    learn_chance,
)
from driftgauge.profile.profile import Profile
from driftgauge.profile.spec import FeatureSpec, ProfileSpec, Role
from driftgauge.report.model_monitor import encode_statistics
from driftgauge.windows import format_time, parse_time

if TYPE_CHECKING:
    from driftgauge.capture.table import Table
    from driftgauge.config import FeatureSettings

BASELINE_FILE = "baseline.json"
STATISTICS_FILE = "statistics.json"
CONSTRAINTS_FILE = "constraints.json"
# Of baseline.json; the profile in it has a version of its own.
_VERSION = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """What windows are compared with.

    Attributes
    ----------
    spec : ProfileSpec
        How rows are counted.
    profile : Profile
        The training data, counted so.
    constraints : Constraints
        What a window must fulfil; users may edit the file.
    statistics : bytes
        ``statistics.json``.
    created : datetime
        When the baseline was made, in UTC.
    importances : mapping of str to float
        Each input's share of what the inputs tell about the label, see ``drift.importance``; empty
        where the label is unknown.
    joint : JointChance or None
        What sums over whole rows of the training data do by chance, if the specification has any.
    blocks : TrainingBlocks or None
        How the training data varied in the order of its rows; None if there are too few.
    clusters : JointClusters or None
        The same of how columns go together.
    """

    spec: ProfileSpec
    profile: Profile
    constraints: Constraints
    statistics: bytes
    created: datetime
    importances: Mapping[str, float] = field(default_factory=dict)
    joint: JointChance | None = None
    blocks: TrainingBlocks | None = None
    clusters: JointClusters | None = None

    @property
    def version(self) -> str:
        """The baseline's name."""
        return self.spec.version


class _Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: int
    created: str
    spec: ProfileSpec
    profile: str
    importances: dict[str, float] = {}
    joint: dict[str, str] | None = None
    blocks: dict[str, str] | None = None
    clusters: dict[str, str] | None = None


def build_baseline(
    tables: Iterable[Table],
    *,
    version: str,
    outputs: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    overrides: Mapping[str, FeatureSettings] | None = None,
    label: str | None = None,
    created: datetime,
) -> Baseline:
    """Make a baseline of training data.

    All columns are held in memory: eight bytes a value.

    Parameters
    ----------
    tables : iterable of Table
        The training data in pieces; a column that a piece lacks is missing in its rows.
    version : str
        Name of the new baseline.
    outputs : tuple of str
        Columns that the model returns; all others are inputs.
    exclude : tuple of str
        Columns to leave out, such as the label.
    overrides : mapping of str to FeatureSettings, optional
        The user's ``kind`` of columns.
    label : str, optional
        The column that is the truth, to weigh the inputs by. To leave it out of the baseline is
        up to ``exclude``; data without it is fine.
    created : datetime
        Now.

    Raises
    ------
    BaselineError
        If there is no row or no column, a name is not a column of the data, or a column cannot
        be counted as the kind the user says.
    """
    rows, raw = _join(tables)
    settings_of = overrides or {}
    texts = _texts_of(raw, exclude, settings_of)
    columns = measure_texts(raw, texts)
    check_names({**raw, **columns}, outputs, exclude, settings_of)
    outputs = with_text_parts(outputs, texts)
    used = {name: column for name, column in columns.items() if name not in exclude}
    if not used:
        raise BaselineError("every column of the training data is excluded: keep at least one")
    features = []
    for name, column in used.items():
        settings = settings_of.get(name)
        kind = settings.kind if settings else None
        role: Role = "output" if name in outputs else "input"
        features.append(choose_feature(name, role, column, None if kind == "text" else kind))
    spec = ProfileSpec(version=version, features=tuple(features))
    importances = _importances(columns, label, spec)
    ignored = frozenset(name for name, settings in settings_of.items() if settings.ignore)
    joint = choose_joint(features, used, rows=rows, ignored=ignored, importances=importances)
    spec = replace(spec, joint=joint)
    # Its own statistics are exact, and windows are compared by cells alone.
    profile = replace(profile_columns(spec, used, rows=rows), detail=None)
    values = {
        feature.name: finite_numbers(used[feature.name])
        for feature in features
        if feature.kind in ("numeric", "discrete")
    }
    parts = cut_training_data(profile, used, rows)
    chance, clusters = None, None
    if joint is not None:
        moments = joint_moments(joint, profile.joint)
        chance = learn_chance(joint, used, rows, moments)
        clusters = learn_clusters(joint, chance, moments, [part.joint for part in parts])
    return Baseline(
        spec=spec,
        profile=profile,
        constraints=suggest_constraints(profile),
        statistics=encode_statistics(profile, values=values),
        created=created,
        importances=importances,
        joint=chance,
        blocks=sum_blocks(profile, parts),
        clusters=clusters,
    )


def _importances(
    columns: Mapping[str, Column], label: str | None, spec: ProfileSpec
) -> dict[str, float]:
    if label is None or label not in columns:
        return {}
    inputs = [name for name in spec.inputs if name != label]
    return label_associations(columns, columns[label], inputs)


def encode_baseline(baseline: Baseline) -> bytes:
    """Write ``baseline.json``; statistics and constraints are files of their own."""
    document = _Document(
        version=_VERSION,
        created=format_time(baseline.created),
        spec=baseline.spec,
        profile=base64.b64encode(encode_profile(baseline.profile)).decode("ascii"),
        importances=dict(baseline.importances),
        joint=None if baseline.joint is None else encode_chance(baseline.joint),
        blocks=None if baseline.blocks is None else encode_blocks(baseline.blocks),
        clusters=None if baseline.clusters is None else encode_clusters(baseline.clusters),
    )
    return msgspec.json.encode(document)


def decode_baseline(data: bytes, *, constraints: bytes, statistics: bytes) -> Baseline:
    """Read a baseline from the bytes of its three files.

    Raises
    ------
    BaselineError
        If one of them cannot be read.
    """
    remedy = "build the baseline again from its training data"
    try:
        document = msgspec.json.decode(data, type=_Document)
        if document.version != _VERSION:
            raise BaselineError(
                f"baseline.json is of version {document.version}, this driftgauge reads version "
                f"{_VERSION}: {remedy}"
            )
        _check_spec(document.spec)
        stored = base64.b64decode(document.profile, validate=True)
        profile = decode_profile(stored, document.spec)
        created = parse_time(document.created)
        joint = _read_chance(document)
        blocks = None if document.blocks is None else decode_blocks(document.blocks, profile)
        clusters = _read_clusters(document)
        if not all(0.0 <= weight < math.inf for weight in document.importances.values()):
            raise ValueError("an importance is negative or infinite")
    except (msgspec.MsgspecError, ProfileError, binascii.Error, ValueError) as error:
        raise BaselineError(f"baseline.json cannot be read ({error}): {remedy}") from error
    return Baseline(
        spec=document.spec,
        profile=profile,
        constraints=decode_constraints(constraints),
        statistics=statistics,
        created=created,
        importances=document.importances,
        joint=joint,
        blocks=blocks,
        clusters=clusters,
    )


def write_baseline(baseline: Baseline, write: Callable[[str, bytes], None]) -> None:
    """Write the three files, ``baseline.json`` last: where it is, the others are."""
    write(STATISTICS_FILE, baseline.statistics)
    write(CONSTRAINTS_FILE, encode_constraints(baseline.constraints))
    write(BASELINE_FILE, encode_baseline(baseline))


def read_baseline(read: Callable[[str], bytes]) -> Baseline:
    """Read the three files; what ``read`` raises passes through.

    Raises
    ------
    BaselineError
        If one of them cannot be read.
    """
    return decode_baseline(
        read(BASELINE_FILE), constraints=read(CONSTRAINTS_FILE), statistics=read(STATISTICS_FILE)
    )


def _join(tables: Iterable[Table]) -> tuple[int, dict[str, Column]]:
    """Concatenate tables by column name."""
    pieces: dict[str, list[tuple[int, Column]]] = {}
    rows = 0
    for table in tables:
        for name, column in table.columns.items():
            pieces.setdefault(name, []).append((rows, column))
        rows += table.rows
    if not pieces:
        raise BaselineError("the training data has no column: give at least one file with rows")
    if rows == 0:
        raise BaselineError("the training data has no row: give at least one file with rows")
    # A column's pieces are dropped once it is joined, so only one column is held twice.
    return rows, {name: _join_column(pieces.pop(name), rows) for name in list(pieces)}


def _join_column(pieces: list[tuple[int, Column]], rows: int) -> Column:
    if len(pieces) == 1 and pieces[0][1].rows == rows:
        return pieces[0][1]
    numbers = np.full(rows, np.nan)
    missing = np.ones(rows, dtype=np.bool_)
    codes: NDArray[np.int32] | None = None
    words: dict[str, int] = {}
    types = TypeCounts()
    for start, column in pieces:
        here = slice(start, start + column.rows)
        numbers[here] = column.numbers
        missing[here] = False if column.missing is None else column.missing
        types = types + column.types
        if column.codes is not None:
            if codes is None:
                codes = np.full(rows, -1, dtype=np.int32)
            renamed = [words.setdefault(word, len(words)) for word in column.words]
            # The last entry is for the code -1: no word here.
            codes[here] = np.array([*renamed, -1], dtype=np.int32)[column.codes]
    return Column(
        numbers=numbers,
        types=types,
        codes=codes,
        words=tuple(words),
        missing=missing if missing.any() else None,
    )


def _texts_of(
    columns: Mapping[str, Column],
    exclude: tuple[str, ...],
    overrides: Mapping[str, FeatureSettings],
) -> frozenset[str]:
    """Return the columns of free text: what the user says, else what looks like it."""
    kinds = {name: settings.kind for name, settings in overrides.items() if settings.kind}
    return frozenset(
        name
        for name, column in columns.items()
        if name not in exclude
        and (kinds[name] == "text" if name in kinds else looks_like_text(column))
    )


def check_names(
    columns: Collection[str],
    outputs: tuple[str, ...],
    exclude: tuple[str, ...],
    overrides: Mapping[str, FeatureSettings],
) -> None:
    """Check that all names the user gives are columns, and that all columns can be stored.

    Raises
    ------
    BaselineError
        With the name that is not.
    """
    for origin, names in (("outputs", outputs), ("exclude", exclude), ("features", overrides)):
        for name in names:
            if name not in columns:
                known = ", ".join(list(columns)[:20])
                raise BaselineError(
                    f"{origin} names {name!r}, which is not a column of the training data; "
                    f"its columns: {known}{', ...' if len(columns) > 20 else ''}"
                )
    for name in columns:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BaselineError(
                f"column {name!a} has a name that is not Unicode text: rename it"
            ) from error


def _check_spec(spec: ProfileSpec) -> None:
    names = [feature.name for feature in spec.features]
    if len(set(names)) != len(names):
        raise ValueError("two columns share a name")
    if spec.joint is not None:
        check_joint(spec.joint, names)
    for feature in spec.features:
        _check_feature(feature)


def _read_clusters(document: _Document) -> JointClusters | None:
    if document.clusters is None or document.spec.joint is None:
        return None
    return decode_clusters(document.clusters, document.spec.joint)


def _read_chance(document: _Document) -> JointChance | None:
    spec = document.spec.joint
    if (spec is None) != (document.joint is None):
        raise ValueError("the joint distribution is incomplete")
    if spec is None or document.joint is None:
        return None
    return decode_chance(document.joint, spec)


def _check_feature(feature: FeatureSpec) -> None:
    edges, categories = feature.edges, feature.categories
    if any(a >= b for a, b in pairwise(edges)):
        raise ValueError(f"the edges of {feature.name!r} do not increase")
    if any(a >= b for a, b in pairwise(categories)):
        raise ValueError(f"the categories of {feature.name!r} are not in order")
    cuts = feature.resolution
    numbers = (cuts.middle, cuts.below, cuts.above, *cuts.repeated) if cuts else ()
    if cuts and (cuts.unit < 0 or cuts.parts < 1):
        raise ValueError(f"the unit of {feature.name!r} is not positive")
    if any(a >= b for a, b in pairwise(cuts.repeated if cuts else ())):
        raise ValueError(f"the repeated values of {feature.name!r} do not increase")
    if not all(math.isfinite(value) for value in (*edges, *numbers, feature.center, feature.scale)):
        raise ValueError(f"{feature.name!r} has a number that is not finite")
