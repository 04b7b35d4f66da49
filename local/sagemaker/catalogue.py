"""Models and endpoint configurations: what can be deployed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.images import model_places
from local.sagemaker.names import Names, now
from local.sagemaker.surroundings import Location, Surroundings

Record = dict[str, Any]


class Catalogue:
    """The account's models and endpoint configurations.

    Parameters
    ----------
    around : Surroundings
    containers_of : callable
        Returns the container definitions of a model package, for models made from one.
    """

    def __init__(
        self, *, around: Surroundings, containers_of: Callable[[str], list[Record]]
    ) -> None:
        self.names = Names(around.account, around.region)
        self._around = around
        self._containers_of = containers_of
        self._models: dict[str, Record] = {}
        self._configs: dict[str, Record] = {}

    def create_model(self, request: Record) -> Record:
        """Answer CreateModel: the model data has to be there."""
        name = request["ModelName"]
        self.names.refuse_existing("model", self._models, name)
        given = [request["PrimaryContainer"]] if "PrimaryContainer" in request else []
        given += request.get("Containers", [])
        if not given or ("PrimaryContainer" in request and "Containers" in request):
            raise invalid("Exactly one of PrimaryContainer and Containers has to be given.")
        containers = [self._resolved(container) for container in given]
        if len(containers) > 1:
            raise ApiError("NotImplemented", "inference pipelines are not there", status=501)
        for source in model_places(containers[0]):
            self._require(source.place, packed=source.packed)
        arn = self.names.arn("model", name)
        self._models[name] = request | {
            "ModelArn": arn,
            "CreationTime": now(),
            "container": containers[0],
        }
        return {"ModelArn": arn}

    def _resolved(self, container: Record) -> Record:
        if "ModelPackageName" in container:
            packaged = self._containers_of(container["ModelPackageName"])
            environment = container.get("Environment", {})
            return packaged[0] | {"Environment": packaged[0].get("Environment", {}) | environment}
        if "Image" not in container:
            raise invalid("A container definition needs Image or ModelPackageName.")
        return container

    def _require(self, place: Location, *, packed: bool) -> None:
        try:
            there = (
                place.key in self._around.keys(place)
                if packed
                else any(True for _ in self._around.keys(place))
            )
        except KeyError:
            there = False
        if not there:
            raise invalid(f"Could not find model data at {place.uri}.")

    def describe_model(self, request: Record) -> Record:
        """Answer DescribeModel."""
        return self.names.found("model", self._models, request["ModelName"])

    def delete_model(self, request: Record) -> Record:
        """Answer DeleteModel; endpoints that serve it go on."""
        self.describe_model(request)
        del self._models[request["ModelName"]]
        return {}

    def container(self, model: str) -> Record:
        """Return a model's container definition.

        Raises
        ------
        ApiError
            If there is no such model.
        """
        found: Record = self.names.found("model", self._models, model)["container"]
        return found

    def create_config(self, request: Record) -> Record:
        """Answer CreateEndpointConfig."""
        name = request["EndpointConfigName"]
        self.names.refuse_existing("endpoint-config", self._configs, name)
        production = request["ProductionVariants"]
        shadow = request.get("ShadowProductionVariants", [])
        for variant in [*production, *shadow]:
            self._check_variant(variant)
        twice = [
            one
            for one, times in Counter(v["VariantName"] for v in [*production, *shadow]).items()
            if times > 1
        ]
        if twice:
            raise invalid(f"Variant names have to be unique: {', '.join(twice)}.")
        if shadow and (len(shadow) > 1 or len(production) > 1):
            raise invalid(
                "With a shadow variant there can be only one production variant and one shadow "
                "variant."
            )
        if "DataCaptureConfig" in request:
            Location.parse(request["DataCaptureConfig"]["DestinationS3Uri"])
        arn = self.names.arn("endpoint-config", name)
        self._configs[name] = request | {"EndpointConfigArn": arn, "CreationTime": now()}
        return {"EndpointConfigArn": arn}

    def _check_variant(self, variant: Mapping[str, Any]) -> None:
        if "ServerlessConfig" in variant:
            raise ApiError("NotImplemented", "serverless variants are not there", status=501)
        if "ModelName" not in variant:
            raise ApiError("NotImplemented", "inference components are not there", status=501)
        self.container(variant["ModelName"])
        if "InstanceType" not in variant or "InitialInstanceCount" not in variant:
            raise invalid(
                f"Variant {variant['VariantName']} needs InstanceType and InitialInstanceCount."
            )

    def describe_config(self, request: Record) -> Record:
        """Answer DescribeEndpointConfig."""
        return self.config(request["EndpointConfigName"])

    def config(self, name: str) -> Record:
        """Return an endpoint configuration.

        Raises
        ------
        ApiError
            If there is none.
        """
        return self.names.found("endpoint-config", self._configs, name)

    def delete_config(self, request: Record) -> Record:
        """Answer DeleteEndpointConfig; an endpoint that uses it cannot be updated any more."""
        self.describe_config(request)
        del self._configs[request["EndpointConfigName"]]
        return {}
