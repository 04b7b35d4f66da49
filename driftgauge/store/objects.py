"""Flat key-value spaces of bytes: an S3 bucket and prefix, or a local folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast
from uuid import uuid4

from driftgauge.errors import ConflictError, ObjectNotFoundError, StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class ObjectInfo:
    """One listed object. ``tag`` changes whenever its content does."""

    key: str
    size: int
    tag: str
    modified: datetime


class Objects(Protocol):
    """A flat key-value space of bytes."""

    @property
    def uri(self) -> str:
        """Where the space is, for messages."""

    def read(self, key: str) -> bytes:
        """Return an object's bytes; ``ObjectNotFoundError`` if there is none."""

    def open(self, key: str) -> BinaryIO:
        """Return a stream over an object's bytes; ``ObjectNotFoundError`` if there is none."""

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return an object's bytes and its tag, for a later ``write(if_tag=...)``."""

    def write(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        if_absent: bool = False,
        if_tag: str | None = None,
    ) -> None:
        """Write an object; ``ConflictError`` if a condition does not hold."""

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """List the objects whose key starts with ``prefix`` and is above ``after``, in key order.

        What lies far in this order costs nothing unless it is asked for.
        """


class S3Objects:
    """The objects below a prefix of an S3 bucket."""

    def __init__(self, *, bucket: str, prefix: str = "", client: S3Client | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if client is None:
            import boto3

            client = boto3.client("s3")
        self._client: S3Client = client

    @property
    def uri(self) -> str:
        """Where the space is, for messages."""
        return f"s3://{self._bucket}/{self._prefix}"

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self.read_tagged(key)[0]

    def open(self, key: str) -> BinaryIO:
        """Return a stream over an object's bytes."""
        return cast("BinaryIO", self._get(key)["Body"])

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return an object's bytes and its ETag."""
        response = self._get(key)
        return response["Body"].read(), response["ETag"]

    def _get(self, key: str):  # type: ignore[no-untyped-def]  # a TypedDict of the stubs
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404", "NotFound"):
                raise ObjectNotFoundError(f"{self.uri}{key} does not exist") from error
            raise StoreError(f"{self.uri}{key} cannot be read: {error}") from error
        except BotoCoreError as error:
            raise StoreError(f"{self.uri}{key} cannot be read: {error}") from error

    def write(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        if_absent: bool = False,
        if_tag: str | None = None,
    ) -> None:
        """Write an object, conditionally if asked (S3 conditional writes)."""
        from botocore.exceptions import BotoCoreError, ClientError

        condition: dict[str, str] = {}
        if if_absent:
            condition["IfNoneMatch"] = "*"
        if if_tag is not None:
            condition["IfMatch"] = if_tag
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=data,
                ContentType=content_type,
                **condition,  # type: ignore[arg-type]
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                raise ConflictError(f"{self.uri}{key} was changed by someone else") from error
            raise StoreError(f"{self.uri}{key} cannot be written: {error}") from error
        except BotoCoreError as error:
            raise StoreError(f"{self.uri}{key} cannot be written: {error}") from error

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """List the objects whose key starts with ``prefix`` and is above ``after``, in key order.

        A request for every thousand of them, when they are asked for.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=self._prefix + prefix,
            StartAfter=self._prefix + after if after else "",
        )
        try:
            for page in pages:
                for entry in page.get("Contents", []):
                    yield ObjectInfo(
                        key=entry["Key"][len(self._prefix) :],
                        size=entry["Size"],
                        tag=entry["ETag"],
                        modified=entry["LastModified"].astimezone(UTC),
                    )
        except (BotoCoreError, ClientError) as error:
            raise StoreError(f"{self.uri}{prefix} cannot be listed: {error}") from error


class LocalObjects:
    """The files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def uri(self) -> str:
        """Where the space is, for messages."""
        return f"{self._folder}/"

    def _path(self, key: str) -> Path:
        path = self._folder / key
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise StoreError(f"key {key!r} points outside of {self._folder}")
        return path

    def read(self, key: str) -> bytes:
        """Return a file's bytes."""
        with self.open(key) as stream:
            return stream.read()

    def open(self, key: str) -> BinaryIO:
        """Return a stream over a file's bytes."""
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ObjectNotFoundError(f"{self.uri}{key} does not exist") from error

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return a file's bytes and a digest of them."""
        data = self.read(key)
        return data, hashlib.sha256(data).hexdigest()

    def write(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        if_absent: bool = False,
        if_tag: str | None = None,
    ) -> None:
        """Write a file whole or not at all; the content type has no place in a folder."""
        del content_type
        path = self._path(key)
        if if_absent and path.exists():
            raise ConflictError(f"{self.uri}{key} exists already")
        if if_tag is not None and (not path.exists() or self.read_tagged(key)[1] != if_tag):
            raise ConflictError(f"{self.uri}{key} was changed by someone else")
        path.parent.mkdir(parents=True, exist_ok=True)
        writing = path.with_name(f".writing-{uuid4().hex}")
        writing.write_bytes(data)
        writing.replace(path)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """List the files whose key starts with ``prefix`` and is above ``after``, in key order."""
        top = self._folder / prefix.rpartition("/")[0]
        for path in sorted(top.rglob("*")):
            key = path.relative_to(self._folder).as_posix()
            if key <= after or not key.startswith(prefix) or path.name.startswith("."):
                continue
            if path.is_file():
                status = path.stat()
                yield ObjectInfo(
                    key=key,
                    size=status.st_size,
                    tag=f"{status.st_mtime_ns}-{status.st_size}",
                    modified=datetime.fromtimestamp(status.st_mtime, UTC),
                )
