"""Inputs and outputs of batch transforms that did not join them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from driftgauge.cli import main
from driftgauge.columns import Rejects, RowBatch
from driftgauge.errors import CaptureError
from tests.unit.lambda_world import (
    CAPTURES,
    deployed,
    monitor,
    scores_of,
    training_csv,
    values,
)
from tests.unit.sources_world import HOUR, read_all, values_of

SOURCE = "s3://dest/p/output/2026/03/02/10/4be3.json"
INPUTS = "s3://dest/p/input/2026/03/02/10/"
COLUMNS: dict[str, Any] = {"columns": ("score", "age", "plan"), "outputs": ("score",)}


def manifest(prefix: str, *names: str) -> bytes:
    return json.dumps([{"prefix": prefix}, *names]).encode()


def bucket(given: bytes, written: bytes, name: str = "a.csv") -> dict[str, bytes]:
    return {
        f"{INPUTS}9d01.json": manifest(f"s3://data/in/{name}", ""),
        f"s3://data/in/{name}": given,
        f"s3://data/out/{name}.out": written,
    }


def paired(
    objects: dict[str, bytes],
    *names: str,
    source: str = SOURCE,
    rejects: Rejects | None = None,
    select: dict[str, Any] | None = None,
    **options: Any,
) -> RowBatch | None:
    found = read_all(
        manifest("s3://data/out/", *(names or ("a.csv.out",))),
        capture={"format": "batch-transform", "manifests": "both", "select": select or {}},
        bucket=objects,
        source=source,
        rejects=rejects,
        **{**COLUMNS, **options},
    )
    return found.get("AllTraffic")


def test_lines_of_csv_are_paired_in_their_order() -> None:
    given = b'31,gold\n\n40,"free, old"\r\n25,gold\n'
    batch = paired(bucket(given, b"0.5\n0.25\n\n0.75\n"))
    assert batch is not None
    assert list(batch.columns) == ["score", "age", "plan"]
    assert values_of(batch, "score") == [0.5, 0.25, 0.75]
    assert values_of(batch, "age") == [31, 40, 25]
    assert values_of(batch, "plan") == ["gold", "free, old", "gold"]
    assert set(batch.inference_time.tolist()) == {int(HOUR.timestamp())}
    assert batch.event_ids == ("", "", "")


def test_generated_ids_and_times_are_those_of_the_pairs() -> None:
    written = b"0.5,id-1,2026-03-02T09:59:59Z\n0.25,007,2026-03-02T10:00:01Z\n"
    batch = paired(bucket(b"31,gold\n40,free\n", written))
    assert batch is not None
    assert values_of(batch, "age") == [31, 40]
    assert batch.event_ids == ("id-1", "007")
    assert batch.inference_time[1] - batch.inference_time[0] == 2


@pytest.mark.parametrize("ids", [True, False])
def test_lines_of_json_are_paired_with_csv_or_json(*, ids: bool) -> None:
    answers: list[dict[str, Any]] = [{"score": 0.5}, {"score": 0.25}]
    if ids:
        answers = [
            {
                "SageMakerInferenceId": f"id-{i}",
                "SageMakerInferenceTime": "2026-03-02T09:30:00Z",
                "SageMakerOutput": answer,
            }
            for i, answer in enumerate(answers)
        ]
    written = "\n".join(map(json.dumps, answers)).encode()
    for given in (b"31,gold\n40,free\n", b'{"age":31,"plan":"gold"}\n{"age":40,"plan":"free"}\n'):
        batch = paired(bucket(given, written))
        assert batch is not None
        assert values_of(batch, "age") == [31, 40]
        assert values_of(batch, "score") == [0.5, 0.25]
        assert batch.event_ids == (("id-0", "id-1") if ids else ("", ""))


def test_documents_over_several_lines_are_paired_row_by_row() -> None:
    given = json.dumps({"instances": [{"age": 31}, {"age": 40}]}, indent=2).encode()
    written = json.dumps({"predictions": [{"score": 0.5}, {"score": 0.7}]}, indent=1).encode()
    batch = paired(bucket(given, written))
    assert batch is not None
    assert values_of(batch, "age") == [31, 40]
    assert values_of(batch, "score") == [0.5, 0.7]


def test_attributes_select_from_both_sides() -> None:
    given = b'{"features": [31, "gold"], "id": 1}\n'
    written = b'{"p": 0.75, "why": "x"}\n'
    batch = paired(
        bucket(given, written),
        select={"features": "features", "inference": "p"},
        columns=("p", "age", "plan"),
        outputs=("p",),
    )
    assert batch is not None
    assert {name: values_of(batch, name) for name in batch.columns} == {
        "p": [0.75],
        "age": [31],
        "plan": ["gold"],
    }


@pytest.mark.parametrize(
    ("given", "written", "count"),
    [
        (b"31,gold\n40,free\n25,free\n", b"0.5\n0.25\n", 2),
        (b"age,plan\n31,gold\n", b"0.5\n", 1),
        (b"31,gold\n", b"0.5\n0.25\n0.75\n", 3),
        (b"31,gold\n", b"", 1),
    ],
)
def test_different_numbers_of_lines_reject_the_whole_file(
    given: bytes, written: bytes, count: int
) -> None:
    rejects = Rejects()
    assert paired(bucket(given, written), rejects=rejects) is None
    assert rejects.counts == {"input and output disagree on lines": count}
    (sample,) = rejects.samples
    assert (sample.source, "s3://data/in/a.csv" in sample.excerpt) == (
        "s3://data/out/a.csv.out",
        True,
    )


def test_a_bad_line_costs_its_pair_and_shifts_no_other() -> None:
    rejects = Rejects()
    given = b'{"age":31}\n{"age":\n{"age":40}\n{"age":\xff}\n{"age":25}\n'
    written = b'{"score":0.1}\n{"score":0.2}\n{"score"\n{"score":0.4}\n{"score":0.5}\n'
    batch = paired(bucket(given, written), rejects=rejects)
    assert batch is not None
    assert values_of(batch, "age") == [31, 25]
    assert values_of(batch, "score") == [0.1, 0.5]
    assert rejects.counts == {"payload is not json": 2, "not utf-8": 1}


def test_widths_are_checked_side_by_side() -> None:
    rejects = Rejects()
    given = b"31,gold,x\n40,free\n40\n"
    batch = paired(bucket(given, b"0.5\n0.25\n0.3,0.4\n"), rejects=rejects)
    assert batch is not None
    assert values_of(batch, "age") == [40]
    assert rejects.counts == {"wrong number of columns": 2}


def test_each_output_finds_the_input_of_its_own_name() -> None:
    objects = {
        f"{INPUTS}1.json": manifest("s3://data/in/", "eu/x.csv", "us/x.csv", "us/y.csv.gz"),
        f"{INPUTS}_SUCCESS": b"not a manifest",
        "s3://data/in/eu/x.csv": b"1,a\n",
        "s3://data/in/us/x.csv": b"2,a\n",
        "s3://data/in/us/y.csv.gz": gzip.compress(b"3,a\n"),
        "s3://data/out/eu/x.csv.out": b"0.1\n",
        "s3://data/out/us/x.csv.out": b"0.2\n",
        "s3://data/out/us/y.csv.gz.out": b"0.3\n",
    }
    batch = paired(objects, "us/y.csv.gz.out", "us/x.csv.out", "eu/x.csv.out")
    assert batch is not None
    assert values_of(batch, "age") == [3, 2, 1]
    assert values_of(batch, "score") == [0.3, 0.2, 0.1]


def test_two_inputs_of_one_name_are_not_chosen_from() -> None:
    rejects = Rejects()
    objects = bucket(b"31,gold\n", b"0.5\n") | {
        f"{INPUTS}other.json": manifest("s3://other/", "a.csv"),
        "s3://other/a.csv": b"99,free\n",
    }
    assert paired(objects, rejects=rejects) is None
    assert rejects.counts == {"several inputs have the output's name": 1}
    # The same input in two manifests is one.
    del objects[f"{INPUTS}other.json"]
    objects[f"{INPUTS}again.json"] = manifest("s3://data/in/", "a.csv")
    assert paired(objects) is not None


def test_an_input_that_no_manifest_of_the_hour_names_is_an_error() -> None:
    objects = bucket(b"31,gold\n", b"0.5\n")
    objects[INPUTS.replace("/10/", "/09/") + "9d01.json"] = objects.pop(f"{INPUTS}9d01.json")
    with pytest.raises(CaptureError, match=r"no manifest in .*/input/2026/03/02/10/ lists what"):
        paired(objects)


@pytest.mark.parametrize("name", ["b.csv.out", "a.csv", "xa.csv.out"])
def test_an_output_of_another_name_has_no_input(name: str) -> None:
    objects = bucket(b"31,gold\n", b"0.5\n") | {f"s3://data/out/{name}": b"0.5\n"}
    with pytest.raises(CaptureError, match=r"capture\.manifests"):
        paired(objects, name)


def test_a_manifest_elsewhere_says_where_it_should_be() -> None:
    with pytest.raises(CaptureError, match="output/yyyy/mm/dd/hh"):
        paired(bucket(b"31,gold\n", b"0.5\n"), source="x.json")


def test_an_output_that_holds_its_input_is_an_error_that_says_what_to_set() -> None:
    written = b'{"SageMakerOutput": {"score": 0.5}, "age": 31}\n'
    with pytest.raises(CaptureError, match=r"set capture\.manifests to output"):
        paired(bucket(b'{"age": 31}\n', written))


def test_lines_too_long_to_be_read_are_not_paired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driftgauge.capture.lines.MAX_LINE_BYTES", 20)
    with pytest.raises(CaptureError, match="too long"):
        paired(bucket(b"31," + b"x" * 50 + b"\n40,a\n", b"0.5\n0.25\n"))


def test_the_function_pairs_both_sides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    capture = {"prefix": "captures", "format": "batch-transform", "manifests": "both"}
    with deployed(monkeypatch, capsys, tmp_path, monitor(capture=capture)) as world:
        world.add_baseline()
        amounts, regions = values(40, seed=3)
        given = "".join(f"{a},{r}\n" for a, r in zip(amounts, regions, strict=True))
        world.put(CAPTURES, "in/loans.csv", given.encode())
        written = "".join(f"{score}\n" for score in scores_of(amounts))
        world.put(CAPTURES, "out/loans.csv.out", written.encode())
        place = "captures/{}/2026/03/02/10/{}.json"
        of_output = world.put(
            CAPTURES,
            place.format("output", "a"),
            manifest(f"s3://{CAPTURES}/out/loans.csv.out", ""),
        )
        # The input's manifest may come later: until then the message is tried again.
        assert len(world.profile(of_output)["batchItemFailures"]) == 1
        of_input = world.put(
            CAPTURES, place.format("input", "b"), manifest(f"s3://{CAPTURES}/in/", "loans.csv")
        )
        assert world.profile(of_input, of_output) == {"batchItemFailures": []}
        assert len(world.keys("loans/profiles/")) == 1
        world.call("evaluate", {"monitor": "loans", "window_start": "2026-03-02T10:00:00Z"})
        (key,) = world.keys("loans/reports/AllTraffic/2026/03/02/10/statistics.json")
        features = json.loads(world.store.objects.read(key))["features"]
        present = {
            feature["name"]: next(
                feature[kind]["common"]["num_present"]
                for kind in ("numerical_statistics", "string_statistics")
                if kind in feature
            )
            for feature in features
        }
        assert present == {"score": 40, "amount": 40, "region": 40}


def test_the_command_line_pairs_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "train.csv").write_bytes(training_csv(2000))
    (tmp_path / "loans.yaml").write_text(
        "name: loans\nendpoint: {name: loans}\nprediction: score\nlabel: late\n"
        "capture: {format: batch-transform, manifests: both}\n",
        encoding="utf-8",
    )
    for side, name in (("output", "a.csv.out"), ("input", "a.csv")):
        folder = tmp_path / "manifests" / side / "2026/03/02/10"
        folder.mkdir(parents=True)
        (folder / f"{side}.json").write_bytes(manifest(f"s3://data/{side}/", name))
    config = ["--config", str(tmp_path / "loans.yaml")]
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        amounts, regions = values(60, seed=7)
        given = "".join(f"{a},{r}\n" for a, r in zip(amounts, regions, strict=True))
        written = "".join(f"{score}\n" for score in scores_of(amounts))
        client.put_object(Bucket="data", Key="input/a.csv", Body=given.encode())
        client.put_object(Bucket="data", Key="output/a.csv.out", Body=written.encode())
        arguments = ["--data", str(tmp_path / "train.csv"), "--out", str(tmp_path / "b")]
        assert main(["baseline", *arguments, *config]) == 0
        arguments = ["--capture", str(tmp_path / "manifests"), "--baseline", str(tmp_path / "b")]
        assert main(["analyze", *arguments, *config, "--out", str(tmp_path / "r")]) == 0
        verdicts = json.loads((tmp_path / "r/verdicts.json").read_text())
        assert {f["name"]: f["rows"] for f in verdicts["features"]} == {
            "score": 60,
            "amount": 60,
            "region": 60,
        }
        (tmp_path / "manifests/input/2026/03/02/10/input.json").unlink()
        assert main(["analyze", *arguments, *config, "--out", str(tmp_path / "r")]) == 2
        assert "may still come" in " ".join(capsys.readouterr().err.split())
