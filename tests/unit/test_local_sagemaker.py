"""The local SageMaker through boto3: requests, endpoints, invocations, data capture."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from driftgauge.capture.keys import parse_capture_key
from driftgauge.capture.reader import read_capture
from driftgauge.capture.schema import CaptureSchema
from driftgauge.columns import Rejects
from local.sagemaker import Pace
from local.sagemaker.replaying import replay
from tests.unit.sagemaker_world import (
    CAPTURE,
    IMAGE,
    REGISTRY,
    ROLE,
    World,
    archive,
    eventually,
    variant,
)

ODD = {"odd": "tests.unit.sagemaker_images"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def served() -> World:
    """An endpoint with one variant."""
    world = World()
    world.create_model("champion")
    world.create_config("first", {"champion": 1.0})
    world.create_endpoint("first")
    return world


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    found: Any = error.value.response["Error"]
    return found["Code"], found["Message"]


@pytest.mark.parametrize(
    ("operation", "request_", "words"),
    [
        ("CreateModel", {}, 'Missing required parameter in input: "ModelName"'),
        ("CreateModel", {"ModelName": 7}, "Invalid type for parameter ModelName"),
        (
            "CreateModel",
            {"ModelName": "m", "Weights": []},
            'Unknown parameter in input: "Weights"',
        ),
        (
            "CreateModel",
            {"ModelName": "no_underscores"},
            "1 validation error detected: Value 'no_underscores' at 'modelName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern",
        ),
        (
            "CreateEndpointConfig",
            {
                "EndpointConfigName": "c",
                "ProductionVariants": [
                    variant("m", 1.0) | {"InstanceType": "big", "InitialInstanceCount": 0}
                ],
            },
            "Invalid value for parameter ProductionVariants[0].InitialInstanceCount",
        ),
        (
            "CreateEndpointConfig",
            {
                "EndpointConfigName": "c",
                "ProductionVariants": [variant("m", 1.0) | {"InstanceType": "big"}],
            },
            "Value 'big' at 'productionVariants.1.member.instanceType' failed to satisfy "
            "constraint: Member must satisfy enum value set: [",
        ),
        (
            "CreateEndpointConfig",
            {
                "EndpointConfigName": "c",
                "ProductionVariants": [variant("m", 1.0)],
                "DataCaptureConfig": CAPTURE | {"InitialSamplingPercentage": 101},
            },
            "Value '101' at 'dataCaptureConfig.initialSamplingPercentage' failed to satisfy "
            "constraint: Member must have value less than or equal to 100",
        ),
    ],
)
def test_a_request_that_the_api_does_not_know_is_refused(
    world: World, operation: str, request_: dict[str, Any], words: str
) -> None:
    status, answer = world.post(operation, request_)
    assert (status, answer["__type"]) == (400, "ValidationException")
    assert words in answer["message"]


def test_an_operation_that_is_not_there_says_so(world: World) -> None:
    with pytest.raises(ClientError, match=r"ListApps is not there in the embedded AWS"):
        world.sagemaker.list_apps()


def test_a_model_needs_its_data_and_a_name_of_its_own(world: World) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://store/none/model.tar.gz"}
    with pytest.raises(ClientError, match=r"Could not find model data at s3://store/none"):
        world.sagemaker.create_model(ModelName="champion", PrimaryContainer=container)

    world.create_model("champion")

    with pytest.raises(ClientError, match="Cannot create already existing model"):
        world.create_model("champion")
    described = world.sagemaker.describe_model(ModelName="champion")
    assert described["PrimaryContainer"]["ModelDataUrl"] == "s3://store/champion/model.tar.gz"
    assert described["ExecutionRoleArn"] == ROLE
    world.sagemaker.delete_model(ModelName="champion")
    with pytest.raises(ClientError) as error:
        world.sagemaker.describe_model(ModelName="champion")
    assert refusal(error) == (
        "ValidationException",
        'Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/champion".',
    )


def test_a_configuration_needs_models_and_at_most_one_shadow(world: World) -> None:
    with pytest.raises(ClientError, match="Could not find model"):
        world.create_config("first", {"champion": 1.0})
    world.create_model("champion")
    world.create_model("challenger")
    world.create_model("shadow")
    with pytest.raises(ClientError, match="only one production variant"):
        world.create_config("first", {"champion": 1.0, "challenger": 1.0}, shadow="shadow")
    with pytest.raises(ClientError, match="have to be unique: champion"):
        world.create_config("first", {"champion": 1.0}, shadow="champion")
    world.create_config("first", {"champion": 1.0}, shadow="shadow")
    found = world.sagemaker.describe_endpoint_config(EndpointConfigName="first")
    assert found["ShadowProductionVariants"][0]["ModelName"] == "shadow"
    assert found["DataCaptureConfig"] == CAPTURE


def test_an_endpoint_scores_as_its_model_does() -> None:
    world = World(pace=Pace(haste=6000, provisioning=0.5))
    model = world.create_model("champion")
    world.create_config("first", {"champion": 1.0})
    world.sagemaker.create_endpoint(EndpointName="flights", EndpointConfigName="first")
    assert world.describe()["EndpointStatus"] == "Creating"
    with pytest.raises(ClientError, match="is not in service: its status is Creating"):
        world.invoke()
    world.wait("InService")

    answer = world.invoke("1.5,a\n,b\n0.25,c\n")

    scores = [float(line) for line in answer["Body"].read().splitlines()]
    numeric, categorical = model.numeric[0], model.categorical[0]
    odds = [
        numeric.weight * (1.5 - numeric.mean) / numeric.scale + categorical.weights["a"],
        numeric.missing_weight + categorical.weights["b"],
        numeric.weight * (0.25 - numeric.mean) / numeric.scale + categorical.other_weight,
    ]
    expected = 1 / (1 + np.exp(-(np.array(odds) + model.intercept)))
    assert scores == pytest.approx(expected.tolist())
    assert answer["ContentType"] == "text/csv; charset=utf-8"
    assert answer["InvokedProductionVariant"] == "champion"
    rows = {"instances": [{"features": [1.5, "a"]}, {"features": [None, "b"]}]}
    asked = world.invoke(json.dumps(rows), ContentType="application/json")
    predictions = json.loads(asked["Body"].read())["predictions"]
    assert [one["score"] for one in predictions] == pytest.approx(scores[:2])
    lines = '{"features": [0.25, "c"]}\n'
    asked = world.invoke(lines, ContentType="application/jsonlines")
    assert json.loads(asked["Body"].read())["score"] == pytest.approx(scores[2])


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"Image": f"{REGISTRY}/unknown:1"}, "unknown:1 does not exist here"),
        ({"Image": IMAGE, "ModelDataUrl": "s3://store/bad.tar.gz"}, "Failed to extract model data"),
        ({"Image": IMAGE, "ModelDataUrl": "s3://store/sly.tar.gz"}, "lies outside of the archive"),
        ({"Image": IMAGE, "ModelDataUrl": "s3://store/empty.tar.gz"}, "ping health check"),
    ],
)
def test_an_endpoint_whose_model_cannot_be_loaded_fails_with_the_reason(
    world: World, container: dict[str, Any], reason: str
) -> None:
    world.account.objects["s3://store/bad.tar.gz"] = b"no archive"
    world.account.objects["s3://store/empty.tar.gz"] = archive({})
    world.account.objects["s3://store/sly.tar.gz"] = archive({"../../sly": b""})
    world.sagemaker.create_model(ModelName="champion", PrimaryContainer=container)
    world.create_config("first", {"champion": 1.0})
    world.sagemaker.create_endpoint(EndpointName="flights", EndpointConfigName="first")

    assert reason in world.wait("Failed")["FailureReason"]

    with pytest.raises(ClientError, match="Cannot update failed endpoint"):
        world.sagemaker.update_endpoint(EndpointName="flights", EndpointConfigName="first")
    world.sagemaker.delete_endpoint(EndpointName="flights")


def test_model_data_may_lie_unpacked_under_a_prefix(world: World) -> None:
    world.put_model("s3://store/m.tar.gz")
    world.create_model("packed")
    with io.BytesIO(world.account.objects["s3://store/m.tar.gz"]) as packed:
        import tarfile

        with tarfile.open(fileobj=packed) as members:
            member = members.extractfile("model.json")
            assert member is not None
            world.account.objects["s3://store/flights/models/v1/model.json"] = member.read()
    source = {
        "S3Uri": "s3://store/flights/models/v1/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    world.sagemaker.create_model(
        ModelName="unpacked",
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataSource": {"S3DataSource": source},
            "Environment": {"FEATURES": "x,word"},
        },
    )
    world.create_config("both", {"packed": 1.0, "unpacked": 1.0})
    world.create_endpoint("both")
    first, second = (
        world.invoke(TargetVariant=name)["Body"].read() for name in ("packed", "unpacked")
    )
    assert first == second


def test_traffic_is_shared_by_weight_and_a_target_bypasses_it(world: World) -> None:
    world.create_model("champion")
    world.create_model("challenger", direction=-1.0)
    world.create_config("ab", {"champion": 3.0, "challenger": 1.0})
    world.create_endpoint("ab")

    share = Counter(world.answering(400))["challenger"] / 400

    assert 0.18 < share < 0.32
    assert world.invoke(TargetVariant="challenger")["InvokedProductionVariant"] == "challenger"
    with pytest.raises(ClientError, match="Variant nobody not found"):
        world.invoke(TargetVariant="nobody")


def test_weights_are_changed_without_a_deployment() -> None:
    world = World(pace=Pace(haste=6000, provisioning=0.5))
    world.create_model("champion")
    world.create_model("challenger")
    world.create_config("ab", {"champion": 1.0, "challenger": 1.0})
    world.create_endpoint("ab")
    desired = [
        {"VariantName": "champion", "DesiredWeight": 0.0},
        {"VariantName": "challenger", "DesiredWeight": 5.0, "DesiredInstanceCount": 3},
    ]
    world.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="flights", DesiredWeightsAndCapacities=desired
    )
    updating = world.describe()
    assert updating["EndpointStatus"] == "Updating"
    assert [v["CurrentWeight"] for v in updating["ProductionVariants"]] == [1.0, 1.0]
    assert [v["DesiredWeight"] for v in updating["ProductionVariants"]] == [0.0, 5.0]

    settled = world.wait("InService")

    assert [v["CurrentWeight"] for v in settled["ProductionVariants"]] == [0.0, 5.0]
    assert settled["ProductionVariants"][1]["CurrentInstanceCount"] == 3
    assert set(world.answering(20)) == {"challenger"}
    with pytest.raises(ClientError, match='Variant "nobody" does not exist on endpoint'):
        world.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="flights",
            DesiredWeightsAndCapacities=[{"VariantName": "nobody", "DesiredWeight": 1.0}],
        )


def test_what_is_captured_is_what_driftgauge_reads(served: World) -> None:
    served.invoke("1.5,a\n2.5,b", InferenceId="row-1", CustomAttributes="trace=7")
    served.invoke("0.5,a", InferenceId="row-2")
    served.service.settle()

    [uri] = [uri for uri in served.account.objects if uri.startswith("s3://captures/")]

    key = parse_capture_key(uri.removeprefix("s3://captures/"), prefix="live")
    assert key is not None
    assert (key.endpoint, key.variant) == ("flights", "champion")
    rejects = Rejects()
    [batch] = read_capture(
        io.BytesIO(served.account.objects[uri]),
        schema=CaptureSchema(inputs=("x", "word"), outputs=("score",)),
        source=uri,
        rejects=rejects,
    )
    assert not rejects.counts
    assert (batch.rows, batch.records) == (3, 2)
    assert list(batch.event_ids) == ["row-1", "row-2"]
    assert batch.columns["x"].numbers.tolist() == [1.5, 2.5, 0.5]
    record = served.account.captured()[0]
    assert record["eventVersion"] == "0"
    assert record["eventMetadata"]["customAttributes"] == ["trace=7"]
    assert record["captureData"]["endpointOutput"]["observedContentType"] == (
        "text/csv; charset=utf-8"
    )


def test_a_content_type_that_is_not_listed_is_captured_in_base64() -> None:
    world = World(images=ODD)
    world.sagemaker.create_model(ModelName="echo", PrimaryContainer={"Image": f"{REGISTRY}/odd"})
    world.create_config("first", {"echo": 1.0})
    world.create_endpoint("first")
    world.invoke(b"\xff\x00", ContentType="image/png", Accept="application/json")
    world.service.settle()
    [record] = world.account.captured()
    given, answered = (record["captureData"][f"endpoint{side}"] for side in ("Input", "Output"))
    assert given["encoding"] == "BASE64"
    assert base64.b64decode(given["data"]) == b"\xff\x00"
    assert answered["observedContentType"] == "application/json"
    assert answered["encoding"] == "BASE64"  # as listed, but no text


def test_only_a_sample_is_captured_and_only_what_the_options_name(world: World) -> None:
    world.create_model("champion")
    half = CAPTURE | {
        "InitialSamplingPercentage": 50,
        "CaptureOptions": [{"CaptureMode": "Output"}],
    }
    world.create_config("first", {"champion": 1.0}, DataCaptureConfig=half)
    world.create_endpoint("first")
    world.answering(200)
    world.service.settle()
    records = world.account.captured()
    assert 70 < len(records) < 130
    assert {tuple(record["captureData"]) for record in records} == {("endpointOutput",)}


def test_a_shadow_gets_copies_which_only_the_capture_shows(world: World) -> None:
    world.create_model("champion")
    world.create_model("challenger", direction=-1.0)
    world.create_config("with-shadow", {"champion": 1.0}, shadow="challenger")
    world.create_endpoint("with-shadow")

    for number in range(20):
        answer = world.invoke(f"{number / 10},a", InferenceId=f"row-{number}")
        assert answer["InvokedProductionVariant"] == "champion"
    world.service.settle()

    sides = {
        name: {
            record["eventMetadata"]["inferenceId"]: record
            for record in world.account.captured(f"s3://captures/live/flights/{name}/")
        }
        for name in ("champion", "challenger")
    }
    assert len(sides["champion"]) == 20
    assert sides["champion"].keys() == sides["challenger"].keys()
    one, other = (sides[name]["row-3"] for name in ("champion", "challenger"))
    assert one["captureData"]["endpointInput"] == other["captureData"]["endpointInput"]
    assert one["captureData"]["endpointOutput"] != other["captureData"]["endpointOutput"]
    # SageMaker does not promise that the event ids are the same, so here they are not.
    assert one["eventMetadata"]["eventId"] != other["eventMetadata"]["eventId"]
    assert len(world.account.measured("Invocations", "challenger")) == 20
    with pytest.raises(ClientError, match="Variant challenger not found"):
        world.invoke(TargetVariant="challenger")


def test_a_shadow_gets_the_share_that_its_weight_is_of_the_production_variants(
    world: World,
) -> None:
    world.create_model("champion")
    world.create_model("challenger")
    world.create_config(
        "with-shadow",
        {"champion": 1.0},
        ShadowProductionVariants=[variant("challenger", 0.25)],
    )
    world.create_endpoint("with-shadow")
    world.answering(400)
    world.service.settle()
    assert 0.18 < len(world.account.measured("Invocations", "challenger")) / 400 < 0.32


def test_a_failing_model_is_counted_answered_for_and_not_captured() -> None:
    world = World(images=ODD)
    for name, environment in (
        ("refusing", {"STATUS": "422"}),
        ("raising", {"RAISE": "out of memory"}),
    ):
        world.sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={"Image": f"{REGISTRY}/odd:1", "Environment": environment},
        )
    world.create_config("first", {"refusing": 1.0, "raising": 1.0})
    world.create_endpoint("first")

    for name, status, words in (("refusing", 422, "not today"), ("raising", 500, "out of memory")):
        with pytest.raises(world.runtime.exceptions.ModelError) as error:
            world.invoke(TargetVariant=name)
        response: Any = error.value.response
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert response["OriginalStatusCode"] == status
        assert words in response["OriginalMessage"]
    world.service.settle()

    assert not world.account.captured()
    assert world.account.measured("Invocation4XXErrors", "refusing") == [1.0]
    assert world.account.measured("Invocation5XXErrors", "refusing") == [0.0]
    assert world.account.measured("Invocation5XXErrors", "raising") == [1.0]


def test_latencies_are_published_in_microseconds_by_variant_and_configuration(
    served: World,
) -> None:
    served.answering(3)
    served.service.settle()
    assert len(served.account.measured("ModelLatency", "champion")) == 3
    assert all(value > 1 for value in served.account.measured("ModelLatency", "champion"))
    names = {tuple(name for name, _ in metric.dimensions) for metric in served.account.metrics}
    assert names == {
        ("EndpointName", "VariantName"),
        ("EndpointName", "VariantName", "EndpointConfigName"),
    }


def test_traffic_of_another_day_is_captured_under_that_day(served: World) -> None:
    replay(served.runtime, lambda: datetime(2015, 7, 1, 14, 30, 5, tzinfo=UTC))
    served.invoke()
    served.service.settle()
    [uri] = [uri for uri in served.account.objects if uri.startswith("s3://captures/")]
    assert uri.startswith("s3://captures/live/flights/champion/2015/07/01/14/30-05-000-")
    [record] = served.account.captured()
    assert record["eventMetadata"]["inferenceTime"] == "2015-07-01T14:30:05Z"


def test_an_endpoint_that_is_deleted_is_gone(served: World) -> None:
    served.sagemaker.delete_endpoint(EndpointName="flights")

    def look() -> str | None:
        try:
            served.describe()
        except ClientError as error:
            return str(error)
        return None

    assert 'Could not find endpoint "arn:' in eventually(look)
    with pytest.raises(served.runtime.exceptions.ValidationError, match="not found"):
        served.invoke()
