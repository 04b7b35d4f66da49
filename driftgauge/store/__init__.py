"""The S3 layout: every key in one place, and all reads and writes.

``Objects`` is a flat key-value space: an S3 bucket and prefix, or a local folder. Nothing else in
the engine talks to AWS, but ``aws`` to services other than S3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from posixpath import commonpath
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast
from uuid import uuid4

import msgspec

from driftgauge.drift.verdict import WindowVerdict, decode_verdict
from driftgauge.errors import ConflictError, ObjectNotFoundError, StoreError
from driftgauge.windows import Window

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


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A baseline and the model it belongs to, and since when they are in force."""

    baseline: str
    model: str | None
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Current:
    """The one pointer of a monitor: which baseline judges and which model is champion.

    Baseline and model change in one conditional write, so no reader ever sees a new model with
    the old baseline. ``history`` holds earlier promotions, oldest first.
    """

    baseline: str
    model: str | None
    since: datetime
    history: tuple[Promotion, ...] = ()
    version: int = 1

    def promoted(self, *, baseline: str, model: str | None, since: datetime) -> Current:
        """Return the pointer after a promotion, with this state appended to its history."""
        before = Promotion(baseline=self.baseline, model=self.model, since=self.since)
        return replace(
            self, baseline=baseline, model=model, since=since, history=(*self.history, before)
        )


@dataclass(frozen=True, kw_only=True)
class StoredProfile:
    """One stored profile: its key, and what the key says."""

    key: str
    baseline: str
    variant: str
    grain_start: datetime
    modified: datetime
    tag: str


class MonitorStore:
    """Every key of one monitor, and the reads and writes behind it."""

    def __init__(self, *, objects: Objects, monitor: str) -> None:
        self.objects = objects
        self.monitor = monitor

    # The pointer

    @property
    def current_key(self) -> str:
        """Key of the pointer to baseline and champion."""
        return f"{self.monitor}/current.json"

    def read_current(self) -> tuple[Current, str]:
        """Return the pointer and its tag; ``ObjectNotFoundError`` before the first baseline."""
        data, tag = self.objects.read_tagged(self.current_key)
        try:
            return msgspec.json.decode(data, type=Current), tag
        except msgspec.ValidationError as error:
            raise StoreError(f"{self.objects.uri}{self.current_key}: {error}") from error

    def write_current(self, current: Current, *, if_tag: str | None) -> None:
        """Replace the pointer if it still has the tag; None: only if there is none yet."""
        self.objects.write(
            self.current_key,
            msgspec.json.format(msgspec.json.encode(current), indent=1),
            content_type="application/json",
            if_absent=if_tag is None,
            if_tag=if_tag,
        )

    # Baselines and models

    def baseline_key(self, version: str, name: str) -> str:
        """Key of one of a baseline's files: baseline.json, statistics.json, constraints.json."""
        return f"{self.monitor}/baseline/{version}/{name}"

    def training_data_prefix(self) -> str:
        """Prefix under which training data is dropped to become a baseline."""
        return f"{self.monitor}/training-data/"

    def model_key(self, version: str) -> str:
        """Key of a model."""
        return f"{self.monitor}/models/{version}/model.json"

    def retraining_key(self, execution: str, name: str) -> str:
        """Key of a file that one retraining execution works on."""
        return f"{self.monitor}/retraining/{execution}/{name}"

    # Profiles

    @staticmethod
    def capture_digest(*, bucket: str, key: str, tag: str) -> str:
        """Return the digest that stands for one version of a capture object."""
        text = "\n".join((bucket, key, tag.strip('"')))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def profile_key(
        self, *, baseline: str, variant: str, grain_start: datetime, digest: str
    ) -> str:
        """Key of the profile of one capture object's rows in one grain.

        A pure function of the capture object, the grain and the baseline whose cells are counted.
        """
        moment = grain_start.astimezone(UTC)
        return (
            f"{self.monitor}/profiles/{baseline}/{variant}/{moment:%Y/%m/%d/%H/%M}/{digest}.profile"
        )

    def list_profiles(
        self, *, baseline: str, variant: str, window: Window
    ) -> Iterator[StoredProfile]:
        """List the stored profiles of one window, in the order of their time."""
        folder = f"{self.monitor}/profiles/{baseline}/{variant}/"
        first, end = (f"{t.astimezone(UTC):%Y/%m/%d/%H/%M}" for t in (window.start, window.end))
        # Keys are in the order of time: one listing from the window's start to its end.
        for info in self.objects.list(folder + commonpath([first, end]), after=folder + first):
            stored = parse_profile_key(info)
            if stored.grain_start >= window.end:
                return
            yield stored

    def rollup_key(self, *, baseline: str, variant: str, window: Window) -> str:
        """Key of the sum of one window's profiles, as far as it was evaluated.

        Windows of different lengths may share it: it holds what it is the sum of.
        """
        moment = window.start.astimezone(UTC)
        return f"{self.monitor}/rollups/{baseline}/{variant}/{moment:%Y/%m/%d/%H/%M}.rollup"

    # Reports

    def report_key(self, *, variant: str, window: Window, name: str) -> str:
        """Key of one of a window's files: statistics.json, verdicts.json, report.html, ..."""
        moment = window.start.astimezone(UTC)
        minute = (
            f"/{moment:%M}"
            if moment.minute or window.end - window.start < timedelta(hours=1)
            else ""
        )
        return f"{self.monitor}/reports/{variant}/{moment:%Y/%m/%d/%H}{minute}/{name}"

    def read_verdict(self, *, variant: str, window: Window) -> WindowVerdict:
        """Return a window's verdict; ``ObjectNotFoundError`` if it was never evaluated."""
        return decode_verdict(
            self.objects.read(self.report_key(variant=variant, window=window, name="verdicts.json"))
        )

    # Quarantine

    def quarantine_key(self, *, variant: str, moment: datetime, digest: str) -> str:
        """Key of the rejected samples of one capture object."""
        return f"{self.monitor}/quarantine/{variant}/{moment:%Y/%m/%d/%H}/{digest}.jsonl"

    # State of evaluation over time

    def state_key(self, variant: str) -> str:
        """Key of the evaluation state of one variant."""
        return f"{self.monitor}/state/{variant}.json"

    def evidence_key(self, *, baseline: str, variant: str) -> str:
        """Key of what the windows of one variant say together, against one baseline."""
        return f"{self.monitor}/evidence/{baseline}/{variant}.evidence"


def parse_profile_key(info: ObjectInfo) -> StoredProfile:
    """Read back what a profile's key says.

    Raises
    ------
    StoreError
        If the key is not one that ``MonitorStore.profile_key`` makes.
    """
    parts = info.key.split("/")
    try:
        monitor, room, baseline, variant, *moment, name = parts
        if room != "profiles" or not monitor or not name.endswith(".profile"):
            raise ValueError("not a profile")
        year, month, day, hour, minute = (int(part) for part in moment)
        start = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError as error:
        raise StoreError(f"{info.key} is not the key of a profile") from error
    return StoredProfile(
        key=info.key,
        baseline=baseline,
        variant=variant,
        grain_start=start,
        modified=info.modified,
        tag=info.tag,
    )
