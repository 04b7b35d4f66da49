"""A layer with machine code is not loaded; the running virtual environment serves instead.

AWS documentation: "Adding layers to functions" and "Working with layers for Python Lambda
functions" in the AWS Lambda Developer Guide. The deployed layer holds numpy and others, compiled
for Lambda's Linux on arm64 and its Python version; no other machine can import them. Functions
run here with the interpreter that runs the embedded AWS, whose virtual environment holds the
same packages in the same pinned versions (``requirements.txt``). A layer without machine code
is mounted as on AWS.
"""

from __future__ import annotations

import io
import logging
import zipfile
from typing import Any

from ministack.services import lambda_svc

_logger = logging.getLogger("native-layers")
_NATIVE = (".so", ".pyd", ".dylib")
_verdicts: dict[str, bool] = {}


def install() -> None:
    """Hide layers with machine code from the workers."""
    resolve = lambda_svc._resolve_layer_zip

    def resolve_portable(attachment: str | dict[str, Any]) -> bytes | None:
        content: bytes | None = resolve(attachment)
        if content is None or not _holds_machine_code(_arn(attachment), content):
            return content
        return None

    lambda_svc._resolve_layer_zip = resolve_portable


def _arn(attachment: str | dict[str, Any]) -> str:
    return attachment if isinstance(attachment, str) else str(attachment.get("Arn", ""))


def _holds_machine_code(arn: str, content: bytes) -> bool:
    if arn not in _verdicts:
        with zipfile.ZipFile(io.BytesIO(content)) as layer:
            _verdicts[arn] = any(
                name.endswith(_NATIVE) or ".so." in name for name in layer.namelist()
            )
        if _verdicts[arn]:
            _logger.info("%s holds machine code: the virtual environment serves instead", arn)
    return _verdicts[arn]
