"""What an experiment on the command line is planned from: settings, and figures of the past."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from driftgauge.errors import ExperimentError
from driftgauge.experiments.arms import Arm, Sums, sums_of_rate
from driftgauge.experiments.settings import ExperimentSettings
from driftgauge.profile.exact import to_units

# So many that rounding a rate to whole rows changes nothing that is shown.
_REQUESTS = 100_000_000
_OWN_DEVIATION = ("mae", "mse", "brier_score", "log_loss")
_FIGURES = re.compile(r"(?P<mean>[^/@]+)(/(?P<deviation>[^/@]+))?(@(?P<share>[^/@]+))?")


def settings_of(arguments: argparse.Namespace) -> ExperimentSettings:
    """Return the settings of the file and the options, of which options win.

    Raises
    ------
    ExperimentError
        If there is no primary metric, or a setting is wrong.
    """
    document = _read_settings(arguments.settings) if arguments.settings else {}
    if arguments.primary:
        document["primary"] = _metric(arguments, arguments.primary, "effect")
    if arguments.guardrail:
        document["guardrails"] = [_metric(arguments, one, "margin") for one in arguments.guardrail]
    for name in (
        *("method", "alpha", "power", "share"),
        *("min_duration", "max_duration", "clustering"),
    ):
        if getattr(arguments, name) is not None:
            document[name] = getattr(arguments, name)
    if "primary" not in document:
        raise ExperimentError(
            "name the metric that has to become better with --primary, such as accuracy=2%"
        )
    try:
        return ExperimentSettings.model_validate(document)
    except ValidationError as error:
        where = f"{arguments.settings}: " if arguments.settings else ""
        raise ExperimentError(
            "\n".join(
                f"{where}{'.'.join(map(str, one['loc']))}: {one['msg']}".replace(": : ", ": ")
                for one in error.errors()
            )
        ) from None


def _read_settings(path: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ExperimentError(f"{path}: expected a mapping of settings")
    return document


def _metric(arguments: argparse.Namespace, text: str, size: str) -> dict[str, Any]:
    """Read ``NAME[=SIZE]``; a size with % is a share of the champion's mean."""
    name, sign, rest = text.rpartition("=")
    if not sign:
        name, rest = text, ""
    found: dict[str, Any] = {"name": name.strip()}
    if rest:
        relative = rest.strip().endswith("%")
        value = _number(rest.strip().removesuffix("%"), text)
        found[f"relative_{size}" if relative else size] = value / 100 if relative else value
    for side in ("lower", "higher"):
        if found["name"] in getattr(arguments, side):
            found["better"] = side
    return found


def past_of_means(arguments: argparse.Namespace) -> Arm:
    """Return a past with the figures of ``--mean``.

    Raises
    ------
    ExperimentError
        If a figure is no number, or a mean has no deviation and is not that of a rate.
    """
    return Arm(requests=_REQUESTS, metrics=dict(_sums_of_text(text) for text in arguments.mean))


def _sums_of_text(text: str) -> tuple[str, Sums]:
    """Read ``NAME=MEAN[/DEVIATION][@SHARE]``.

    Examples
    --------
    >>> name, sums = _sums_of_text("mean of latency=80/25@0.5")
    >>> name, sums.rows, sums.mean, round(sums.variance ** 0.5, 6)
    ('mean of latency', 50000000, 80.0, 25.0)
    """
    name, _, figures = text.rpartition("=")
    found = _FIGURES.fullmatch(figures)
    if not name or found is None:
        raise ExperimentError(f"--mean {text}: write NAME=MEAN, such as accuracy=0.9")
    mean, share = _number(found["mean"], text), _number(found["share"] or "1", text)
    if not 0 < share <= 1:
        raise ExperimentError(f"--mean {text}: the share of requests is above 0 and at most 1")
    rows = math.ceil(_REQUESTS * share)
    if found["deviation"] is not None:
        return name, _sums_of_moments(rows, mean, _number(found["deviation"], text))
    if name in _OWN_DEVIATION or name.startswith("mean of ") or not 0 < mean < 1:
        raise ExperimentError(
            f"--mean {text}: the rows' standard deviation is needed, since this is no rate "
            f"between 0 and 1: write {name}={found['mean']}/DEVIATION"
        )
    return name, sums_of_rate(round(mean * rows), rows)


def _sums_of_moments(rows: int, mean: float, deviation: float) -> Sums:
    return Sums(
        rows=rows,
        total=rows * to_units(mean),
        squares=rows * to_units(mean * mean + deviation * deviation),
    )


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e100:
        raise ExperimentError(f"{where}: {text!r} is not a number")
    return value
