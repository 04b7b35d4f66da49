from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

import stacks.constructs.schedule
import stacks.deployment
from driftgauge.config import MonitorSet, read_monitor_set
from stacks import bundling
from tests.infrastructure.synthesized import monitor, new_app

MONITORS = MonitorSet(monitors=(monitor(),))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bundling, "CACHE", tmp_path)
    return tmp_path


def bundle(cache: Path, kind: str) -> Path:
    (folder,) = (one for one in cache.iterdir() if one.name.startswith(kind))
    return folder


def test_the_code_holds_the_packages_and_the_monitors(cache: Path) -> None:
    bundling.code_asset(MONITORS)
    folder = bundle(cache, "code-")
    assert {path.name for path in folder.iterdir()} == {"driftgauge", "lambdas", "monitors.json"}
    assert (folder / "lambdas" / "profile.py").is_file()
    assert (folder / "driftgauge" / "store" / "__init__.py").is_file()
    text = (folder / "monitors.json").read_text(encoding="utf-8")
    assert read_monitor_set(text) == MONITORS
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes <= {".py", ".json", ".typed", ".pyc"}


def test_bytecode_is_added_where_this_python_is_the_functions_own(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "PYTHON_VERSION", "2.7")
    bundling.code_asset(MONITORS)
    assert not list(bundle(cache, "code-").rglob("*.pyc"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    monkeypatch.setattr(bundling, "PYTHON_VERSION", version)
    bundling.code_asset(MONITORS)
    # A bundle of its own, or a machine would take another's for what it makes itself.
    assert len(list(cache.iterdir())) == 2
    compiled = {path.name.partition(".")[0] for path in cache.rglob("lambdas/__pycache__/*.pyc")}
    assert compiled >= {"profile", "evaluate", "notify"}


def test_the_same_sources_are_the_same_code_and_other_monitors_are_not(cache: Path) -> None:
    bundling.code_asset(MONITORS)
    bundling.code_asset(MONITORS)
    assert len(list(cache.iterdir())) == 1
    bundling.code_asset(MonitorSet(monitors=(monitor("fraud"),)))
    assert len(list(cache.iterdir())) == 2


def bundling_stack() -> cdk.Stack:
    app = new_app()
    app.node.set_context("aws:cdk:bundling-stacks", ["**"])
    return cdk.Stack(app, "Stack")


def fake_pip(monkeypatch: pytest.MonkeyPatch, files: dict[str, int]) -> list[list[str]]:
    """Stand in for pip: write files of given sizes into --target."""
    calls: list[list[str]] = []

    def run(command: list[str], **options: Any) -> None:
        calls.append(command)
        target = Path(command[command.index("--target") + 1])
        for name, size in files.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                stream.truncate(size)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_the_layer_is_fetched_for_the_functions_platform_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_pip(monkeypatch, {"numpy/__init__.py": 10})
    bundling.layer_asset(bundling_stack())
    bundling.layer_asset(bundling_stack())
    (command,) = calls
    # numpy's newer wheels carry the newer tag, the others' the older ones.
    assert "--platform=manylinux_2_28_aarch64" in command
    assert "--platform=manylinux2014_aarch64" in command
    assert f"--python-version={bundling.PYTHON_VERSION}" in command
    assert "--only-binary=:all:" in command
    assert (bundle(cache, "layer-") / "python" / "numpy" / "__init__.py").is_file()


def test_the_layer_leaves_out_what_is_never_imported(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {
        "numpy/__init__.py",
        "numpy/core.so",
        "numpy-2.dist-info/METADATA",
        "numpy-2.dist-info/licenses/tests/LICENSE.h",
    }
    dropped = {
        "numpy/tests/test_core.py",
        "numpy/core.pyi",
        "numpy/__pycache__/core.cpython-313.pyc",
        "simdjson/simdjson.cpp",
        "bin/f2py",
    }
    monkeypatch.setattr(bundling, "PYTHON_VERSION", "2.7")
    fake_pip(monkeypatch, dict.fromkeys(kept | dropped, 1))
    bundling.layer_asset(bundling_stack())
    folder = bundle(cache, "layer-") / "python"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == kept


def test_a_layer_that_outgrows_its_limit_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pip(monkeypatch, {"scipy/core.so": 91_000_000})
    with pytest.raises(bundling.BundlingError, match="91 MB unzipped, more than 90"):
        bundling.layer_asset(bundling_stack())
    assert list(cache.iterdir()) == []


def test_a_failing_pip_is_quoted_with_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **options: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="no matching distribution: numpy")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(bundling.BundlingError) as caught:
        bundling.layer_asset(bundling_stack())
    text = str(caught.value)
    assert "no matching distribution: numpy" in text
    assert "reaches its package index" in text
    assert list(cache.iterdir()) == []


def test_where_bundling_is_skipped_the_layer_is_never_taken_for_the_real_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_pip(monkeypatch, {"numpy/__init__.py": 10})
    keys: list[str] = []
    monkeypatch.setattr(bundling, "_asset", lambda folder, key: keys.append(key))
    bundling.layer_asset(cdk.Stack(new_app(), "Stack"))
    assert calls == []
    bundling.layer_asset(bundling_stack())
    assert len(set(keys)) == 2


@pytest.mark.parametrize("module", [stacks.deployment, stacks.constructs.schedule])
def test_the_examples_in_the_documentation_hold(module: Any) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
