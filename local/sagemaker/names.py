"""ARNs of SageMaker's resources, and the words of its refusals about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from local.sagemaker.errors import invalid

Found = TypeVar("Found")


@dataclass(frozen=True)
class Names:
    """Makes the ARNs of one account and region.

    Examples
    --------
    >>> Names("123456789012", "us-east-1").arn("endpoint-config", "flights-2")
    'arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/flights-2'
    """

    account: str
    region: str

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of a resource; SageMaker writes names in ARNs in lower case."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"

    def found(self, kind: str, table: Mapping[str, Found], name: str) -> Found:
        """Return a resource by name.

        Raises
        ------
        ApiError
            If there is none.
        """
        if name not in table:
            raise invalid(f'Could not find {_WORDS[kind]} "{self.arn(kind, name)}".')
        return table[name]

    def refuse_existing(self, kind: str, table: Mapping[str, object], name: str) -> None:
        """Raise an ApiError if a resource has that name."""
        if name in table:
            arn = self.arn(kind, name)
            raise invalid(f'Cannot create already existing {_WORDS[kind]} "{arn}".')


_WORDS = {
    "model": "model",
    "endpoint-config": "endpoint configuration",
    "endpoint": "endpoint",
}


def now() -> datetime:
    """Return the moment, in UTC."""
    return datetime.now(UTC)
