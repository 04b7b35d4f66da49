"""Fleets: the instances that serve one endpoint configuration."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from local.sagemaker.catalogue import Catalogue, Record
from local.sagemaker.errors import refused_invocation
from local.sagemaker.images import Images, Serve, fetch_model
from local.sagemaker.names import now
from local.sagemaker.surroundings import Surroundings


@dataclass(kw_only=True, eq=False)
class Variant:
    """One model on its instances.

    ``weight`` is in force, ``desired_weight`` is what was asked for. ``folder`` lives as long as
    the model that was loaded from it.
    """

    name: str
    image: str
    serve: Serve
    weight: float
    desired_weight: float
    instances: int
    folder: tempfile.TemporaryDirectory[str]
    started: datetime = field(default_factory=now)
    status: list[Record] = field(default_factory=list)

    def set_status(self, status: str, message: str) -> None:
        """Say what is being done with the variant."""
        self.status = [{"Status": status, "StatusMessage": message, "StartTime": now()}]

    def summary(self) -> Record:
        """Return what DescribeEndpoint shows."""
        image = {
            "SpecifiedImage": self.image,
            "ResolvedImage": self.image,
            "ResolutionTime": self.started,
        }
        shown: Record = {
            "VariantName": self.name,
            "DeployedImages": [image],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.desired_weight,
            "CurrentInstanceCount": self.instances,
            "DesiredInstanceCount": self.instances,
        }
        if self.status:
            shown["VariantStatus"] = self.status
        return shown


@dataclass(kw_only=True, eq=False)
class Fleet:
    """Production variants, perhaps a shadow, and what is captured of them."""

    config: str
    variants: tuple[Variant, ...]
    shadow: Variant | None
    capture: Record | None

    @property
    def instances(self) -> int:
        """Number of instances of the production variants."""
        return sum(variant.instances for variant in self.variants)

    def variant(self, name: str) -> Variant | None:
        """Return a production variant by name; None if there is none."""
        return next((variant for variant in self.variants if variant.name == name), None)

    def any_variant(self, name: str) -> Variant | None:
        """Return a production variant or the shadow by name; None if there is none."""
        if self.shadow is not None and self.shadow.name == name:
            return self.shadow
        return self.variant(name)

    def choose(self, dice: random.Random) -> Variant:
        """Return a production variant with the probability that its weight gives it.

        Raises
        ------
        ApiError
            If every weight is zero.
        """
        weights = [variant.weight for variant in self.variants]
        if sum(weights) <= 0:
            raise refused_invocation("No production variant has a weight above zero.")
        return dice.choices(self.variants, weights)[0]

    def shadows(self, variant: Variant, dice: random.Random) -> bool:
        """Tell whether a request of a variant goes to the shadow as well.

        The shadow's weight is relative to that of the production variant.
        """
        if self.shadow is None or variant.weight <= 0:
            return False
        return dice.random() < self.shadow.weight / variant.weight

    def set_status(self, status: str, message: str) -> None:
        """Say what is being done with every production variant."""
        for variant in self.variants:
            variant.set_status(status, message)

    def settle(self) -> None:
        """Nothing is being done any more."""
        for variant in self.variants:
            variant.status = []


def start_fleet(
    config: Record, *, catalogue: Catalogue, images: Images, around: Surroundings
) -> Fleet:
    """Load every model of an endpoint configuration.

    Raises
    ------
    ImageError, ApiError
        If one cannot be loaded, or is gone.
    """

    def start(variants: Sequence[Record]) -> tuple[Variant, ...]:
        return tuple(
            _start_variant(variant, catalogue=catalogue, images=images, around=around)
            for variant in variants
        )

    return Fleet(
        config=config["EndpointConfigName"],
        variants=start(config["ProductionVariants"]),
        shadow=next(iter(start(config.get("ShadowProductionVariants", []))), None),
        capture=config.get("DataCaptureConfig"),
    )


def _start_variant(
    variant: Record, *, catalogue: Catalogue, images: Images, around: Surroundings
) -> Variant:
    container: dict[str, Any] = catalogue.container(variant["ModelName"])
    folder = tempfile.TemporaryDirectory(prefix="model-")
    fetch_model(container, around, Path(folder.name))
    weight = float(variant.get("InitialVariantWeight", 1.0))
    return Variant(
        name=variant["VariantName"],
        image=container["Image"],
        serve=images.load(container["Image"], Path(folder.name), container.get("Environment", {})),
        weight=weight,
        desired_weight=weight,
        instances=variant["InitialInstanceCount"],
        folder=folder,
    )
