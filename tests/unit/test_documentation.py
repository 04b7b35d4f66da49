"""The documentation names what exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from driftgauge.config import MonitorConfig

ROOT = Path(__file__).resolve().parents[2]


def _keys(model: type[BaseModel]) -> set[str]:
    keys = set()
    for name, field in model.model_fields.items():
        keys.add(name)
        for part in _parts(field.annotation):
            keys |= _keys(part)
    return keys


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a type, such as those of a union in a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    prose = re.sub(r"(?s)```.*?```", "", text)
    named = {part for code in re.findall(r"`([^`]+)`", prose) for part in re.split(r"\W+", code)}
    assert _keys(MonitorConfig) - named == set()


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.name}: {target}")
    assert broken == []


def test_every_make_target_of_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z]+)\b", readme))
    assert {"demo", "test"} <= named
    assert [name for name in sorted(named) if not re.search(rf"(?m)^{name}:", makefile)] == []
