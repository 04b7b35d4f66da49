"""The embedded AWS leaves no process behind, and nothing of a real account gets into it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.aws import EmbeddedAws, EmbeddedAwsError
from tests.end_to_end.test_embedded_aws import eventually, function

pytestmark = [pytest.mark.end_to_end, pytest.mark.enable_socket]

ROOT = Path(__file__).resolve().parents[2]


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def test_stop_ends_every_process_even_one_in_the_middle_of_an_invocation(tmp_path: Path) -> None:
    aws = EmbeddedAws(folder=tmp_path)
    aws.start()
    group = aws.process_id
    assert group is not None
    aws.client("cloudformation").create_stack(
        StackName="busy",
        TemplateBody=json.dumps(
            {"Resources": {"Busy": function("import time\ndef handler(*_): time.sleep(60)")}}
        ),
    )
    [busy] = eventually(lambda: aws.client("lambda").list_functions()["Functions"])
    aws.client("lambda").invoke(FunctionName=busy["FunctionName"], InvocationType="Event")
    eventually(lambda: "Lambda worker spawned" in aws.log.read_text())

    with pytest.raises(EmbeddedAwsError, match="running already"):
        aws.start()
    aws.stop()

    assert not alive(group)
    assert [path.name for path in tmp_path.iterdir()] == ["embedded-aws.log"]
    aws.stop()  # a second time does no harm


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from local.aws import EmbeddedAws\n"
        "aws = EmbeddedAws(folder=Path(sys.argv[1]))\n"
        "aws.start()\n"
        "print(aws.process_id, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    group = int(parent.stdout.readline())
    assert alive(group)

    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    eventually(lambda: not alive(group))


def test_no_variable_of_a_real_account_gets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret")
    environment = EmbeddedAws(folder=tmp_path).environment()
    assert "AWS_PROFILE" not in environment
    assert "AWS_SESSION_TOKEN" not in environment
    assert environment["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
