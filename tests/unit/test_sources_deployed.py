"""Captures of every format through the functions and the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from driftgauge.cli import main
from driftgauge.profile.codec import decode_profile
from tests.unit.lambda_world import (
    CAPTURES,
    HOUR,
    STORE,
    World,
    batch,
    capture_lines,
    deployed,
    monitor,
    scores_of,
    training_csv,
    values,
)

START = int(HOUR.timestamp())


@contextmanager
def world_of(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    **capture: Any,
) -> Iterator[World]:
    variants = capture.pop("variants", ["AllTraffic"])
    settings = monitor(
        endpoint={"name": "loans-endpoint", "variants": variants, "alarms": False},
        capture={"prefix": "captures", **capture},
    )
    with deployed(monkeypatch, capsys, folder, settings) as world:
        world.add_baseline()
        yield world


def stored(world: World) -> dict[tuple[str, str], tuple[int, dict[str, int]]]:
    """Rows and rejects of the stored profiles, by variant and hour."""
    run = world.function("runtime").runtime()
    spec = run.baseline(world.store, world.store.read_current()[0].baseline).spec
    found = {}
    for key, data in world.contents("loans/profiles/").items():
        parts = key.split("/")
        profile = decode_profile(data, spec)
        found[parts[3], parts[-3]] = (profile.rows, dict(profile.rejected))
    return found


def predictions(rows: int, *, model: str = "a", seed: int = 7) -> bytes:
    amounts, regions = values(rows, seed=seed)
    table = zip(amounts, regions, scores_of(amounts), strict=True)
    return b"".join(
        f"{START + i},{model},{amount},{region},{score}\n".encode()
        for i, (amount, region, score) in enumerate(table)
    )


def test_plain_predictions_become_profiles_of_their_variants(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mapping = {"time": "ts", "variant": "model"}
    with world_of(
        monkeypatch,
        capsys,
        tmp_path,
        format="predictions",
        mapping=mapping,
        variants=["a", "b"],
    ) as world:
        header = b"ts,model,amount,region,score\n"
        body = header + predictions(30) + predictions(20, model="b") + predictions(2, model="x")
        event = world.put(CAPTURES, "captures/any/where.csv", body)
        assert world.profile(event) == {"batchItemFailures": []}
        assert stored(world) == {
            ("a", "10"): (30, {"unknown variant": 2}),
            ("b", "10"): (20, {}),
        }
        captured = {m["Variant"]: m for m in world.metrics() if "CapturedRows" in m}
        assert captured["a"]["RejectedRows"] == [2.0]
        assert captured["b"]["CapturedRows"] == [20.0]
        before = world.contents()
        world.profile(event)
        assert world.contents() == before
        marker = world.put(CAPTURES, "captures/any/_SUCCESS", b"")
        assert world.profile(marker) == {"batchItemFailures": []}
        stranger = world.put(CAPTURES, "captures/any/readme.txt", b"x")
        assert len(world.profile(stranger)["batchItemFailures"]) == 1


def test_an_object_of_rejected_rows_without_any_date_counts_when_it_was_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with world_of(
        monkeypatch, capsys, tmp_path, format="predictions", mapping={"time": "ts"}
    ) as world:
        event = world.put(CAPTURES, "captures/x.jsonl", b'{"score": 1}\n')
        assert world.profile(event) == {"batchItemFailures": []}
        (found,) = stored(world).values()
        assert found == (0, {"no inference time": 1})


def test_manifests_of_batch_transforms_are_followed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with world_of(monkeypatch, capsys, tmp_path, format="batch-transform") as world:
        amounts, regions = values(40, seed=3)
        body = "".join(
            f"{amount},{region},{score},id-{i},2026-03-02T09:30:00Z\n"
            for i, (amount, region, score) in enumerate(
                zip(amounts, regions, scores_of(amounts), strict=True)
            )
        )
        world.put(CAPTURES, "transformed/loans.csv.out", body.encode())
        manifest = json.dumps([{"prefix": f"s3://{CAPTURES}/transformed/"}, "loans.csv.out"])
        place = "captures/{}/2026/03/02/10/4be3.json"
        events = [
            world.put(CAPTURES, place.format(side), manifest.encode())
            for side in ("output", "input")
        ]
        assert world.profile(*events) == {"batchItemFailures": []}
        assert stored(world) == {("AllTraffic", "09"): (40, {})}
        gone = manifest.replace("loans", "gone").encode()
        event = world.put(CAPTURES, place.format("output"), gone)
        assert len(world.profile(event)["batchItemFailures"]) == 1


def test_a_preprocess_hook_runs_in_the_function_and_may_change_in_s3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    uri = f"s3://{CAPTURES}/hooks/preprocess.py"
    with world_of(monkeypatch, capsys, tmp_path, hooks={"preprocess": uri}) as world:
        assert len(world.profile(world.capture(rows=10))["batchItemFailures"]) == 1
        (line,) = [x for x in world.printed() if x.get("message") == "message failed"]
        assert uri in line["reason"]
        script = """
