"""Model Monitor's ``constraints.json``: read, written and suggested.

Real files come in several dialects: 2019's keys (``enable_comparisons``, ``min_domain_mass``),
the misprint ``comparion_method``, overrides under two names in two places. All are read; a file
that nobody changed is written back as it was, anything else in today's keys.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_DOWN, Decimal
from typing import Any, Literal

from driftgauge.errors import BaselineError
from driftgauge.profile.cells import infer_type
from driftgauge.profile.profile import FeatureProfile, Profile

ComparisonMethod = Literal["Simple", "Robust"]
CategoricalDriftMethod = Literal["LInfinity", "ChiSquared"]

# Suggestion rules of awslabs/deequ: see `suggest_constraints`.
_MOST_DOMAIN_VALUES = 120
_MOST_SINGLE_VALUES = 0.1
_LEAST_COMPLETENESS = 0.2
_NORMAL_975 = 1.96
_LARGEST = sys.float_info.max

_METHODS: dict[str, ComparisonMethod] = {
    "simple": "Simple",
    "robust": "Robust",
    "linf_simple": "Simple",
    "linf_robust": "Robust",
}
_CATEGORICAL_METHODS: dict[str, CategoricalDriftMethod] = {
    "linfinity": "LInfinity",
    "chisquared": "ChiSquared",
}
_OVERRIDE_KEYS = ("monitoringConfigOverrides", "monitoring_config_overrides")


@dataclass(frozen=True, kw_only=True)
class MonitoringSettings:
    """``monitoring_config``: which checks are made, with which thresholds.

    Attributes
    ----------
    evaluate_constraints, emit_metrics, perform_comparison : bool
        Written as ``Enabled`` and ``Disabled``.
    datatype_check_threshold, domain_content_threshold : float
        Smallest share of values that must have the type, or be in the domain.
    comparison_threshold : float
        Largest distance of a numeric column.
    comparison_method : {"Simple", "Robust"}
        Whether the distance is reduced by what sampling alone explains.
    categorical_comparison_threshold : float or None
        The same for text columns; None: ``comparison_threshold``.
    categorical_drift_method : {"LInfinity", "ChiSquared"}
        Distance of text columns.
    """

    evaluate_constraints: bool = True
    emit_metrics: bool = True
    datatype_check_threshold: float = 1.0
    domain_content_threshold: float = 1.0
    perform_comparison: bool = True
    comparison_threshold: float = 0.1
    comparison_method: ComparisonMethod = "Robust"
    categorical_comparison_threshold: float | None = None
    categorical_drift_method: CategoricalDriftMethod = "LInfinity"


@dataclass(frozen=True, kw_only=True)
class FeatureConstraints:
    """What one column must fulfil; None: not checked.

    Attributes
    ----------
    name : str
        The column.
    inferred_type : str
        Integral, Fractional, String or Unknown.
    completeness : float or None
        Smallest share of rows that must have a value.
    is_non_negative : bool or None
        Whether all numbers must be at least zero.
    domains : tuple of str or None
        The allowed values.
    overrides : mapping of str to object
        Settings of this column that replace those of the file, in the keys of the file.
    """

    name: str
    inferred_type: str
    completeness: float | None = None
    is_non_negative: bool | None = None
    domains: tuple[str, ...] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """The content of ``constraints.json``; ``written`` is the JSON it was read from."""

    features: tuple[FeatureConstraints, ...]
    settings: MonitoringSettings = MonitoringSettings()
    written: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __getitem__(self, name: str) -> FeatureConstraints:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(feature.name == name for feature in self.features)

    def settings_for(self, name: str) -> MonitoringSettings:
        """Return the settings of one column: those of the file with its overrides."""
        if name not in self:
            return self.settings
        return _read_settings(self[name].overrides, self.settings, f"overrides of {name!r}")


def suggest_constraints(profile: Profile) -> Constraints:
    """Suggest what data fulfils, as Model Monitor's jobs do: of a baseline, and of each window.

    The type of a column is that of its own values, whatever an earlier baseline says.
    Completeness is 1 for a column without gaps; for a share p of values among n rows,
    0.2 < p < 1, it is the lower end of its 95 % interval, p - 1.96 sqrt(p (1 - p) / n), cut to
    two decimals; below, nothing is demanded. Numbers are to be non-negative if all are. A text
    column gets a domain if it has at most 120 values of which at most a tenth occur once.
    Source: the constraint suggestion rules of awslabs/deequ.

    Parameters
    ----------
    profile : Profile
        Of the training data, or of a window.
    """
    return Constraints(features=tuple(_suggest(feature) for feature in profile.features))


def _suggest(feature: FeatureProfile) -> FeatureConstraints:
    return FeatureConstraints(
        name=feature.spec.name,
        inferred_type=infer_type(feature.types),
        completeness=_suggested_completeness(feature.present, feature.rows),
        is_non_negative=None if feature.minimum is None else feature.minimum >= 0,
        domains=_suggested_domain(feature),
    )


def _suggested_completeness(present: int, rows: int) -> float | None:
    if present == rows:
        return 1.0
    share = present / rows
    if share <= _LEAST_COMPLETENESS:
        return None
    lower = share - _NORMAL_975 * math.sqrt(share * (1 - share) / rows)
    # As a decimal, or 0.29 would become 0.28: 0.29 * 100 is less than 29.
    return max(0.0, float(Decimal(repr(lower)).quantize(Decimal("0.01"), ROUND_DOWN)))


def _suggested_domain(feature: FeatureProfile) -> tuple[str, ...] | None:
    if infer_type(feature.types) != "String" or not feature.spec.categories:
        return None
    counts = feature.counts.tolist()
    named = {w: n for w, n in zip(feature.spec.categories, counts, strict=True) if n}
    if feature.unseen_rows or not 0 < len(named) <= _MOST_DOMAIN_VALUES:
        return None
    # To Deequ a missing value is a value too.
    occurrences = [*named.values(), *([feature.missing] if feature.missing else [])]
    if occurrences.count(1) > _MOST_SINGLE_VALUES * len(occurrences):
        return None
    return tuple(sorted(named, key=lambda word: (-named[word], word)))


def encode_constraints(constraints: Constraints) -> bytes:
    """Write ``constraints.json``."""
    document = dict(constraints.written) or {"version": 0.0, "features": []}
    document["features"] = [_feature_document(feature) for feature in constraints.features]
    known = document.get("monitoring_config")
    if known is None or _read_settings(known, MonitoringSettings(), "") != constraints.settings:
        document["monitoring_config"] = _settings_document(constraints.settings)
    return (json.dumps(document, indent=2) + "\n").encode("ascii")


def decode_constraints(data: bytes) -> Constraints:
    """Read ``constraints.json``, this program's or Model Monitor's.

    Raises
    ------
    BaselineError
        With the place in the file and what is wrong there.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"constraints.json is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("features"), list):
        raise BaselineError(
            "constraints.json has no list `features`: is it the data-quality file? (Model quality, "
            "bias and explainability have files of the same name.)"
        )
    features = tuple(
        _read_feature(item, f"features[{i}]") for i, item in enumerate(document["features"])
    )
    names = [feature.name for feature in features]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BaselineError(f"constraints.json: two features are named {repeated[0]!r}")
    settings = _read_settings(
        _mapping(document.get("monitoring_config", {}), "monitoring_config"),
        MonitoringSettings(),
        "monitoring_config",
    )
    return Constraints(features=features, settings=settings, written=document)


