"""The server process of the embedded AWS: ministack with driftgauge's supplements.

``local.aws.EmbeddedAws`` starts it; nobody needs to run it by hand. The process dies with its
parent: its standard input is a pipe that nothing is ever written to, and whose end means that
the parent is gone, however it went. That works alike on Linux and macOS.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import threading

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack import app as gateway
from ministack.core import lambda_runtime

from local import supplements


def _watch_parent(stop: threading.Event) -> None:
    """Set ``stop`` once the parent's end of our standard input closes."""
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):
            pass
    stop.set()


def _end_everything(stop: threading.Event) -> None:
    """End the Lambda workers, then this process, once ``stop`` is set."""
    stop.wait()
    # Workers first, politely; the group's SIGKILL then takes whatever did not listen.
    lambda_runtime.reset()
    shutil.rmtree(os.environ["EMBEDDED_AWS_SCRATCH"], ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Serve on ``BIND_HOST``:``GATEWAY_PORT`` until SIGTERM or the parent's end."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()  # the end of this process takes its whole group along
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    threading.Thread(target=_end_everything, args=(stop,), daemon=True).start()

    supplements.install()

    config = Config()
    config.bind = [f"{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"

    async def never() -> None:
        await asyncio.Event().wait()

    asyncio.run(serve(gateway.app, config, shutdown_trigger=never))


if __name__ == "__main__":
    main()
