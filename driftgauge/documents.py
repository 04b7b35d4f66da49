"""Verdicts and other records as JSON files that people may open, each with a version."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from driftgauge.errors import DriftgaugeError

_VERSION = 1


class Versioned(Protocol):
    """A record that says which version of its format it has."""

    @property
    def version(self) -> int:
        """1 for all that exist."""


Document = TypeVar("Document", bound=Versioned)


def encode_document(document: Any) -> bytes:
    """Write a record as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def decode_document(
    data: bytes, kind: type[Document], *, name: str, error: type[DriftgaugeError]
) -> Document:
    """Read a record.

    Parameters
    ----------
    data : bytes
    kind : type
        What it holds.
    name : str
        Of the file, for messages.
    error : type of DriftgaugeError
        What is raised.

    Raises
    ------
    DriftgaugeError
        Of the type ``error``, if the text is not a record this version can read.
    """
    try:
        document = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as reason:
        raise error(f"{name} cannot be read: {reason}") from reason
    if document.version != _VERSION:
        raise error(f"{name} of version {document.version}: only {_VERSION} can be read")
    return document
