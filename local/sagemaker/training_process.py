"""The process of a training job: ``python -m local.sagemaker.training_process MODULE FOLDER``.

An exception becomes the exit code 1 and the text of ``output/failure``, as SageMaker's own
containers do it.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import Any


def main() -> int:
    """Run a module's ``train`` in a folder; return the exit code."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    module: Any = importlib.import_module(name)
    try:
        module.train(folder)
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        (folder / "output/failure").write_text(text, encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
