"""Where the command line reads and writes: files, folders and s3:// URIs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from driftgauge.errors import StoreError
from driftgauge.store import LocalObjects, Objects, S3Objects

CAPTURE_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
TABLE_SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".json", ".parquet")
_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file to read; ``size`` in bytes as stored, ``name`` as messages call it."""

    objects: Objects
    key: str
    size: int
    name: str

    @contextmanager
    def open(self, advance: Callable[[int], None]) -> Iterator[BinaryIO]:
        """Open the file; ``advance`` is told how many bytes were read."""
        with self.objects.open(self.key) as stream:
            yield io.BufferedReader(_Counted(stream, advance), _READ_AT_ONCE)

    @contextmanager
    def open_seekable(self, advance: Callable[[int], None]) -> Iterator[BinaryIO]:
        """Open the file from memory, for formats that are not read front to back."""
        data = self.objects.read(self.key)
        advance(len(data))
        yield io.BytesIO(data)


class _Counted(io.RawIOBase):
    """A stream that tells how many bytes were read from it."""

    def __init__(self, stream: BinaryIO, advance: Callable[[int], None]) -> None:
        self._stream = stream
        self._advance = advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a buffer, always
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._advance(len(data))
        return len(data)


def folder(path: str) -> Objects:
    """Return the folder or S3 prefix to read from or write to."""
    if path.startswith("s3://"):
        bucket, _, prefix = path.removeprefix("s3://").partition("/")
        return S3Objects(bucket=_bucket_of(bucket, path), prefix=prefix)
    return LocalObjects(Path(path))


def find(paths: Sequence[str], *, suffixes: tuple[str, ...]) -> list[Source]:
    """Return the files behind paths: a file as it is, a folder with all that is below it.

    Parameters
    ----------
    paths : sequence of str
        Files, folders, or ``s3://bucket/key-or-prefix``.
    suffixes : tuple of str
        What files found in folders must end with. A file that is named is always taken.

    Returns
    -------
    list of Source
        Each file once; paths in the given order, files of a folder by name.

    Raises
    ------
    StoreError
        If a path does not exist or holds no such file.
    """
    found: dict[str, Source] = {}
    for path in paths:
        named, below = _in_bucket(path) if path.startswith("s3://") else _on_disk(path)
        wanted = [*named, *(source for source in below if source.key.endswith(suffixes))]
        if not wanted:
            raise StoreError(f"{path} holds no file that ends with {', '.join(suffixes)}")
        found |= {source.name: source for source in wanted}
    return list(found.values())


def _on_disk(path: str) -> tuple[list[Source], list[Source]]:
    """Return the file itself if the path is one, and the files below it."""
    place = Path(path)
    if place.is_file():
        target = place.resolve()
        objects = LocalObjects(target.parent)
        size = target.stat().st_size
        return [Source(objects=objects, key=target.name, size=size, name=str(place))], []
    if not place.is_dir():
        raise StoreError(f"{path} does not exist")
    objects = LocalObjects(place)
    return [], [
        Source(objects=objects, key=info.key, size=info.size, name=str(place / info.key))
        for info in objects.list("")
    ]


def _in_bucket(path: str) -> tuple[list[Source], list[Source]]:
    """Return the object itself if the URI is one's, and the objects below it."""
    bucket, _, key = path.removeprefix("s3://").partition("/")
    objects = S3Objects(bucket=_bucket_of(bucket, path))
    # As a prefix a key stands for a folder, not for every name that starts alike.
    below = f"{key.rstrip('/')}/" if key.strip("/") else ""
    named, inside = [], []
    for info in objects.list(key):
        uri = f"s3://{bucket}/{info.key}"
        source = Source(objects=objects, key=info.key, size=info.size, name=uri)
        if info.key == key:
            named.append(source)
        elif info.key.startswith(below):
            inside.append(source)
    if not named and not inside:
        raise StoreError(f"{path} does not exist")
    return named, [] if named else inside


def _bucket_of(bucket: str, path: str) -> str:
    if not bucket:
        raise StoreError(f"{path} names no bucket: write s3://bucket/prefix")
    return bucket
