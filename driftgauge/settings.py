"""The parts of a monitor file: one model for each block of settings.

``driftgauge.config`` puts them together.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from driftgauge.windows import format_duration, parse_duration, parse_time

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Duration = Annotated[
    timedelta,
    BeforeValidator(lambda value: parse_duration(value) if isinstance(value, str) else value),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]*[smhdw]$", "examples": ["1h", "1d"]}),
]
Moment = Annotated[
    datetime,
    BeforeValidator(lambda value: parse_time(value) if isinstance(value, str) else value),
    AfterValidator(lambda value: parse_time(value.isoformat())),
]
# Alarms on what was decided about windows: those that may start a retraining.
WindowAlarm = Literal[
    "feature-drift",
    "prediction-drift",
    "data-quality",
    "persistent-drift",
    "joint-drift",
    "quality-decay",
    "concept-drift",
    "bias-drift",
    "attribution-drift",
]


class Settings(BaseModel):
    """Settings that know all their keys and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EndpointSettings(Settings):
    """The endpoint whose traffic is watched."""

    name: str = Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")
    variants: tuple[str, ...] = Field(default=("AllTraffic",), min_length=1, max_length=10)
    alarms: bool = Field(
        default=True,
        description="Alarm on the endpoint's own latency, error rates and volume (AWS/SageMaker).",
    )
    latency_p99: Annotated[float, Field(gt=0)] = Field(
        default=1000.0, description="ModelLatency p99 above which to alarm, milliseconds."
    )
    overhead_p99: Annotated[float, Field(gt=0)] = Field(
        default=500.0, description="OverheadLatency p99 above which to alarm, milliseconds."
    )
    error_rate_4xx: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.05, description="Share of invocations answered 4XX above which to alarm."
    )
    error_rate_5xx: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.01, description="Share of invocations answered 5XX above which to alarm."
    )


class FeatureSettings(Settings):
    """Overrides for one column."""

    kind: Literal["numeric", "discrete", "categorical", "boolean", "text"] | None = None
    ignore: bool = Field(default=False, description="Profile the column, but never judge it.")
    min_effect: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Overrides decision.min_effect for this column."
    )
    importance: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description=(
            "The column's weight for the model, on any scale; orders reports and alerts. Default: "
            "its association with the label in the training data, where that is known."
        ),
    )


class PersistenceSettings(Settings):
    """Evidence over all windows: small shifts that last."""

    enabled: bool = True
    false_alarm_every: Duration = Field(
        default=timedelta(days=365),
        description="How long unchanged traffic goes without an alarm, on average at least.",
    )
    learning_windows: Annotated[int, Field(ge=2, le=100)] = Field(
        default=8,
        description="First windows, which only teach how much windows differ without drift.",
    )
    min_shift: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.005,
        description="Largest shift that is nobody's alarm, in the baseline's standard deviations.",
    )


class JointSettings(Settings):
    """How columns go together."""

    enabled: bool = True
    min_correlation_change: Annotated[float, Field(gt=0, le=2)] = Field(
        default=0.15, description="Smallest change of a correlation that is worth an alarm."
    )


class ReferenceSettings(Settings):
    """Something else than the baseline that windows are compared with."""

    kind: Literal["trailing", "season", "variant"]
    windows: Annotated[int, Field(ge=1, le=52)] | None = Field(
        default=None,
        description=(
            "How many: the preceding windows (trailing, default 4), or the windows at this time "
            "of earlier periods (season, default 1)."
        ),
    )
    period: Duration | None = Field(
        default=None,
        description="Of the season: 7d for the same hour or day of past weeks, 364d for last year.",
    )
    variant: str | None = Field(default=None, description="The other variant.")

    @model_validator(mode="after")
    def _parts_belong(self) -> Self:
        if (self.kind == "season") != (self.period is not None):
            raise ValueError("period belongs to kind: season, and such a reference needs one")
        if (self.kind == "variant") != (self.variant is not None):
            raise ValueError("variant belongs to kind: variant, and such a reference needs one")
        if self.kind == "variant" and self.windows is not None:
            raise ValueError("windows does not belong to kind: variant")
        return self

    @property
    def count(self) -> int:
        """How many windows the reference consists of."""
        return self.windows or {"trailing": 4, "season": 1, "variant": 1}[self.kind]

    @property
    def name(self) -> str:
        """What reports call it."""
        if self.kind == "season" and self.period is not None:
            return f"{self.count} x {format_duration(self.period)} before"
        return f"variant {self.variant}" if self.variant else f"trailing {self.count}"


def check_references(
    references: tuple[ReferenceSettings, ...], *, window: timedelta, variants: tuple[str, ...]
) -> None:
    """Raise ValueError where a reference is there twice or cannot be found for a window."""
    names = [reference.name for reference in references]
    for at, reference in enumerate(references):
        where = f"references.{at}"
        if reference.name in names[:at]:
            raise ValueError(f"{where}: {reference.name!r} is there already")
        if reference.period is not None and reference.period % window:
            raise ValueError(
                f"{where}.period: {format_duration(reference.period)} is not a whole number "
                f"of windows ({format_duration(window)}), so no earlier window is at the "
                "same time; a year of whole weeks is 364d"
            )
        if reference.variant is not None and len(variants) == 1:
            raise ValueError(f"{where}.variant: the endpoint has no other variant")
        if reference.variant is not None and reference.variant not in variants:
            known = ", ".join(variants)
            raise ValueError(
                f"{where}.variant: {reference.variant!r} is none of endpoint.variants: {known}"
            )