def _feature_document(feature: FeatureConstraints) -> dict[str, Any]:
    if feature.written and _read_feature(feature.written, "") == feature:
        return dict(feature.written)
    document: dict[str, Any] = {"name": feature.name, "inferred_type": feature.inferred_type}
    if feature.completeness is not None:
        document["completeness"] = feature.completeness
    if feature.is_non_negative is not None:
        document["num_constraints"] = {"is_non_negative": feature.is_non_negative}
    if feature.domains is not None:
        document["string_constraints"] = {"domains": list(feature.domains)}
    if feature.overrides:
        document["monitoringConfigOverrides"] = dict(feature.overrides)
    return document


def _settings_document(settings: MonitoringSettings) -> dict[str, Any]:
    comparison: dict[str, Any] = {
        "perform_comparison": _switch(settings.perform_comparison),
        "comparison_threshold": settings.comparison_threshold,
        "comparison_method": settings.comparison_method,
    }
    if settings.categorical_comparison_threshold is not None:
        threshold = settings.categorical_comparison_threshold
        comparison["categorical_comparison_threshold"] = threshold
    if settings.categorical_drift_method != "LInfinity":
        comparison["categorical_drift_method"] = settings.categorical_drift_method
    return {
        "evaluate_constraints": _switch(settings.evaluate_constraints),
        "emit_metrics": _switch(settings.emit_metrics),
        "datatype_check_threshold": settings.datatype_check_threshold,
        "domain_content_threshold": settings.domain_content_threshold,
        "distribution_constraints": comparison,
    }


