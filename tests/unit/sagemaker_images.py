"""Images for tests of the local SageMaker: what is not to be found in a real container."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from local.sagemaker.images import ContainerError, Reply, Serve


def load(_folder: Path, environment: Mapping[str, str]) -> Serve:
    """A model that echoes, refuses (``STATUS``) or raises (``RAISE``)."""

    def serve(body: bytes, content_type: str, accept: str | None) -> Reply:
        if "STATUS" in environment:
            raise ContainerError(int(environment["STATUS"]), "not today")
        if "RAISE" in environment:
            raise RuntimeError(environment["RAISE"])
        return Reply(body, accept or content_type)

    return serve


def train(_folder: Path) -> None:
    """A training that does not end."""
    time.sleep(600)
