"""The embedded AWS: an AWS on this machine's loopback interface, without an account.

It runs ministack, an emulator from PyPI, with the supplements of ``local.supplements``, in a
process of its own. State lives in that process's memory and ends with it.

As a module it serves the AWS CLI and curious people::

    python -m local.aws

prints the variables to export and serves until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from driftgauge.errors import DriftgaugeError

ACCOUNT = "123456789012"
REGION = "us-east-1"
_ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class EmbeddedAwsError(DriftgaugeError):
    """The embedded AWS did not start, or something deployed into it failed."""


class EmbeddedAws:
    """An AWS account in a process of its own, reachable at ``endpoint_url``.

    Parameters
    ----------
    folder
        Where the log (``embedded-aws.log``) and the unpacked Lambda code go; made if missing.
    port
        Loopback port to serve on; a free one by default.

    Examples
    --------
    ::

        with EmbeddedAws(folder=Path(".demo")) as aws:
            aws.client("s3").create_bucket(Bucket="captures")
    """

    def __init__(self, *, folder: Path, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.log = self.folder / "embedded-aws.log"
        self.port = port or _free_port()
        self.endpoint_url = f"http://127.0.0.1:{self.port}"
        self._scratch = self.folder / f"tmp-{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server process and wait until it answers.

        Raises
        ------
        EmbeddedAwsError
            If it is running already, or does not answer within a minute.
        """
        if self._process is not None:
            raise EmbeddedAwsError("the embedded AWS is running already: stop() it first")
        self._scratch.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.launcher"],
                cwd=_ROOT,
                env=self._server_environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and every process it started; safe to call more than once."""
        process, self._process = self._process, None
        if process is None:
            return
        with _interrupts_held():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            # The server leads its own session: this reaches workers it could not end itself.
            # macOS answers EPERM, not ESRCH, for a group that holds only zombies.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
            shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def process_id(self) -> int | None:
        """Process (and process group) of the server; None when it is not running."""
        return None if self._process is None else self._process.pid

    def environment(self) -> dict[str, str]:
        """Return this process's environment, turned towards the embedded AWS.

        Every ``AWS_*`` variable of the caller is replaced, so that no profile, credential or
        region of a real account can leak into a command that is given this environment.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "CDK_DEFAULT_"))
        }
        return kept | {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "embedded",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # A proxy of the user's network has no business with the loopback interface.
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client of the embedded AWS (``Any``: boto3 types them per service)."""
        return boto3.Session(
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="embedded",  # noqa: S106 - the emulator takes any
            region_name=REGION,
        ).client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint_url,
            config=Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}, proxies={}),
        )

    def _server_environment(self) -> dict[str, str]:
        environment = self.environment()
        environment.pop("PYTHONPATH", None)
        return environment | {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "LAMBDA_EXECUTOR": "local",
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # No Docker, even where there is one: every function runs as a plain process.
            "DOCKER_HOST": "unix:///nonexistent",
            "TMPDIR": str(self._scratch),
            "EMBEDDED_AWS_SCRATCH": str(self._scratch),
            "PYTHONUNBUFFERED": "1",
        }

    def _wait_until_healthy(self) -> None:
        assert self._process is not None  # noqa: S101 - start() has just set it
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                direct.open(f"{self.endpoint_url}/_ministack/health", timeout=2),
            ):
                return
            time.sleep(0.05)
        tail = self.log.read_text(errors="replace").splitlines()[-15:]
        raise EmbeddedAwsError(
            "the embedded AWS did not start; the end of its log "
            f"({self.log}) says:\n" + "\n".join(tail)
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM, so that a second one cannot cut the clean-up short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {n: signal.signal(n, lambda number, _: held.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def main() -> None:
    """Serve until Ctrl-C, and say how to reach it."""
    parser = argparse.ArgumentParser(prog="python -m local.aws", description=main.__doc__)
    parser.add_argument("--port", type=int, help="loopback port (default: a free one)")
    parser.add_argument("--folder", type=Path, help="folder of the log (default: a temporary one)")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="embedded-aws-"))
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with EmbeddedAws(folder=folder, port=options.port) as aws:
        variables = {n: v for n, v in aws.environment().items() if n.startswith("AWS_")}
        for name, value in variables.items():
            print(f"export {name}={value}")
        print(f"# log: {aws.log}\n# Ctrl-C stops it and everything in it", flush=True)
        done.wait()


if __name__ == "__main__":
    main()
