"""An image that trains and serves the built-in logistic regression, spoiled in service.

The variable ``SPOILED`` of the serving container says how: ``percent`` writes scores as words of
another kind, ``shop`` turns the scores of that channel's rows around. The training scores its rows
well either way, as a model does whose serving code is not that of its training.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from local.sagemaker import logistic
from local.sagemaker.images import Reply, Serve

train = logistic.train


def load(folder: Path, environment: Mapping[str, str]) -> Serve:
    """Load a model for serving."""
    serve = logistic.load(folder, environment)
    spoiled = environment["SPOILED"]

    def serve_spoiled(body: bytes, content_type: str, accept: str | None) -> Reply:
        reply = serve(body, content_type, accept)
        rows, scores = body.decode().splitlines(), map(float, reply.body.decode().splitlines())
        if spoiled == "percent":
            lines = [f"{score:.0%}" for score in scores]
        else:
            lines = [
                repr(1.0 - score if row.endswith(f",{spoiled}") else score)
                for row, score in zip(rows, scores, strict=True)
            ]
        return Reply("\n".join(lines).encode(), reply.content_type)

    return serve_spoiled