class DecisionSettings(Settings):
    """How a window's difference from the baseline becomes a verdict."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.01,
        description=(
            "Chance of any false alarm over all features of one window; with benjamini_hochberg, "
            "the expected share of false ones among the drifted."
        ),
    )
    correction: Literal["holm", "benjamini_hochberg"] = Field(
        default="holm", description="How p-values pay for the number of columns."
    )
    clustering: Literal["windows", "none"] = Field(
        default="windows",
        description=(
            "windows: traffic comes in clusters, and how much more windows differ than independent "
            "rows would is learnt from past windows. none: rows are independent."
        ),
    )
    min_effect: Annotated[float, Field(ge=0)] = Field(
        default=0.025,
        description="Smallest bias-corrected PSI that is worth an alarm.",
    )
    min_rows: Annotated[int, Field(ge=10)] = Field(
        default=50, description="Below this many values the verdict is insufficient data."
    )
    min_excess: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.005,
        description=(
            "Data quality: smallest excess over the baseline's own share of missing, mistyped, "
            "unseen or negative values that is a violation."
        ),
    )
    persistence: PersistenceSettings = PersistenceSettings()
    joint: JointSettings = JointSettings()


class AlarmSettings(Settings):
    """M-of-N, period and limits of the CloudWatch alarms of one monitor."""

    datapoints: Annotated[int, Field(ge=1, le=100)] = 1
    evaluation_periods: Annotated[int, Field(ge=1, le=100)] = 1
    period: Duration | None = Field(
        default=None,
        description="Seconds between datapoints; default: the window, at most a day.",
    )
    rejected_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.01, description="Share of rejected records and rows above which to alarm."
    )
    silence: Duration = Field(
        default=timedelta(hours=24),
        description="Alarm when no captured row arrived for this long (whole hours, at most 7d).",
    )

    @model_validator(mode="after")
    def _datapoints_fit(self) -> Self:
        if self.datapoints > self.evaluation_periods:
            raise ValueError("datapoints (M) must not exceed evaluation_periods (N)")
        return self

    @field_validator("silence")
    @classmethod
    def _whole_hours(cls, value: timedelta) -> timedelta:
        hours, rest = divmod(value, timedelta(hours=1))
        if rest or not 1 <= hours <= 168:
            raise ValueError("silence is a whole number of hours between 1h and 7d")
        return value

    def check_periods(self, period: timedelta, *, window: timedelta) -> None:
        """Raise ValueError if CloudWatch cannot look at windows as these settings say.

        Parameters
        ----------
        period : timedelta
            Between datapoints.
        window : timedelta
            Length of the monitor's windows.
        """
        seconds = int(period.total_seconds())
        if seconds not in (10, 20, 30) and seconds % 60:
            raise ValueError("alarms.period must be 10s, 20s, 30s or whole minutes")
        if self.evaluation_periods > 1 and period < window:
            raise ValueError(
                "alarms: with one datapoint per window, evaluation_periods above 1 needs a period "
                f"as long as the window ({format_duration(window)}); CloudWatch's longest "
                "period is 1d"
            )
        longest = timedelta(days=7) if seconds >= 3600 else timedelta(days=1)
        if period * self.evaluation_periods > longest:
            raise ValueError(
                "alarms: period times evaluation_periods exceeds what CloudWatch evaluates "
                f"({format_duration(longest)} at this period): lower evaluation_periods"
            )


class AlertSettings(Settings):
    """Who is told."""

    emails: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")], ...] = ()
    slack_workspace_id: Annotated[str, Field(pattern=r"^[0-9A-Z]{1,255}$")] | None = Field(
        default=None, description="Slack through Amazon Q Developer in chat applications."
    )
    slack_channel_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{9,255}$")] | None = None
    slack_webhook_secret: str | None = Field(
        default=None,
        description="Name of the Secrets Manager secret that holds the webhook URL.",
    )

    @model_validator(mode="after")
    def _workspace_with_channel(self) -> Self:
        if (self.slack_workspace_id is None) != (self.slack_channel_id is None):
            raise ValueError("slack_workspace_id and slack_channel_id go together")
        return self


class ModelMonitorMetricsSettings(Settings):
    """CloudWatch metrics under the names, namespace and dimensions of SageMaker Model Monitor."""

    schedule: str = Field(
        pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$",
        description="The monitoring schedule's name: the dimension MonitoringSchedule.",
    )
    batch: bool = Field(
        default=False,
        description="The schedule watched batch transforms: their namespace, and no Endpoint.",
    )
    variant: str | None = Field(
        default=None,
        description=(
            "The variant whose windows are published, since the dimensions name none; default: "
            "the first."
        ),
    )
    namespace: Annotated[str, Field(pattern=r"^[^:].{0,254}$")] | None = Field(
        default=None, description="Replaces Model Monitor's namespace."
    )

    @field_validator("namespace")
    @classmethod
    def _not_reserved(cls, value: str | None) -> str | None:
        if value is not None and value.startswith("AWS/"):
            raise ValueError("CloudWatch keeps namespaces that begin with AWS/ for itself")
        return value

    def check_variant(self, variants: tuple[str, ...]) -> None:
        """Raise ValueError if the published variant is none of these.

        Parameters
        ----------
        variants : tuple of str
            Those of the endpoint.
        """
        if self.variant is not None and self.variant not in variants:
            raise ValueError(
                f"model_monitor_metrics.variant: {self.variant!r} is none of endpoint.variants: "
                + ", ".join(variants)
            )
