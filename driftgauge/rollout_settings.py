"""The blocks of a monitor file that say how a promoted model comes to serve an endpoint.

``driftgauge.retraining_settings`` puts them into its own block.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from driftgauge.experiment_settings import (
    AbMonitorSettings,
    ComparedVariants,
    ShadowMonitorSettings,
    check_experiments,
)
from driftgauge.experiments.settings import ExperimentSettings
from driftgauge.experiments.shadow_settings import ShadowSettings
from driftgauge.quality.tables import OutcomeColumns
from driftgauge.settings import Duration, Settings

Strategy = Literal["direct", "shadow_canary", "ab"]
# What an endpoint goes through, one after the other. `withdraw` puts the configuration from before
# the roll-out back: SageMaker's guardrails want the same variants before and after.
Stage = Literal["shadow", "canary", "ab", "withdraw", "full"]
STAGES: Final[dict[Strategy, tuple[Stage, ...]]] = {
    "direct": ("full",),
    "shadow_canary": ("shadow", "canary", "withdraw", "full"),
    "ab": ("ab", "withdraw", "full"),
}
COMPARED: Final[tuple[Stage, ...]] = ("shadow", "canary", "ab")
_LONGEST_WAIT = timedelta(hours=1)


class TrafficSettings(Settings):
    """How the last stage shifts the traffic: SageMaker's deployment guardrails."""

    shift: Literal["canary", "linear", "all_at_once"] = Field(
        default="canary",
        description="canary: `percent` first, then all. linear: steps of `percent`.",
    )
    percent: Annotated[int, Field(ge=1, le=50)] = Field(
        default=10, description="Percent of the new fleet's capacity; 10 to 50 for linear."
    )
    wait: Duration = Field(
        default=timedelta(minutes=10),
        description="How long each step is watched before the next one; at most 1h.",
    )
    bake: Duration = Field(
        default=timedelta(minutes=10),
        description="How long the old fleet waits after the last step; at most 1h.",
    )

    @model_validator(mode="after")
    def _sagemaker_takes_it(self) -> Self:
        for name, value in (("wait", self.wait), ("bake", self.bake)):
            if value > _LONGEST_WAIT:
                raise ValueError(f"{name} is at most 1h: SageMaker watches no longer")
        if self.shift == "linear" and self.percent < 10:
            raise ValueError("percent: a linear step is at least 10 percent")
        return self


class CanarySettings(ExperimentSettings):
    """How a challenger is compared with the champion on a small share of the traffic."""

    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="The challenger's share of the traffic."
    )


