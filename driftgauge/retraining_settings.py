"""The block of a monitor file that says when and how a model is trained anew."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from driftgauge.rollout_settings import RollOutSettings
from driftgauge.settings import Duration, Settings, WindowAlarm
from driftgauge.windows import format_duration

# An execution of Step Functions has a year; what is not waiting takes little of it.
_LONGEST_EXECUTION: Final = timedelta(days=360)
_DECIDED: Final = "mode and decision switch it off"
_WHY_ABSENT: Final[dict[WindowAlarm, str]] = {
    "persistent-drift": _DECIDED,
    "joint-drift": _DECIDED,
    "quality-decay": "it needs `outcomes`",
    "concept-drift": "it needs mode: sound, quality.estimate, and a score or a regression",
    "bias-drift": "it needs `bias`",
    "attribution-drift": "it needs `attribution`",
}


class SageMakerTrainer(Settings):
    """A SageMaker training job as the training step."""

    image: str
    role_arn: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")]
    instance_type: str = "ml.m5.large"
    instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 10
    max_runtime: Duration = timedelta(hours=1)
    hyperparameters: dict[str, str] = Field(default_factory=dict)


class SageMakerPipeline(Settings):
    """A SageMaker pipeline as the training step."""

    pipeline: Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}$")] = Field(
        description="Name of the pipeline, whose parameters TrainUri, ScoringUri and OutputUri "
        "are set."
    )
    parameters: dict[str, str] = Field(
        default_factory=dict, max_length=100, description="Its other parameters."
    )
    max_runtime: Duration = Field(
        default=timedelta(days=1), description="How long an execution may take."
    )

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, value: dict[str, str]) -> dict[str, str]:
        taken = sorted(value.keys() & {"TrainUri", "ScoringUri", "OutputUri"})
        if taken:
            raise ValueError(f"{', '.join(taken)}: set by the retraining itself")
        return value


class RetrainingSettings(Settings):
    """When and how the state machine retrains."""

    enabled: bool = False
    triggers: tuple[WindowAlarm | tuple[WindowAlarm, ...], ...] | None = Field(
        default=None,
        min_length=1,
        description=(
            "Which alarms start a retraining; a list inside the list starts one when all of its "
            "alarms ring. Default: quality-decay where there are outcomes, or prediction-drift "
            "together with feature-drift."
        ),
    )
    trainer: Literal["logistic"] | SageMakerTrainer | SageMakerPipeline | None = Field(
        default="logistic",
        description=(
            "logistic: the built-in logistic regression, in a Lambda. Or a SageMaker training job, "
            "or a SageMaker pipeline."
        ),
    )
    trainer_function_arn: str | None = Field(
        default=None, description="Your own Lambda as the training step, instead of trainer."
    )
    lookback: Duration = Field(
        default=timedelta(days=30),
        description="How far back from the drifted window's end labelled rows are taken.",
    )
    holdout_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    min_rows: Annotated[int, Field(ge=1)] = 1000
    min_label_coverage: Annotated[float, Field(gt=0, le=1)] = 0.5
    cooldown: Duration = timedelta(days=1)
    approval: bool = Field(default=False, description="Ask a human before the model is promoted.")
    approval_timeout: Duration = timedelta(days=3)
    approval_links: bool = Field(
        default=True,
        description=(
            "Put links that approve and reject, each once, into the message: a public function URL "
            "serves them."
        ),
    )
    min_improvement: float = Field(
        default=0.0,
        description="How much lower the challenger's log loss must be, in nats per row.",
    )
    rollout: RollOutSettings | None = Field(
        default=None,
        description=(
            "How a promoted model comes to serve the endpoint; needs a SageMaker trainer. Without "
            "it the pointer to the champion moves, and what serves reads it."
        ),
    )

    @model_validator(mode="after")
    def _rollout_has_a_model(self) -> Self:
        if self.rollout is None:
            return self
        if self.trainer_function_arn is not None or not isinstance(
            self.trainer, SageMakerTrainer | SageMakerPipeline
        ):
            raise ValueError(
                "rollout: an endpoint serves what SageMaker has trained: set trainer to a "
                "SageMaker image or pipeline, or leave rollout out"
            )
        if self.serving_image is None:
            raise ValueError(
                "rollout.image: name the image that serves the model: trainer.pipeline says none"
            )
        return self

    @model_validator(mode="after")
    def _execution_ends_in_time(self) -> Self:
        trainer, rollout = self.trainer, self.rollout
        longest = timedelta()
        if isinstance(trainer, SageMakerTrainer | SageMakerPipeline):
            longest += trainer.max_runtime
        if self.approval:
            longest += self.approval_timeout
        if rollout is not None:
            longest += len(rollout.compared) * rollout.stage_limit
        if longest > _LONGEST_EXECUTION:
            raise ValueError(
                "trainer.max_runtime, approval_timeout and rollout.stage_limit of each compared "
                f"stage make {math.ceil(longest / timedelta(days=1))}d together, more than "
                f"{format_duration(_LONGEST_EXECUTION)}: Step Functions ends an execution after a "
                "year"
            )
        return self

    @property
    def serving_image(self) -> str | None:
        """The image that serves a challenger; None if the settings name none."""
        if self.rollout is not None and self.rollout.image is not None:
            return self.rollout.image
        return self.trainer.image if isinstance(self.trainer, SageMakerTrainer) else None


def check_triggers(triggers: Sequence[Sequence[WindowAlarm]], alarms: Collection[str]) -> None:
    """Raise ValueError if an alarm that is to start a retraining is not there.

    Parameters
    ----------
    triggers : sequence of sequences of str
        What starts a retraining: all alarms of any of these.
    alarms : collection of str
        Those that the monitor has.
    """
    needed = dict.fromkeys(kind for all_of in triggers for kind in all_of)
    absent = [kind for kind in needed if kind not in alarms]
    if absent:
        raise ValueError(
            f"retraining.triggers: this monitor has no alarm {', '.join(absent)}: "
            + "; ".join(dict.fromkeys(_WHY_ABSENT[kind] for kind in absent))
        )
