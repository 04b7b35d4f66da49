"""The blocks of a monitor file that say how a promoted model comes to serve an endpoint.

``driftgauge.retraining_settings`` puts them into its own block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from driftgauge.settings import (
    Duration,
    ModelMonitorMetricsSettings,
    ReferenceSettings,
    Settings,
)
from driftgauge.windows import format_duration

Strategy = Literal["direct", "shadow_canary", "ab"]
# What an endpoint goes through, one after the other. `withdraw` puts the configuration from before
# the roll-out back: SageMaker's guardrails want the same variants before and after.
Stage = Literal["shadow", "canary", "ab", "withdraw", "full"]
STAGES: Final[dict[Strategy, tuple[Stage, ...]]] = {
    "direct": ("full",),
    "shadow_canary": ("shadow", "canary", "withdraw", "full"),
    "ab": ("ab", "withdraw", "full"),
}
ComparedKind = Literal["ab", "shadow"]
# The stages in which a challenger is compared with the champion, as what kind of experiment.
COMPARED_KINDS: Final[dict[Stage, ComparedKind]] = {"shadow": "shadow", "canary": "ab", "ab": "ab"}
COMPARED: Final[tuple[Stage, ...]] = tuple(COMPARED_KINDS)
# Alarms of the challenger's variant that end its comparison at once, the most telling first.
HARM_ALARMS: Final = (
    *("experiment-harm", "errors-5xx", "errors-4xx", "model-latency", "overhead-latency"),
)
_LONGEST_WAIT = timedelta(hours=1)
# SageMaker gives a deployment eight hours, and instances take some time to start.
_LONGEST_WATCH = timedelta(hours=7)


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
            raise ValueError("percent: a step of shift: linear is at least 10 percent")
        if self.watched > _LONGEST_WATCH:
            raise ValueError(
                f"wait: with steps of {self.percent} percent they are watched for "
                f"{format_duration(self.watched)} together, more than the "
                f"{format_duration(_LONGEST_WATCH)} that fit into a deployment of SageMaker: "
                "shorten wait, or take larger steps"
            )
        return self

    @property
    def watched(self) -> timedelta:
        """How long all steps are watched together.

        Examples
        --------
        >>> str(TrafficSettings(shift="linear", percent=25, wait="5m", bake="10m").watched)
        '0:25:00'
        """
        steps = {"canary": 2, "linear": math.ceil(100 / self.percent), "all_at_once": 1}
        return (steps[self.shift] - 1) * self.wait + self.bake


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
    environment: dict[Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,1023}$")], str] = (
        Field(
            default_factory=dict,
            max_length=100,
            description=(
                "Environment variables of the serving container, on top of the champion's."
            ),
        )
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
        for stage in self.compared:
            earliest = self._judged(stage).min_duration
            if self.stage_limit <= earliest:
                raise ValueError(
                    f"stage_limit: {format_duration(self.stage_limit)} is over before "
                    f"{stage}.min_duration ({format_duration(earliest)}): no challenger could win"
                )
        return self

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What the endpoint goes through, in order."""
        return STAGES[self.strategy]

    @property
    def compared(self) -> tuple[Stage, ...]:
        """The stages in which a challenger is compared with the champion."""
        return tuple(stage for stage in self.stages if stage in COMPARED)

    @property
    def kinds(self) -> tuple[ComparedKind, ...]:
        """As what kinds of experiments a challenger is compared, in order, each once."""
        return tuple(dict.fromkeys(COMPARED_KINDS[stage] for stage in self.compared))

    def sides(self, variants: Sequence[str]) -> tuple[str, str]:
        """Return the variants that serve champion and challenger.

        Parameters
        ----------
        variants : sequence of str
            Those of the endpoint.
        """
        return self.champion or variants[0], self.challenger

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
        judged = dict(self._judged(stage))
        if COMPARED_KINDS[stage] == "shadow":
            return ShadowMonitorSettings(kind="shadow", **place, **judged)
        return AbMonitorSettings(kind="ab", **place, **judged)

    def _judged(self, stage: Stage) -> ShadowSettings | ExperimentSettings:
        """Return what a stage is judged by."""
        judged = {"shadow": self.shadow, "canary": self.canary, "ab": self.ab}.get(stage)
        if judged is None:
            raise ValueError(f"{stage} is not a stage of strategy {self.strategy}")
        return judged


