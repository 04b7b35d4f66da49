"""The block of a monitor file that says how a challenger is compared with the champion."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from driftgauge.experiments.sequential import Clustering
from driftgauge.experiments.verdict import Better, Method
from driftgauge.quality.metrics import LOWER_IS_BETTER
from driftgauge.settings import Duration, Settings

_Positive = Annotated[float, Field(gt=0)]


class MetricSettings(Settings):
    """One metric of an experiment."""

    name: str = Field(
        min_length=1,
        max_length=200,
        description=(
            "accuracy, recall, precision, positive_rate, brier_score, log_loss, mae, mse, "
            "`mean of` or `missing` and a column, or another metric that both arms have."
        ),
    )
    better: Better | None = Field(
        default=None, description="Which values are better; needed where the name does not say."
    )
    low: float | None = Field(default=None, description="No value is below; empirical_bernstein.")
    high: float | None = Field(default=None, description="No value is above; empirical_bernstein.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high go together")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError("low must be below high")
        if self.better is None and self.name not in _KNOWN:
            raise ValueError(f"better: is a higher or a lower {self.name!r} better?")
        return self

    @property
    def direction(self) -> Better:
        """Which values are better."""
        if self.better is not None:
            return self.better
        return "lower" if self.name in LOWER_IS_BETTER else "higher"

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Between which all values are; rates are between 0 and 1, whatever the settings."""
        if self.low is not None and self.high is not None:
            return self.low, self.high
        return (0.0, 1.0) if self.name in _RATES or self.name.startswith("missing ") else None


class PrimarySettings(MetricSettings):
    """The metric that has to become better."""

    effect: _Positive | None = Field(
        default=None, description="Smallest improvement worth finding, in units of the metric."
    )
    relative_effect: _Positive = Field(
        default=0.05, description="The same as a share of the champion's mean before the test."
    )


class GuardrailSettings(MetricSettings):
    """A metric that must not become worse."""

    margin: _Positive | None = Field(
        default=None, description="Largest loss that is tolerated, in units of the metric."
    )
    relative_margin: _Positive = Field(
        default=0.05, description="The same as a share of the champion's mean before the test."
    )


class ExperimentSettings(Settings):
    """How a challenger is compared with the champion."""

    primary: PrimarySettings
    guardrails: tuple[GuardrailSettings, ...] = Field(default=(), max_length=20)
    method: Method = Field(
        default="msprt",
        description=(
            "msprt: valid at any look, for many rows. empirical_bernstein: the same, exact, for "
            "bounded values. fixed: one test at the end. obrien_fleming, pocock: `stages` tests."
        ),
    )
    stages: Annotated[int, Field(ge=2, le=20)] = Field(
        default=5, description="Tests of obrien_fleming and pocock."
    )
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.05,
        description="Chance of any wrong promotion or stop of a challenger like the champion.",
    )
    power: Annotated[float, Field(ge=0.5, le=0.999)] = Field(
        default=0.9, description="Chance of finding the effect, for which the test is planned."
    )
    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5, description="The challenger's share of the traffic."
    )
    min_rows: Annotated[int, Field(ge=20)] = Field(
        default=100, description="Below this many rows of either arm a metric is not judged."
    )
    min_duration: Duration = Field(
        default=timedelta(days=1),
        description="Nothing is promoted earlier; 7d where weekdays differ.",
    )
    max_duration: Duration = Field(
        default=timedelta(days=28), description="Without a decision until then the champion stays."
    )
    mismatch_alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.001, description="Chance of a false alarm about the arms' shares of the traffic."
    )
    clustering: Clustering = Field(
        default="blocks",
        description=(
            "blocks: how much more blocks of time differ than independent rows would is learnt "
            "from them. none: rows are independent."
        ),
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        names = [self.primary.name, *(metric.name for metric in self.guardrails)]
        twice = [name for at, name in enumerate(names) if name in names[:at]]
        if twice:
            raise ValueError(f"guardrails: {twice[0]!r} is there already")
        if self.min_duration > self.max_duration:
            raise ValueError("min_duration must not exceed max_duration")
        if self.method == "empirical_bernstein":
            for metric in (self.primary, *self.guardrails):
                if metric.bounds is None:
                    raise ValueError(
                        f"{metric.name}: empirical_bernstein needs its bounds, low and high"
                    )
        return self


_RATES = frozenset(
    {
        *("accuracy", "recall", "precision", "true_negative_rate"),
        *("false_positive_rate", "false_negative_rate", "positive_rate"),
    }
)
_KNOWN = (_RATES - {"positive_rate"}) | {"mae", "mse", "brier_score", "log_loss"}
