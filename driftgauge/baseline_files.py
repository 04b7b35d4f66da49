"""Baselines that exist only as Model Monitor's ``statistics.json`` and ``constraints.json``.

The training data is not needed: the cells that windows are counted in, and the training data's
counts in them, are recovered from the two files. What cannot be recovered is said in
``driftgauge.recovery.spread``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from driftgauge.baseline import (
    BASELINE_FILE,
    CONSTRAINTS_FILE,
    STATISTICS_FILE,
    Baseline,
    check_names,
    decode_baseline,
)
from driftgauge.capture.text_names import text_names, with_text_parts
from driftgauge.checks.constraints import Constraints, FeatureConstraints, decode_constraints
from driftgauge.errors import BaselineError, ObjectNotFoundError
from driftgauge.profile.spec import Kind, Role
from driftgauge.recovery.feature import RecoveredFeature, join_features
from driftgauge.recovery.numbers import recover_numbers
from driftgauge.recovery.words import recover_words
from driftgauge.report.statistics import (
    FeatureStatistics,
    NumberStatistics,
    Statistics,
    WordStatistics,
    decode_statistics,
)

if TYPE_CHECKING:
    from driftgauge.config import FeatureSettings, MonitorConfig

FILES = (STATISTICS_FILE, CONSTRAINTS_FILE)


@dataclass(frozen=True, kw_only=True, eq=False)
class BaselineFiles:
    """Model Monitor's two files of a baseline, read.

    Attributes
    ----------
    statistics : Statistics
        ``statistics.json``.
    constraints : Constraints
        ``constraints.json``.
    written : bytes
        ``statistics.json`` as it was read.
    version : str
        A name for the baseline, made of the content of both files.
    """

    statistics: Statistics
    constraints: Constraints
    written: bytes = field(repr=False)
    version: str

    @property
    def names(self) -> tuple[str, ...]:
        """All columns: those of ``statistics.json``, then those that only constraints name."""
        names = [feature.name for feature in self.statistics.features]
        names += [feature.name for feature in self.constraints.features]
        return tuple(dict.fromkeys(names))


def decode_files(*, statistics: bytes, constraints: bytes) -> BaselineFiles:
    """Read Model Monitor's two files, of 2019 or of today.

    Raises
    ------
    BaselineError
        If one of them cannot be read, with the place and what is wrong there.
    """
    digest = hashlib.sha256(len(statistics).to_bytes(8, "big") + statistics + constraints)
    return BaselineFiles(
        statistics=decode_statistics(statistics),
        constraints=decode_constraints(constraints),
        written=statistics,
        version=f"files-{digest.hexdigest()[:12]}",
    )


def recover_baseline(
    files: BaselineFiles,
    *,
    version: str | None = None,
    outputs: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    overrides: Mapping[str, FeatureSettings] | None = None,
    created: datetime,
) -> Baseline:
    """Make a baseline of Model Monitor's two files.

    Columns keep the order of ``statistics.json``. A column that only the constraints name has
    the share of missing values and the categories that they allow, and no counts: it is checked
    for its quality, not judged for drift.

    Parameters
    ----------
    files : BaselineFiles
        What is known.
    version : str, optional
        Name of the baseline; default: that of the files.
    outputs, exclude, overrides
        As in ``driftgauge.baseline.build_baseline``: the files do not say which columns the model
        returns.
    created : datetime
        Now.

    Raises
    ------
    BaselineError
        If the files hold no column or row, contradict themselves, or do not fit what the user
        says.
    """
    settings = overrides or {}
    texts = text_names(files.names)
    check_names((*files.names, *texts), outputs, exclude, settings)
    outputs, exclude = with_text_parts(outputs, texts), with_text_parts(exclude, texts)
    rows = files.statistics.item_count
    if not files.names or not rows:
        raise BaselineError(
            f"statistics.json describes {rows} rows and {len(files.names)} columns: give the files "
            "of a baseline of real data"
        )
    used = [name for name in files.names if name not in exclude]
    if not used:
        raise BaselineError("every column of the baseline is excluded: keep at least one")
    profile = join_features(
        (
            recover_feature(
                _known(files, name),
                role="output" if name in outputs else "input",
                rows=rows,
                kind=_kind(name, settings),
                domain=_domain(files, name),
            )
            for name in used
        ),
        version=files.version if version is None else version,
        rows=rows,
    )
    return Baseline(
        spec=profile.spec,
        profile=profile,
        constraints=files.constraints,
        statistics=files.written,
        created=created,
    )


def recover_feature(
    known: FeatureStatistics,
    *,
    role: Role,
    rows: int,
    kind: Kind | None = None,
    domain: tuple[str, ...] | None = None,
) -> RecoveredFeature:
    """Recover how a column is counted, and its counts.

    Parameters
    ----------
    known : FeatureStatistics
        What is known about the column.
    role : {"input", "output"}
        Whether the endpoint receives or returns it.
    rows : int
        Rows of the training data, at least ``known.present``.
    kind : {"numeric", "discrete", "categorical", "boolean"}, optional
        What the user says; by default as ``driftgauge.profile.cells.choose_feature`` chooses.
    domain : tuple of str, optional
        The values that the constraints allow: the categories of a column of texts whose values
        are not listed. Their counts are not known, so the column is not judged.

    Raises
    ------
    BaselineError
        If the numbers contradict each other, or the column cannot be counted as the kind the user
        says.
    """
    if known.numbers is not None:
        return recover_numbers(known, known.numbers, role=role, rows=rows, kind=kind)
    words = known.words or WordStatistics()
    return recover_words(known, words, role=role, rows=rows, kind=kind, domain=domain)


def declared_roles(
    config: MonitorConfig, names: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which columns a monitor declares as outputs, and which a baseline leaves out.

    Examples
    --------
    >>> from driftgauge.config import MonitorConfig
    >>> config = MonitorConfig.model_validate(
    ...     {"name": "m", "endpoint": {"name": "e"}, "prediction": "score", "label": "late"}
    ... )
    >>> declared_roles(config, ("late", "score", "amount"))
    (('score',), ('late',))
    """
    declared = config.capture.outputs or ((config.prediction,) if config.prediction else ())
    outputs = tuple(name for name in declared if name in names)
    return outputs, tuple(name for name in (config.label,) if name and name in names)