def _switch(on: bool) -> str:
    return "Enabled" if on else "Disabled"


def _read_feature(item: object, place: str) -> FeatureConstraints:
    document = _mapping(item, place)
    name, inferred_type = document.get("name"), document.get("inferred_type", "Unknown")
    if not isinstance(name, str) or not isinstance(inferred_type, str):
        raise BaselineError(f"constraints.json: {place}: `name` and `inferred_type` are texts")
    place = f"{place} ({name!r})"
    numbers = _mapping(document.get("num_constraints") or {}, f"{place}.num_constraints")
    texts = _mapping(document.get("string_constraints") or {}, f"{place}.string_constraints")
    completeness = document.get("completeness")
    if completeness is not None:
        completeness = _read_share(completeness, f"{place}.completeness")
    non_negative = numbers.get("is_non_negative")
    if non_negative is not None:
        non_negative = _read_switch(non_negative, f"{place}.num_constraints.is_non_negative")
    domains = texts.get("domains")
    if domains is not None:
        if not isinstance(domains, list) or not all(isinstance(d, str) for d in domains):
            raise BaselineError(f"constraints.json: {place}.domains: expected a list of texts")
        domains = tuple(domains)
    overrides: dict[str, Any] = {}
    for holder in (document, texts, numbers):
        for key in _OVERRIDE_KEYS:
            overrides |= _mapping(holder.get(key) or {}, f"{place}.{key}")
    _read_settings(overrides, MonitoringSettings(), f"{place} overrides")
    return FeatureConstraints(
        name=name,
        inferred_type=inferred_type,
        completeness=completeness,
        is_non_negative=non_negative,
        domains=domains,
        overrides=overrides,
        written=document,
    )


def _read_settings(
    document: Mapping[str, Any], base: MonitoringSettings, place: str
) -> MonitoringSettings:
    """Read settings over others: what the document does not say stays as in ``base``."""
    key = "distribution_constraints"
    nested = _mapping(document.get(key) or {}, f"{place}.{key}")
    said: dict[str, Any] = {}
    for holder in (document, nested):
        for name, (target, read) in _READERS.items():
            if holder.get(name) is not None:
                said[target] = read(holder[name], f"{place}.{name}")
    return replace(base, **said)


def _mapping(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BaselineError(f"constraints.json: {place}: expected an object in braces")
    return value


def _read_switch(value: object, place: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("enabled", "disabled", "true", "false"):
        return value.lower() in ("enabled", "true")
    raise BaselineError(f"constraints.json: {place}: expected Enabled or Disabled")


def _read_share(value: object, place: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise BaselineError(f"constraints.json: {place}: expected a number between 0 and 1")


def _read_threshold(value: object, place: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
        return float(value)
    raise BaselineError(f"constraints.json: {place}: expected a number of at least 0")


def _read_method(value: object, place: str) -> ComparisonMethod:
    method = _METHODS.get(value.lower()) if isinstance(value, str) else None
    if method is None:
        raise BaselineError(f"constraints.json: {place}: expected Simple or Robust")
    return method


def _read_categorical_method(value: object, place: str) -> CategoricalDriftMethod:
    method = _CATEGORICAL_METHODS.get(value.lower()) if isinstance(value, str) else None
    if method is None:
        raise BaselineError(f"constraints.json: {place}: expected LInfinity or ChiSquared")
    return method


# Key in the file -> field and how to read it. The dialects stand before today's keys, which win.
_READERS: dict[str, tuple[str, Any]] = {
    "enable_comparisons": ("perform_comparison", _read_switch),
    "min_domain_mass": ("domain_content_threshold", _read_share),
    "comparion_method": ("comparison_method", _read_method),
    "evaluate_constraints": ("evaluate_constraints", _read_switch),
    "emit_metrics": ("emit_metrics", _read_switch),
    "datatype_check_threshold": ("datatype_check_threshold", _read_share),
    "domain_content_threshold": ("domain_content_threshold", _read_share),
    "perform_comparison": ("perform_comparison", _read_switch),
    "comparison_threshold": ("comparison_threshold", _read_threshold),
    "comparison_method": ("comparison_method", _read_method),
    "categorical_comparison_threshold": ("categorical_comparison_threshold", _read_threshold),
    "categorical_drift_method": ("categorical_drift_method", _read_categorical_method),
}
