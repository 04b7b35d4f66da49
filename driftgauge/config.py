"""What a monitor is: the one typed object behind ``monitors/*.yaml``.

``app.py``, the Lambdas and the command line all read this model; a wrong key fails at synth with
its path, never in production.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from driftgauge.capture.positions import excluded_columns
from driftgauge.capture.settings import CaptureSettings, without_endpoint_alarms
from driftgauge.capture.text_names import text_parts
from driftgauge.errors import ConfigError
from driftgauge.experiment_settings import ExperimentMonitorSettings, check_experiments
from driftgauge.outcome_settings import (
    AttributionMonitorSettings,
    BiasMonitorSettings,
    FacetSettings,
    OutcomeSettings,
    QualityMonitorSettings,
    check_measures,
    with_bias_of_outcomes,
)
from driftgauge.quality.tables import OutcomeColumns
from driftgauge.retraining_settings import (
    RetrainingSettings,
    SageMakerPipeline,
    SageMakerTrainer,
    check_triggers,
)
from driftgauge.rollout_settings import (
    ComparedKind,
    RollOutSettings,
    check_challenger,
    check_rollout,
)
from driftgauge.settings import (
    AlarmSettings,
    AlertSettings,
    DecisionSettings,
    Duration,
    EndpointSettings,
    FeatureSettings,
    JointSettings,
    ModelMonitorMetricsSettings,
    Moment,
    Name,
    PersistenceSettings,
    ReferenceSettings,
    Settings,
    WindowAlarm,
    check_references,
)
from driftgauge.windows import DEFAULT_ANCHOR, WindowGrid

__all__ = [
    "AlarmSettings",
    "AlertSettings",
    "AttributionMonitorSettings",
    "BiasMonitorSettings",
    "DecisionSettings",
    "EndpointSettings",
    "FacetSettings",
    "FeatureSettings",
    "JointSettings",
    "ModelMonitorMetricsSettings",
    "MonitorConfig",
    "MonitorSet",
    "OutcomeSettings",
    "PersistenceSettings",
    "QualityMonitorSettings",
    "ReferenceSettings",
    "RetrainingSettings",
    "SageMakerPipeline",
    "SageMakerTrainer",
    "json_schema",
    "load_monitor",
    "load_monitors",
    "parse_monitor",
    "read_monitor_set",
]


class MonitorConfig(Settings):
    """One monitored endpoint.

    The single source of every setting: what is watched, against which baseline, how often, with
    which limits, and who is told.
    """

    name: Name
    description: str = ""
    endpoint: EndpointSettings
    capture: CaptureSettings = CaptureSettings()
    prediction: str | None = Field(
        default=None, description="The output column that is the model's score."
    )
    label: str | None = Field(default=None, description="Column of the label in training data.")
    features: dict[str, FeatureSettings] = Field(default_factory=dict)
    window: Duration = timedelta(days=1)
    window_anchor: Moment = DEFAULT_ANCHOR
    evaluate: Literal["on_schedule", "on_arrival"] = Field(
        default="on_schedule",
        description=(
            "on_schedule: each window once it has closed, late data again. on_arrival: also while "
            "data arrives, once no profile has come for `debounce`."
        ),
    )
    delay: Duration = Field(
        default=timedelta(minutes=20),
        description="How long after a window's end it is evaluated on schedule.",
    )
    debounce: Duration = Field(
        default=timedelta(seconds=60), description="Quiet time before an evaluation on arrival."
    )
    mode: Literal["sound", "strict"] = Field(
        default="sound",
        description=(
            "sound: drift is judged by `decision`. strict: as SageMaker Model Monitor judges, by "
            "the thresholds of constraints.json."
        ),
    )
    decision: DecisionSettings = DecisionSettings()
    references: tuple[ReferenceSettings, ...] = Field(
        default=(),
        max_length=4,
        description="What windows are compared with besides the baseline, in sound mode.",
    )
    outcomes: OutcomeSettings | None = Field(
        default=None,
        description="Labels arrive under capture.ground_truth_prefix: measure the model's quality.",
    )
    quality: QualityMonitorSettings = QualityMonitorSettings()
    bias: BiasMonitorSettings | None = Field(
        default=None, description="Compare groups; needs `outcomes`."
    )
    attribution: AttributionMonitorSettings | None = Field(
        default=None, description="Explain a sample of every window's predictions."
    )
    experiments: tuple[ExperimentMonitorSettings, ...] = Field(
        default=(), max_length=5, description="Champion against challenger; needs `outcomes`."
    )
    alarms: AlarmSettings = AlarmSettings()
    alerts: AlertSettings = AlertSettings()
    model_monitor_metrics: ModelMonitorMetricsSettings | None = Field(
        default=None,
        description=(
            "Also publish every feature's metrics as Model Monitor named them, for dashboards and "
            "alarms that exist; each is billed as a custom metric of its own."
        ),
    )
    retraining: RetrainingSettings = RetrainingSettings()

    @model_validator(mode="after")
    def _published_variant_exists(self) -> Self:
        if self.model_monitor_metrics is not None:
            self.model_monitor_metrics.check_variant(self.endpoint.variants)
        return self

    def column_settings(
        self, columns: Sequence[str], *, outputs: Sequence[str]
    ) -> dict[str, FeatureSettings]:
        """Return the overrides by judged column: those of texts hold for each of their columns.

        Parameters
        ----------
        columns, outputs : sequence of str
            All columns of the baseline in its order, and those of them that are outputs.
        """
        settings = dict(self.features)
        for name in excluded_columns(self.capture, columns=columns, outputs=outputs):
            known = settings.get(name, FeatureSettings())
            settings[name] = known.model_copy(update={"ignore": True})
        for name, feature in list(settings.items()):
            if feature.kind in (None, "text"):
                for part in text_parts(name):
                    settings.setdefault(part, feature)
        return settings

    @property
    def grid(self) -> WindowGrid:
        """The monitor's windows."""
        return WindowGrid(length=self.window, anchor=self.window_anchor)

    @property
    def alarm_period(self) -> timedelta:
        """Period of the drift alarms: one datapoint per window, CloudWatch's day at most."""
        return self.alarms.period or min(self.window, timedelta(days=1))

    @property
    def window_alarms(self) -> tuple[WindowAlarm, ...]:
        """The alarms on what is decided about windows, in the order of the dashboard."""
        sound = self.mode == "sound"
        return (
            "feature-drift",
            "prediction-drift",
            "data-quality",
            *(("persistent-drift",) if sound and self.decision.persistence.enabled else ()),
            *(("joint-drift",) if sound and self.decision.joint.enabled else ()),
            *(("quality-decay",) if self.outcomes else ()),
            *(("concept-drift",) if self.estimates_quality else ()),
            *(("bias-drift",) if self.bias else ()),
            *(("attribution-drift",) if self.attribution else ()),
        )

    @property
    def estimates_quality(self) -> bool:
        """Whether quality is estimated without labels: it needs scores, or a regression."""
        if self.outcomes is None or self.mode != "sound" or not self.quality.estimate:
            return False
        columns = self.outcome_columns
        return columns.problem == "regression" or bool(columns.probabilities)

    @property
    def retraining_triggers(self) -> tuple[tuple[WindowAlarm, ...], ...]:
        """What starts a retraining: all alarms of any of these."""
        given = self.retraining.triggers
        if given is not None:
            return tuple((one,) if isinstance(one, str) else one for one in given)
        decay: tuple[tuple[WindowAlarm, ...], ...] = (("quality-decay",),) if self.outcomes else ()
        return (*decay, ("prediction-drift", "feature-drift"))

    @property
    def rollout(self) -> RollOutSettings | None:
        """How challengers come to serve the endpoint; None where no model is rolled out."""
        return self.retraining.rollout if self.retraining.enabled else None

    @property
    def rolled_out(self) -> str | None:
        """The variant that serves a challenger while it is compared, and nothing otherwise."""
        return self.rollout.challenger if self.rollout and self.rollout.compared else None

    @property
    def lasting_variants(self) -> tuple[str, ...]:
        """The variants that the baseline stands for: all but one that comes and goes."""
        return tuple(one for one in self.endpoint.variants if one != self.rolled_out)

    @property
    def compared_kinds(self) -> frozenset[ComparedKind]:
        """How variants are compared, by experiments or by stages of a roll-out."""
        of_stages = self.rollout.kinds if self.rollout else ()
        return frozenset((*(one.kind for one in self.experiments), *of_stages))

    @property
    def compared_variants(self) -> tuple[str, ...]:
        """The variants that are compared, each once; none if none are."""
        sides = [(one.champion, one.challenger) for one in self.experiments]
        if self.rollout and self.rollout.compared:
            sides.append(self.rollout.sides(self.endpoint.variants))
        return tuple(dict.fromkeys(variant for both in sides for variant in both))

    @property
    def outcome_columns(self) -> OutcomeColumns:
        """Where rows hold their outcomes, with the columns to slice by.

        Raises
        ------
        ConfigError
            If the monitor has no ``outcomes``.
        """
        return self._outcomes.columns(label=self.label or "label", score=self.prediction)

    @property
    def outcome_names(self) -> tuple[str, ...]:
        """The captured columns that outcomes are counted from, each once; the label is none.

        Raises
        ------
        ConfigError
            If the monitor has no ``outcomes``.
        """
        columns = self.outcome_columns
        people = self.bias.spec.columns if self.bias else ()
        return tuple(dict.fromkeys((*columns.names[1:], *columns.segments, *people)))

    @property
    def primary_measure(self) -> str:
        """The measure of quality on the dashboard.

        Raises
        ------
        ConfigError
            If the monitor has no ``outcomes``.
        """
        regression = self._outcomes.problem == "regression"
        return self.quality.primary or ("mae" if regression else "accuracy")

    @property
    def _outcomes(self) -> OutcomeSettings:
        if self.outcomes is None:
            raise ConfigError(f"monitor {self.name!r} has no outcomes: it is not told of labels")
        return self.outcomes

    @field_validator("debounce")
    @classmethod
    def _debounce_fits_a_queue(cls, value: timedelta) -> timedelta:
        if value > timedelta(minutes=15):
            raise ValueError("debounce is at most 15m, the longest delay of an SQS message")
        return value

    @model_validator(mode="before")
    @classmethod
    def _only_hosted_models_have_endpoint_alarms(cls, document: Any) -> Any:
        return without_endpoint_alarms(document)

    @model_validator(mode="after")
    def _captures_fit(self) -> Self:
        self.capture.check_use(
            endpoint_alarms=self.endpoint.alarms,
            retraining=self.retraining.enabled,
            variants=len(self.endpoint.variants),
        )
        return self

    @model_validator(mode="after")
    def _references_fit(self) -> Self:
        check_references(self.references, window=self.window, variants=self.endpoint.variants)
        return self

    @model_validator(mode="before")
    @classmethod
    def _bias_is_of_the_outcomes(cls, document: Any) -> Any:
        return with_bias_of_outcomes(document)

    @model_validator(mode="after")
    def _outcomes_fit(self) -> Self:
        if self.outcomes is None:
            for block, given in (
                ("bias", self.bias is not None),
                ("quality", self.quality != QualityMonitorSettings()),
                ("experiments", bool(self.experiments)),
            ):
                if given:
                    raise ValueError(
                        f"{block} needs `outcomes`: how labels and predictions are to be read"
                    )
            return self
        if self.prediction is None and self.outcomes.needs_score:
            raise ValueError(
                "outcomes: name the output column of the score in `prediction`, or in "
                "outcomes.prediction or outcomes.probabilities"
            )
        if self.label is not None and self.label in self.outcome_names:
            raise ValueError(f"label: {self.label!r} is a column of predictions as well")
        check_measures(self.quality, self.outcomes.problem)
        check_experiments(self.experiments, self.endpoint.variants, self.outcome_columns)
        return self

    @model_validator(mode="after")
    def _windows_and_alarms_fit(self) -> Self:
        _ = self.grid.grain
        self.alarms.check_periods(self.alarm_period, window=self.window)
        return self

    @model_validator(mode="after")
    def _retraining_fits(self) -> Self:
        if not self.retraining.enabled:
            return self
        if self.prediction is None:
            raise ValueError("retraining needs `prediction`: the column that is the model's score")
        if self.label is None:
            raise ValueError("retraining needs `label`: the column that is the truth")
        check_triggers(self.retraining_triggers, self.window_alarms)
        if self.outcomes is not None:
            self.outcomes.check_retraining(self.prediction)
        if self.retraining.rollout is not None:
            check_rollout(
                self.retraining.rollout,
                variants=self.endpoint.variants,
                columns=self.outcome_columns if self.outcomes else None,
            )
            check_challenger(
                self.rolled_out,
                experiments=self.experiments,
                references=self.references,
                published=self.model_monitor_metrics,
            )
        return self


