"""The command line with baselines of Model Monitor's two files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from driftgauge.cli import main
from tests.unit.churn_files import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = make_world(tmp_path_factory.mktemp("world"))
    files = world / "files"
    files.mkdir()
    for name in ("statistics.json", "constraints.json"):
        (files / name).write_bytes((world / "baseline" / name).read_bytes())
    return world


def analyzed(world: Path, captures: str, baseline: Path, out: Path, *more: str) -> tuple[int, str]:
    arguments = ["--capture", str(world / captures), "--baseline", str(baseline)]
    status = main(["analyze", *arguments, "--out", str(out), *more])
    return status, (out / "verdicts.json").read_text()


def verdicts(text: str) -> dict[str, tuple[str, str]]:
    return {f["name"]: (f["role"], f["verdict"]) for f in json.loads(text)["features"]}


@pytest.mark.parametrize("captures", ["quiet", "moved"])
def test_a_folder_with_only_the_two_files_gives_the_same_verdicts(
    captures: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = analyzed(world, captures, world / "files", tmp_path / "a", "--outputs", "score")
    expected, full = analyzed(world, captures, world / "baseline", tmp_path / "b")
    assert status == expected
    assert verdicts(text) == verdicts(full)
    assert verdicts(text)["score"][0] == "output"
    assert "baseline.json" not in capsys.readouterr().err


def test_replay_takes_such_a_folder_too(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--capture", str(world / "moved"), "--baseline", str(world / "files")]
    assert main(["replay", *arguments, "--outputs", "score", "--window", "1d", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["alarm"] for line in lines] == [False] * 3 + [True] * 3


def test_a_baseline_is_made_of_the_two_files(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        *("--statistics", str(world / "files/statistics.json")),
        *("--constraints", str(world / "files/constraints.json")),
    ]
    out = tmp_path / "recovered"
    assert main(["baseline", *arguments, "--outputs", "score", "--out", str(out)]) == 0
    assert "4,000 rows, 2 inputs, 1 output" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        "baseline.json",
        "statistics.json",
        "constraints.json",
    }
    for name in ("statistics.json", "constraints.json"):
        assert json.loads((out / name).read_text()) == json.loads(
            (world / "baseline" / name).read_text()
        )
    status, text = analyzed(world, "moved", out, tmp_path / "a")
    assert status == 1
    assert verdicts(text)["plan"] == ("input", "drift")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --data, or both --statistics and --constraints"),
        (["--statistics", "{files}/statistics.json"], "give either --data"),
        (
            ["--data", "{files}/x.csv", "--constraints", "{files}/constraints.json"],
            "give either --data",
        ),
        (
            ["--statistics", "{files}", "--constraints", "{files}/constraints.json"],
            "holds several files",
        ),
        (
            [
                *("--statistics", "{files}/statistics.json"),
                *("--constraints", "{files}/constraints.json", "--outputs", "nothing"),
            ],
            "outputs names 'nothing'",
        ),
    ],
)
def test_wrong_arguments_are_explained(
    arguments: list[str],
    message: str,
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [argument.format(files=world / "files") for argument in arguments]
    assert main(["baseline", *filled, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