class RollOutSettings(Settings):
    """How a challenger that won on held-back rows comes to serve the endpoint."""

    strategy: Strategy = Field(
        default="direct",
        description=(
            "direct: at once, behind `traffic`. shadow_canary: first as a shadow, then on a small "
            "share of the traffic. ab: first on an equal share."
        ),
    )
    role_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")] = Field(
        description="The role that the served model gets."
    )
    image: str | None = Field(
        default=None, description="Image that serves the model; default: retraining.trainer.image."
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="Environment variables of the serving container."
    )
    model_package_group: Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")] | (
        None
    ) = Field(
        default=None,
        description=(
            "Group of the model registry that challengers are registered in; it has to exist."
        ),
    )
    champion: str | None = Field(
        default=None,
        description="The variant that serves; default: the first of endpoint.variants.",
    )
    challenger: str = Field(
        default="challenger",
        description="The variant that a challenger is compared as; one of endpoint.variants.",
    )
    shadow: ShadowSettings = ShadowSettings()
    canary: CanarySettings | None = Field(
        default=None, description="What a canary is judged by; needed by shadow_canary."
    )
    ab: ExperimentSettings | None = Field(
        default=None, description="What an A/B test is judged by; needed by ab."
    )
    stage_limit: Duration = Field(
        default=timedelta(days=30),
        description="The champion stays if a stage has no verdict by then.",
    )
    traffic: TrafficSettings = TrafficSettings()

    @model_validator(mode="after")
    def _stages_are_judged(self) -> Self:
        if self.strategy == "shadow_canary" and self.canary is None:
            raise ValueError("canary: say what it is judged by, at least its `primary` metric")
        if self.strategy == "ab" and self.ab is None:
            raise ValueError("ab: say what it is judged by, at least its `primary` metric")
        if self.stage_limit > timedelta(days=300):
            raise ValueError("stage_limit is at most 300d: an execution ends after a year")
        return self

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What the endpoint goes through, in order."""
        return STAGES[self.strategy]

    @property
    def compared(self) -> tuple[Stage, ...]:
        """The stages in which a challenger is compared with the champion."""
        return tuple(stage for stage in self.stages if stage in COMPARED)

    def experiment(
        self, stage: Stage, *, champion: str, version: str, since: datetime
    ) -> AbMonitorSettings | ShadowMonitorSettings:
        """Return the experiment that a stage is.

        Parameters
        ----------
        stage : str
            One of ``compared``.
        champion : str
            The variant that serves.
        version : str
            Of the challenger.
        since : datetime
            When the endpoint began to serve both.

        Examples
        --------
        >>> from datetime import UTC
        >>> settings = RollOutSettings(
        ...     strategy="shadow_canary", role_arn="arn:aws:iam::123456789012:role/serving",
        ...     canary={"primary": {"name": "accuracy"}},
        ... )
        >>> found = settings.experiment(
        ...     "canary", champion="AllTraffic", version="20260701T000000Z-0a1b2c3d",
        ...     since=datetime(2026, 7, 1, tzinfo=UTC),
        ... )
        >>> found.name, found.share
        ('20260701t000000z-0a1b2c3d-canary', 0.1)
        """
        place = {
            "name": experiment_name(version, stage),
            "champion": champion,
            "challenger": self.challenger,
            "since": since,
        }
        if stage == "shadow":
            return ShadowMonitorSettings(kind="shadow", **place, **dict(self.shadow))
        judged = self.canary if stage == "canary" else self.ab
        return AbMonitorSettings(kind="ab", **place, **dict(judged or ()))


def experiment_name(version: str, stage: Stage) -> str:
    """Return what the experiment of a stage is called.

    Examples
    --------
    >>> experiment_name("20260701T000000Z-0a1b2c3d", "shadow")
    '20260701t000000z-0a1b2c3d-shadow'
    """
    return f"{version.lower()}-{stage}"


def check_rollout(
    rollout: RollOutSettings,
    *,
    variants: tuple[str, ...],
    experiments: tuple[ComparedVariants, ...],
    columns: OutcomeColumns | None,
) -> None:
    """Raise ValueError if a monitor cannot roll a model out as its settings say.

    Parameters
    ----------
    rollout : RollOutSettings
    variants : tuple of str
        Those of the endpoint.
    experiments : tuple of settings
        Those that the monitor has besides.
    columns : OutcomeColumns or None
        What is known of predictions and labels; None without ``outcomes``.
    """
    champion = rollout.champion or variants[0]
    if champion not in variants:
        raise ValueError(
            f"retraining.rollout.champion: {champion!r} is none of endpoint.variants: "
            + ", ".join(variants)
        )
    if not rollout.compared:
        return
    if columns is None:
        raise ValueError(
            f"retraining.rollout.strategy: {rollout.strategy} needs `outcomes`: how labels and "
            "predictions are to be read"
        )
    if any(one.challenger == rollout.challenger for one in experiments):
        raise ValueError(
            f"retraining.rollout.challenger: {rollout.challenger!r} is challenger of an experiment "
            "as well"
        )
    moment = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    for stage in rollout.compared:
        judged = rollout.experiment(stage, champion=champion, version="0", since=moment)
        try:
            check_experiments((judged,), variants, columns)
        except ValueError as error:
            text = str(error).partition(": ")[2]
            raise ValueError(f"retraining.rollout.{stage}: {text}") from error
