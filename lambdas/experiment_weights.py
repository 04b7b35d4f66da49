"""Which share of the traffic a challenger gets by the endpoint's weights."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from driftgauge.config import MonitorConfig
from driftgauge.errors import StoreError
from driftgauge.experiment_settings import AbMonitorSettings
from lambdas.runtime import Runtime, logger

# Answers that asking again would not change: no such endpoint, no permission.
_FINAL = ("ValidationException", "AccessDenied", "AccessDeniedException")


@dataclass(frozen=True, kw_only=True)
class ServedShare:
    """The challenger's share of both variants' traffic, and since when it is surely that."""

    share: float
    since: datetime


class EndpointWeights:
    """The weights of endpoints' variants, each endpoint asked once."""

    def __init__(self, run: Runtime) -> None:
        self._run = run
        self._shares: dict[tuple[str, str], ServedShare | None] = {}
        self._answers: dict[str, dict[str, Any] | None] = {}

    def share(self, config: MonitorConfig, settings: AbMonitorSettings) -> ServedShare | None:
        """Return the share that the weights give a challenger; None if they say nothing.

        Raises
        ------
        StoreError
            If SageMaker cannot be asked now.
        """
        key = (config.name, settings.name)
        if key not in self._shares:
            self._shares[key] = self._read(config, settings)
        return self._shares[key]

    def _read(self, config: MonitorConfig, settings: AbMonitorSettings) -> ServedShare | None:
        if not config.capture.is_hosted:
            return None
        answer = self._describe(config.endpoint.name)
        if answer is None:
            return None
        weights = {
            str(one["VariantName"]): float(one.get("CurrentWeight", 0.0))
            for one in answer.get("ProductionVariants", ())
        }
        ours, theirs = (weights.get(one) for one in (settings.champion, settings.challenger))
        # Without traffic for either there is no test now; what comes late is of the time before.
        if not ours or not theirs:
            logger.warning(
                "weights do not split the traffic",
                experiment=settings.name,
                champion=ours,
                challenger=theirs,
            )
            return None
        # The API's numbers are of single precision.
        share = round(theirs / (ours + theirs), 6)
        if abs(share - settings.share) > 1e-4:
            logger.info(
                "weights differ from share",
                experiment=settings.name,
                share=settings.share,
                served=share,
            )
        return ServedShare(share=share, since=answer["LastModifiedTime"])

    def _describe(self, endpoint: str) -> dict[str, Any] | None:
        if endpoint not in self._answers:
            self._answers[endpoint] = self._ask(endpoint)
        return self._answers[endpoint]

    def _ask(self, endpoint: str) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = self._run.sagemaker.describe_endpoint(EndpointName=endpoint)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _FINAL:
                raise StoreError(f"endpoint {endpoint!r} cannot be described: {error}") from error
            logger.warning("weights not read", endpoint=endpoint, reason=str(error))
            return None
        except BotoCoreError as error:
            raise StoreError(f"endpoint {endpoint!r} cannot be described: {error}") from error
        return answer
