"""What the functions run: one small code asset and one layer of dependencies.

Both are folders below ``.cache/bundles``, named by a digest of all that goes into them: a second
synth finds them there. Nothing needs Docker: pip fetches the wheels of the functions' platform,
whatever machine it runs on.
"""

from __future__ import annotations

import compileall
import hashlib
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from driftgauge.config import MonitorSet
from driftgauge.errors import DriftgaugeError

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "bundles"
REQUIREMENTS = ROOT / "lambdas" / "requirements.txt"
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = ("driftgauge", "lambdas")

# pysimdjson has no wheel for 3.14 on arm64 yet.
RUNTIME = lambda_.Runtime.PYTHON_3_13
PYTHON_VERSION = "3.13"
ARCHITECTURE = lambda_.Architecture.ARM_64
# pip accepts exactly the tags it is given: with manylinux2014 alone it falls back to releases of
# numpy that are years old. Amazon Linux 2023 has glibc 2.34, so 2_28 is safe.
PLATFORMS = (
    "manylinux_2_28_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux2014_aarch64",
    "manylinux_2_17_aarch64",
)
# Raised when the contents of the layer change although its requirements do not.
LAYER_FORMAT = 1
# Lambda's limit on code and layers together is 250 MB; a layer this big is a mistake long before.
LAYER_LIMIT_MB = 90
# Never needed to import: sources of extension modules, type stubs, test suites. The
# .dist-info folders stay: packages ask for their own version and entry points.
UNUSED_SUFFIXES = (".c", ".cc", ".cpp", ".h", ".hpp", ".pxd", ".pyi", ".pyx", ".pyc", ".a", ".f90")
UNUSED_FOLDERS = ("__pycache__", "tests", "bin")


class BundlingError(DriftgaugeError):
    """The functions' code or dependencies cannot be put together."""


def code_asset(monitors: MonitorSet) -> lambda_.Code:
    """Return the code of every function: the packages, and the monitors as JSON."""
    files = dict(_sources())
    files |= hook_files(monitors)
    files["monitors.json"] = monitors.model_dump_json().encode()
    digest = hashlib.sha256(_bytecode().encode())
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    key = digest.hexdigest()
    folder = CACHE / f"code-{key[:16]}"
    if not folder.is_dir():
        with _building(folder) as scratch:
            for name, data in files.items():
                path = scratch / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            _compile(scratch, deployed="/var/task")
    return _asset(folder, key)


def hook_files(monitors: MonitorSet, root: Path = ROOT) -> dict[str, bytes]:
    """Return the users' scripts that are deployed with the code, by path.

    Raises
    ------
    BundlingError
        If one is missing, or is not Python.
    """
    files = {}
    for monitor in monitors.monitors:
        hooks = monitor.capture.hooks
        for script in (hooks.preprocess, hooks.postprocess):
            if script is None or script.startswith("s3://"):
                continue
            try:
                files[script] = (root / script).read_bytes()
                compile(files[script], script, "exec")
            except OSError as error:
                raise BundlingError(
                    f"monitor {monitor.name!r}: the hook {root / script} cannot be read "
                    f"({error.strerror})"
                ) from error
            except (SyntaxError, ValueError) as error:
                raise BundlingError(
                    f"monitor {monitor.name!r}: the hook {script} is not Python: {error}"
                ) from error
    return files


def _sources() -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.suffix in (".py", ".typed", ".json") and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), path.read_bytes()


def layer_asset(scope: Construct) -> lambda_.Code:
    """Return the dependency layer, built once per set of pinned versions.

    Where the CDK skips bundling (context ``aws:cdk:bundling-stacks``, as tests do), the layer is
    an empty stand-in under another hash, so that it is never taken for the real one.

    Raises
    ------
    BundlingError
        If pip cannot fetch the wheels, or the layer outgrows ``LAYER_LIMIT_MB``.
    """
    pins = [path.read_text(encoding="utf-8") for path in (REQUIREMENTS, CONSTRAINTS)]
    recipe = "\n".join((str(LAYER_FORMAT), PYTHON_VERSION, _bytecode(), *PLATFORMS, *pins))
    key = hashlib.sha256(recipe.encode()).hexdigest()
    if not cdk.Stack.of(scope).bundling_required:
        key = hashlib.sha256(f"{recipe}\nempty".encode()).hexdigest()
        folder = CACHE / "layer-empty"
        (folder / "python").mkdir(parents=True, exist_ok=True)
        return _asset(folder, key)
    folder = CACHE / f"layer-{key[:16]}"
    if not folder.is_dir():
        print("Fetching the functions' dependencies (once) ...", file=sys.stderr)
        with _building(folder) as scratch:
            target = scratch / "python"
            _install(target)
            _strip(target)
            _compile(target, deployed="/opt/python")
            _check_size(target)
    return _asset(folder, key)


def _asset(folder: Path, key: str) -> lambda_.Code:
    return lambda_.Code.from_asset(
        str(folder), asset_hash=key, asset_hash_type=cdk.AssetHashType.CUSTOM
    )


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``folder`` once it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    scratch.chmod(0o755)
    try:
        yield scratch
        # Another synth may have been faster; its folder holds the same.
        if not folder.is_dir():
            scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _install(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    command += [f"--python-version={PYTHON_VERSION}", "--implementation=cp"]
    command += ["--only-binary=:all:", "--no-compile"]
    command += ["--target", str(target), "-r", str(REQUIREMENTS)]
    command += ["-c", str(CONSTRAINTS)]
    try:
        # The command is made of constants and paths of this checkout.
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        raise BundlingError(
            f"pip could not fetch the functions' dependencies ({REQUIREMENTS.name}):\n"
            f"{error.stderr.strip()}\n"
            "Check that this machine reaches its package index, and that every requirement has a "
            f"binary wheel for Python {PYTHON_VERSION} on {PLATFORMS[0]}; the command was:\n"
            f"{' '.join(command)}"
        ) from error


def _strip(target: Path) -> None:
    for path in sorted(target.rglob("*"), reverse=True):
        inside = path.relative_to(target).parts
        if any(part.endswith(".dist-info") for part in inside):
            continue
        if path.is_dir() and path.name in UNUSED_FOLDERS:
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in UNUSED_SUFFIXES:
            path.unlink()


def _bytecode() -> str:
    """Return whether this Python can write the functions' bytecode: only the same version can."""
    same = f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON_VERSION
    return "with bytecode" if same else "sources only"


def _compile(folder: Path, *, deployed: str) -> None:
    """Add bytecode if this Python can, which saves about a second of every cold start.

    Lambda's folders are read-only, so without it every start compiles every module anew. Bytecode
    that is never checked against its source is the same on every machine.
    """
    if _bytecode() == "with bytecode":
        compileall.compile_dir(
            folder,
            quiet=2,
            stripdir=str(folder),
            prependdir=deployed,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _check_size(target: Path) -> None:
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 1e6
    if size > LAYER_LIMIT_MB:
        raise BundlingError(
            f"the dependency layer is {size:.0f} MB unzipped, more than {LAYER_LIMIT_MB}: remove "
            f"a requirement from {REQUIREMENTS.name}, or strip more of what is never imported"
        )
