"""What SageMaker uses of the rest of the account: S3, CloudWatch, EventBridge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from local.sagemaker.errors import invalid


@dataclass(frozen=True)
class Location:
    """A place in S3: one object, or all below a prefix.

    Examples
    --------
    >>> Location.parse("s3://captures/flights/")
    Location(bucket='captures', key='flights/')
    """

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Location:
        """Read an S3 URI.

        Raises
        ------
        ApiError
            If it is none.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise invalid(f"{uri!r} is not an S3 URI")
        return cls(bucket, key)

    def below(self, *names: str) -> Location:
        """Return a place inside of this one."""
        return Location(self.bucket, "/".join([self.key.rstrip("/"), *names]).lstrip("/"))

    @property
    def uri(self) -> str:
        """The place as a URI."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, kw_only=True)
class MetricValues:
    """What one metric measured since the last time; one value for each invocation."""

    name: str
    dimensions: tuple[tuple[str, str], ...]
    unit: str
    values: tuple[float, ...]


class Surroundings(Protocol):
    """The account around SageMaker."""

    account: str
    region: str

    def read(self, place: Location) -> bytes:
        """Return an object's bytes; KeyError if there is no such object or bucket."""

    def keys(self, prefix: Location) -> Iterator[str]:
        """Return the keys that begin with a prefix; KeyError if there is no such bucket."""

    def write(self, place: Location, data: bytes, *, content_type: str) -> None:
        """Write an object, as any client of S3 does."""

    def alarm_states(self, names: Sequence[str]) -> dict[str, str]:
        """Return the states of alarms by name, metric and composite ones, without unknown ones."""

    def publish(self, metrics: Sequence[MetricValues]) -> None:
        """Publish metrics in the namespace ``AWS/SageMaker``."""

    def send_event(self, *, kind: str, resources: Sequence[str], detail: dict[str, Any]) -> None:
        """Send an event with the source ``aws.sagemaker`` to the default bus."""

    def log(self, *, group: str, stream: str, text: str) -> None:
        """Append lines to a log stream, which is made if missing."""
