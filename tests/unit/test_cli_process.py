"""The command line as a process: help, terminals, pipes and interrupts."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from driftgauge.cli import main
from driftgauge.config import json_schema
from tests.unit.churn_files import START, make_world, record


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("command", ["baseline", "analyze", "replay", "schema"])
def test_the_help_of_every_command_has_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"  driftgauge {command} " in capsys.readouterr().out.split("example")[1]


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("driftgauge 0.")


def test_a_window_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["replay", "--capture", "c", "--baseline", "b", "--window", "3 moons"])
    assert stopped.value.code == 2
    assert "'3 moons' is not a window" in capsys.readouterr().err


def test_the_schema_is_that_of_the_monitor_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == json_schema()


def test_help_needs_no_heavy_import() -> None:
    code = (
        "import sys\nfrom driftgauge.cli import build_parser\nbuild_parser().format_help()\n"
        "print([m for m in ('numpy', 'rich', 'boto3', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_reader_that_goes_away_ends_the_replay_without_a_complaint(world: Path) -> None:
    program = "import sys; from driftgauge.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["--capture", str(world / "moved"), "--baseline", str(world / "baseline")]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, "replay", *arguments, "--window", "1d", "--json"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == b""


@pytest.mark.parametrize("window", ["1d", "500rows"])
def test_a_progress_bar_on_the_terminal_leaves_standard_output_alone(
    world: Path, window: str
) -> None:
    program = "import sys; from driftgauge.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["--capture", str(world / "moved"), "--baseline", str(world / "baseline")]
    terminal, theirs = pty.openpty()
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, "replay", *arguments, "--window", window, "--json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        check=True,
    )
    os.close(theirs)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(line["rows"] for line in lines) == 1200
    assert b"Reading captures" in os.read(terminal, 100_000)
    os.close(terminal)


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("driftgauge.cli.commands.json_schema", interrupted)
    assert main(["schema"]) == 130


def test_names_from_payloads_cannot_write_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "x\x1b]0;owned\x07"
    train = tmp_path / "train.jsonl"
    train.write_text("\n".join(json.dumps({evil: i % 7, "y": i % 5}) for i in range(400)))
    assert main(["baseline", "--data", str(train), "--out", str(tmp_path / "b")]) == 0
    assert main(["baseline", "--data", str(train), "--label", evil, "--out", "/dev/null/b"]) == 2
    assert main(["baseline", "--data", str(train), "--label", "z", "--out", str(tmp_path)]) == 2
    lines = []
    for i in range(200):
        one = record(START + timedelta(seconds=i), "0", "0", 0.5)
        one["captureData"]["endpointInput"] |= {
            "data": json.dumps({evil: 6, "y": i % 5}),
            "encoding": "JSON",
        }
        lines.append(json.dumps(one))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    arguments = ["--capture", str(tmp_path / "a.jsonl"), "--baseline", str(tmp_path / "b")]
    assert main(["analyze", *arguments, "--out", str(tmp_path / "r")]) == 1
    assert main(["replay", *arguments, "--window", "1d"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and "\x07" not in out + err
    assert r"x\u001b]0;owned\u0007" in out