def experiment_name(version: str, stage: Stage) -> str:
    """Return what the experiment of a stage is called.

    Examples
    --------
    >>> experiment_name("20260701T000000Z-0a1b2c3d", "shadow")
    '20260701t000000z-0a1b2c3d-shadow'
    """
    return f"{version.lower()}-{stage}"


def check_rollout(
    rollout: RollOutSettings, *, variants: tuple[str, ...], columns: OutcomeColumns | None
) -> None:
    """Raise ValueError if an endpoint cannot serve what a roll-out compares.

    Parameters
    ----------
    rollout : RollOutSettings
    variants : tuple of str
        Those of the endpoint.
    columns : OutcomeColumns or None
        What is known of predictions and labels; None without ``outcomes``.
    """
    champion, challenger = rollout.sides(variants)
    known = ", ".join(variants)
    if champion not in variants:
        raise ValueError(
            f"retraining.rollout.champion: {champion!r} is none of endpoint.variants: {known}"
        )
    if not rollout.compared:
        return
    if challenger not in variants:
        raise ValueError(
            f"retraining.rollout.challenger: {challenger!r} is none of endpoint.variants: {known}. "
            "List it there: it has windows and alarms while it is compared"
        )
    others = [one for one in variants if one not in (champion, challenger)]
    if others:
        raise ValueError(
            f"retraining.rollout: the endpoint has other variants than {champion!r} and "
            f"{challenger!r}: {', '.join(others)}. A stage that compares has these two alone"
        )
    if champion == challenger:
        raise ValueError(
            f"retraining.rollout.challenger: {challenger!r} is the champion, which is the first "
            "of endpoint.variants unless retraining.rollout.champion says otherwise"
        )
    if variants[0] == challenger:
        raise ValueError(
            f"endpoint.variants: list {champion!r} first: {challenger!r} does not always serve, "
            "and the first variant stands for the endpoint"
        )
    if columns is None:
        raise ValueError(
            f"retraining.rollout.strategy: {rollout.strategy} needs `outcomes`: how labels and "
            "predictions are to be read"
        )
    moment = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    for stage in rollout.compared:
        judged = rollout.experiment(stage, champion=champion, version="0", since=moment)
        try:
            check_experiments((judged,), variants, columns)
        except ValueError as error:
            text = str(error).removeprefix("experiments.0").lstrip(".: ")
            raise ValueError(f"retraining.rollout.{stage}: {text}") from error


def check_challenger(
    challenger: str | None,
    *,
    experiments: Sequence[ComparedVariants],
    references: Sequence[ReferenceSettings],
    published: ModelMonitorMetricsSettings | None,
) -> None:
    """Raise ValueError if a monitor relies on a variant that comes and goes with roll-outs.

    Parameters
    ----------
    challenger : str or None
        That variant; None if there is none.
    experiments, references : sequences of settings
        Those of the monitor.
    published : ModelMonitorMetricsSettings or None
        Whose windows are published under Model Monitor's names.
    """
    if challenger is None:
        return
    why = f"{challenger!r} serves only while a roll-out compares it"
    for at, one in enumerate(experiments):
        if challenger in (one.champion, one.challenger):
            raise ValueError(f"experiments.{at}: {why}: choose another retraining.rollout.strategy")
    for at, reference in enumerate(references):
        if reference.variant == challenger:
            raise ValueError(f"references.{at}.variant: {why}")
    if published is not None and published.variant == challenger:
        raise ValueError(f"model_monitor_metrics.variant: {why}")