def preprocess_handler(record):
    amount, region = record.endpoint_input.data.split(",")
    if region == "west":
        return []
    if region == "south":
        raise ValueError("secret " + amount)
    return {"amount": amount, "region": region, "score": 0.5}
"""
        world.put(CAPTURES, "hooks/preprocess.py", script.encode())
        assert world.profile(world.capture(rows=200)) == {"batchItemFailures": []}
        regions = values(200, seed=7)[1]
        printed = world.printed()
        north, south, west = (regions.count(name) for name in ("north", "south", "west"))
        assert stored(world) == {("AllTraffic", "10"): (north, {"preprocess hook failed": south})}
        (counted,) = [line for line in printed if "DroppedRecords" in line]
        assert counted["DroppedRecords"] == [float(west)]
        assert "secret" not in json.dumps(printed)
        samples = b"".join(world.contents("loans/quarantine/").values())
        assert b"ValueError: secret" in samples
        world.put(CAPTURES, "hooks/preprocess.py", b"def preprocess_handler(r): return []")
        assert world.profile(world.capture(rows=10, name="later")) == {"batchItemFailures": []}
        assert [x["dropped"] for x in world.printed() if "dropped" in x] == [10]


@pytest.mark.parametrize(
    ("script", "failures"),
    [
        ("def postprocess_handler(): print('seen')", 0.0),
        ("def postprocess_handler(): raise ValueError('a secret')", 1.0),
        ("def nothing(): pass", 1.0),
        (None, 1.0),
    ],
)
def test_a_postprocess_hook_runs_after_evaluation_and_never_fails_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    script: str | None,
    failures: float,
) -> None:
    if script is not None:
        (tmp_path / "hooks").mkdir()
        (tmp_path / "hooks/post.py").write_text(script, encoding="utf-8")
    with world_of(monkeypatch, capsys, tmp_path, hooks={"postprocess": "hooks/post.py"}) as world:
        world.profile(world.capture(rows=300))
        world.printed()
        world.call("evaluate", {"monitor": "loans", "window_start": "2026-03-02T10:00:00Z"})
        printed = world.printed()
        (counted,) = [line for line in printed if "PostprocessFailures" in line]
        assert counted["PostprocessFailures"] == [failures]
        assert len(world.keys("loans/reports/")) == 6
        assert "a secret" not in json.dumps(printed)
        logged = [x for x in printed if x.get("message") == "postprocess hook failed"]
        assert len(logged) == int(failures)


def test_selected_columns_reach_the_profile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with world_of(monkeypatch, capsys, tmp_path, select={"probability": "0"}) as world:
        world.profile(world.capture(rows=50))
        assert stored(world) == {("AllTraffic", "10"): (50, {})}


def test_the_command_line_reads_predictions_hooks_and_one_variant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.csv").write_bytes(training_csv(2000))
    (tmp_path / "scored").mkdir()
    body = b"ts,model,amount,region,score\n" + predictions(200) + predictions(100, model="b")
    (tmp_path / "scored/a.csv").write_bytes(body)
    (tmp_path / "hooks").mkdir()
    seen = tmp_path / "seen"
    script = f"from pathlib import Path\ndef postprocess_handler(): Path({str(seen)!r}).touch()"
    (tmp_path / "hooks/post.py").write_text(script, encoding="utf-8")
    (tmp_path / "loans.yaml").write_text(
        "name: loans\n"
        "endpoint: {name: loans, variants: [a, b]}\n"
        "prediction: score\n"
        "label: late\n"
        "capture:\n"
        "  format: predictions\n"
        "  mapping: {time: ts, variant: model}\n"
        "  hooks: {postprocess: hooks/post.py}\n",
        encoding="utf-8",
    )
    config = ["--config", str(tmp_path / "loans.yaml")]
    arguments = ["--data", str(tmp_path / "train.csv"), "--out", str(tmp_path / "b")]
    assert main(["baseline", *arguments, *config]) == 0
    arguments = ["--capture", str(tmp_path / "scored"), "--baseline", str(tmp_path / "b"), *config]
    for variant, rows in (([], 300), (["--variant", "b"], 100)):
        main(["analyze", *arguments, *variant, "--out", str(tmp_path / "r")])
        verdict = json.loads((tmp_path / "r/verdicts.json").read_text())
        assert verdict["rows"] == rows
        assert {f["name"] for f in verdict["features"]} == {"amount", "region", "score"}
    assert seen.exists()
    capsys.readouterr()
    assert main(["replay", *arguments, "--window", "1h", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["rows"] == 300


def test_the_command_line_drops_and_counts_what_a_hook_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.csv").write_bytes(training_csv(2000))
    (tmp_path / "capture.jsonl").write_bytes(capture_lines(100))
    (tmp_path / "pre.py").write_text(
        "def preprocess_handler(record):\n"
        "    amount, region = record.endpoint_input.data.split(',')\n"
        "    if region == 'west': return []\n"
        "    return {'amount': amount, 'region': region}\n",
        encoding="utf-8",
    )
    (tmp_path / "loans.yaml").write_text(
        "name: loans\nendpoint: {name: loans}\nlabel: late\n"
        "capture: {hooks: {preprocess: pre.py}}\n",
        encoding="utf-8",
    )
    config = ["--config", str(tmp_path / "loans.yaml")]
    arguments = ["--data", str(tmp_path / "train.csv"), "--out", str(tmp_path / "b")]
    assert main(["baseline", *arguments, *config, "--exclude", "score"]) == 0
    arguments = ["--capture", str(tmp_path / "capture.jsonl"), "--baseline", str(tmp_path / "b")]
    main(["analyze", *arguments, *config, "--out", str(tmp_path / "r")])
    west = values(100, seed=7)[1].count("west")
    assert f"{west} records dropped by the preprocess hook" in capsys.readouterr().err
    (tmp_path / "pre.py").unlink()
    assert main(["analyze", *arguments, *config, "--out", str(tmp_path / "r")]) == 2
    assert "hook pre.py does not exist" in capsys.readouterr().err


def test_the_command_line_follows_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (tmp_path / "train.csv").write_bytes(training_csv(2000))
    (tmp_path / "loans.yaml").write_text(
        "name: loans\nendpoint: {name: loans}\nprediction: score\nlabel: late\n"
        "capture: {format: batch-transform}\n",
        encoding="utf-8",
    )
    for side in ("output", "input"):
        folder = tmp_path / "manifests" / side / "2026/03/02/10"
        folder.mkdir(parents=True)
        (folder / "x.json").write_text('[{"prefix": "s3://data/out/a.csv.out"}, ""]')
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        amounts, regions = values(60, seed=7)
        rows = zip(amounts, regions, scores_of(amounts), strict=True)
        body = "".join(f"{amount},{region},{score}\n" for amount, region, score in rows)
        client.put_object(Bucket="data", Key="out/a.csv.out", Body=body.encode())
        config = ["--config", str(tmp_path / "loans.yaml")]
        arguments = ["--data", str(tmp_path / "train.csv"), "--out", str(tmp_path / "b")]
        assert main(["baseline", *arguments, *config]) == 0
        arguments = ["--capture", str(tmp_path / "manifests"), "--baseline", str(tmp_path / "b")]
        main(["analyze", *arguments, *config, "--out", str(tmp_path / "r")])
    assert json.loads((tmp_path / "r/verdicts.json").read_text())["rows"] == 60


def test_monitors_of_both_sides_may_share_a_prefix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    both = [
        monitor(name=name, capture={"prefix": "captures", "format": "batch-transform", **settings})
        for name, settings in (("loans", {}), ("given", {"manifests": "input"}))
    ]
    with deployed(monkeypatch, capsys, tmp_path, *both) as world:
        world.add_baseline()
        event = world.put(STORE, "given/training-data/train.csv", training_csv(2000))
        world.call("baseline", batch(event))
        amounts, regions = values(20, seed=3)
        body = "".join(f"{a},{r}\n" for a, r in zip(amounts, regions, strict=True)).encode()
        world.put(CAPTURES, "given.csv", body)
        manifest = json.dumps([{"prefix": f"s3://{CAPTURES}/given.csv"}, ""]).encode()
        event = world.put(CAPTURES, "captures/input/2026/03/02/10/x.json", manifest)
        assert world.profile(event) == {"batchItemFailures": []}
        assert len(world.keys("given/profiles/")) == 1
        assert world.keys("loans/profiles/") == []
