"""The block of a monitor file that says when a shadow has shown enough."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from driftgauge.settings import Duration, Settings

_Share = Annotated[float, Field(ge=0, le=1)]


class ShadowSettings(Settings):
    """When a shadow has shown enough, and when it must not go on."""

    sampling: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Share of production's requests that the shadow receives."
    )
    tolerance: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Regression: predictions that differ by no more agree."
    )
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.05,
        description="Chance that a bound that decides ever misses, however often one looks.",
    )
    min_pairs: Annotated[int, Field(ge=20)] = Field(
        default=1_000,
        description="Pairs without which the shadow does not go on; it may be stopped earlier.",
    )
    min_labelled: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Pairs with a label without which the shadow does not go on."
    )
    min_duration: Duration = Field(
        default=timedelta(hours=1), description="The shadow does not go on earlier."
    )
    min_agreement: _Share = Field(
        default=0.8,
        description=(
            "A shadow that surely agrees less often is stopped, unless labels show that it is "
            "better."
        ),
    )
    max_unpaired: _Share = Field(
        default=0.05,
        description="Largest share of the expected pairs that may be missing.",
    )
    margin: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description=(
            "Largest loss that is tolerated where labels show that the shadow is worse: in error "
            "rate, or in mean absolute error."
        ),
    )
    max_latency_ratio: Annotated[float, Field(gt=0)] | None = Field(
        default=1.5,
        description="Largest ratio of the 90% latencies, shadow to production; null: any.",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.max_unpaired == 1.0 and self.min_agreement == 0.0 and not self.min_labelled:
            raise ValueError(
                "nothing is asked of the shadow: set min_agreement, max_unpaired or min_labelled"
            )
        return self