class MonitorSet(BaseModel):
    """All monitors of a deployment, as the functions read them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    monitors: tuple[MonitorConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique_names(self) -> Self:
        names = [monitor.name for monitor in self.monitors]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two monitors share a name: {', '.join(repeated)}")
        return self

    def __getitem__(self, name: str) -> MonitorConfig:
        for monitor in self.monitors:
            if monitor.name == name:
                return monitor
        known = ", ".join(monitor.name for monitor in self.monitors)
        raise ConfigError(f"there is no monitor named {name!r}; deployed monitors: {known}")


def _explain(error: ValidationError, source: str) -> str:
    lines = []
    for problem in error.errors():
        path = ".".join(str(step) for step in problem["loc"]) or "(the file)"
        lines.append(f"{source}: {path}: {problem['msg']}")
    return "\n".join(lines)


def parse_monitor(document: Any, source: str) -> MonitorConfig:
    """Validate one monitor read from YAML or JSON.

    Raises
    ------
    ConfigError
        With one line per wrong key: the file, the key's path, what is wrong.
    """
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: (the file): expected a mapping of settings")
    try:
        return MonitorConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_explain(error, source)) from error


def load_monitor(path: Path) -> MonitorConfig:
    """Read one monitor file.

    Raises
    ------
    ConfigError
        If the file does not exist, is not YAML, or a key in it is wrong.
    """
    import yaml  # only where YAML is read: the functions get JSON

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    return parse_monitor(document, str(path))


def load_monitors(folder: Path) -> MonitorSet:
    """Read every ``*.yaml`` of a folder.

    Raises
    ------
    ConfigError
        If the folder has no monitor, or one of them is wrong.
    """
    paths = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not paths:
        raise ConfigError(f"{folder} holds no monitor: add one YAML file per endpoint")
    try:
        return MonitorSet(monitors=tuple(load_monitor(path) for path in paths))
    except ValidationError as error:
        raise ConfigError(_explain(error, str(folder))) from error


def read_monitor_set(text: str) -> MonitorSet:
    """Read what ``MonitorSet.model_dump_json`` wrote into the functions' code asset."""
    try:
        return MonitorSet.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(_explain(error, "monitors.json")) from error


def json_schema() -> str:
    """Return the JSON Schema of a monitor file, for editors and for ``docs/``."""
    return json.dumps(MonitorConfig.model_json_schema(), indent=2, sort_keys=True) + "\n"