def open_baseline(
    read: Callable[[str], bytes],
    *,
    outputs: tuple[str, ...] = (),
    config: MonitorConfig | None = None,
    created: datetime,
) -> Baseline:
    """Read a baseline: this program's three files, else Model Monitor's two.

    Parameters
    ----------
    read : callable
        Returns a file of that name; what else it raises than ``ObjectNotFoundError`` passes
        through.
    outputs : tuple of str
        Columns of Model Monitor's files that the model returns; default: what the monitor
        declares.
    config : MonitorConfig, optional
        Which columns are outputs or the label, and of which kind.
    created : datetime
        Now.

    Raises
    ------
    BaselineError
        If there is no baseline, or it cannot be read.
    """
    try:
        own = read(BASELINE_FILE)
    except ObjectNotFoundError as error:
        try:
            files = decode_files(
                statistics=read(STATISTICS_FILE), constraints=read(CONSTRAINTS_FILE)
            )
        except ObjectNotFoundError as other:
            raise BaselineError(
                f"{error}, and {other}: a baseline is the three files of `driftgauge baseline`, or "
                "statistics.json and constraints.json of Model Monitor"
            ) from other
        declared, exclude = declared_roles(config, files.names) if config else ((), ())
        overrides = config.features if config else {}
        known = {*files.names, *text_names(files.names)}
        return recover_baseline(
            files,
            outputs=outputs or declared,
            exclude=exclude,
            overrides={name: overrides[name] for name in overrides if name in known},
            created=created,
        )
    return decode_baseline(
        own, constraints=read(CONSTRAINTS_FILE), statistics=read(STATISTICS_FILE)
    )


def _kind(name: str, settings: Mapping[str, FeatureSettings]) -> Kind | None:
    kind = settings[name].kind if name in settings else None
    if kind == "text":
        raise BaselineError(
            f"column {name!r} is set to text but Model Monitor's files do not measure texts: "
            "build the baseline from its training data"
        )
    return kind


def _known(files: BaselineFiles, name: str) -> FeatureStatistics:
    for feature in files.statistics.features:
        if feature.name == name:
            return feature
    return _demanded(files.constraints[name], files.statistics.item_count)


def _demanded(constraints: FeatureConstraints, rows: int) -> FeatureStatistics:
    """Return what constraints alone tell about a column."""
    complete = 1.0 if constraints.completeness is None else constraints.completeness
    present = min(rows, math.ceil(complete * rows))
    numeric = constraints.inferred_type in ("Integral", "Fractional")
    return FeatureStatistics(
        name=constraints.name,
        inferred_type=constraints.inferred_type,
        present=present,
        missing=rows - present,
        numbers=NumberStatistics() if numeric else None,
    )


def _domain(files: BaselineFiles, name: str) -> tuple[str, ...] | None:
    return files.constraints[name].domains if name in files.constraints else None
