"""The errors driftgauge raises: each says what was wrong, where, and what to do."""

from __future__ import annotations


class DriftgaugeError(Exception):
    """Base of every error that is raised on purpose."""


class ConfigError(DriftgaugeError):
    """A monitor's YAML is wrong; the message carries the path of the wrong key."""


class CaptureError(DriftgaugeError):
    """A capture object cannot be read at all (a bad line is counted instead, see ``Rejects``)."""


class HookError(DriftgaugeError):
    """A script of the user cannot be loaded, or failed after an evaluation."""


class BaselineError(DriftgaugeError):
    """Training data or a stored baseline cannot be used."""


class ProfileError(DriftgaugeError):
    """A stored profile cannot be read, or two profiles cannot be merged."""


class QualityError(DriftgaugeError):
    """Predictions and labels cannot be measured, or stored counts of them cannot be read."""


class FairnessError(DriftgaugeError):
    """Bias cannot be measured, or stored counts of it cannot be read."""


class AttributionError(DriftgaugeError):
    """A model, scorer or file of attributions cannot be used, or stored sums cannot be read."""


class LabelError(DriftgaugeError):
    """Stored predictions, labels or samples of rows cannot be read, or do not fit together."""


class ExperimentError(DriftgaugeError):
    """Two variants cannot be compared, or a stored experiment cannot be read."""


class StoreError(DriftgaugeError):
    """Reading or writing an object failed."""


class ObjectNotFoundError(StoreError):
    """The object does not exist."""


class ConflictError(StoreError):
    """A conditional write lost against a concurrent one."""


class TrainingError(DriftgaugeError):
    """A model cannot be trained, compared or read."""
