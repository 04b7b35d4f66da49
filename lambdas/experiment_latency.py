"""How long both variants of a shadow test take, as CloudWatch has counted it.

SageMaker publishes ``ModelLatency`` of each variant. With the statistic ``TC(:x)``, the number of
requests of at most x, CloudWatch fills the cells that a verdict compares.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from driftgauge.config import MonitorConfig
from driftgauge.errors import StoreError
from driftgauge.experiment_settings import ShadowMonitorSettings
from driftgauge.experiments.latency import LatencySummary, latency_edges
from driftgauge.experiments.shadow_judging import Latencies
from lambdas.runtime import Runtime, logger

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

# Periods in seconds, each with at most so many of them: fewer than 100,800 datapoints in all. Of a
# time so long ago CloudWatch still keeps these periods.
_PERIODS: Final = (60, 300, 900, 3_600, 21_600, 86_400)
_MOST_PERIODS: Final = 180
_COUNTS: Final = tuple(f"TC(:{edge})" for edge in latency_edges())
_STATISTICS: Final = (*_COUNTS, "SampleCount", "Sum", "Minimum", "Maximum")
# CloudWatch's own counts are approximate: it rounds values.
_TOLERANCE: Final = 0.01


def read_latencies(
    run: Runtime, config: MonitorConfig, settings: ShadowMonitorSettings, *, until: datetime
) -> Latencies | None:
    """Return the latencies of both variants since the shadow began; None if they are not known.

    Not known are those of captures from elsewhere, of which CloudWatch has no metrics.

    Raises
    ------
    StoreError
        If CloudWatch cannot be asked now: a verdict without latencies could be another one.
    """
    if not config.capture.is_hosted or until <= settings.since:
        return None
    variants = (settings.champion, settings.challenger)
    try:
        values = _read(run, config.endpoint.name, variants, since=settings.since, until=until)
    except ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise StoreError(f"CloudWatch does not tell latencies: {error}") from error
        logger.warning("latency not measured", experiment=settings.name, reason=str(error))
        return None
    except BotoCoreError as error:
        raise StoreError(f"CloudWatch does not tell latencies: {error}") from error
    production, shadow = (latency_of_statistics(one) for one in values)
    if production is None or shadow is None:
        reason = "CloudWatch's counts of requests by latency do not add up"
        logger.warning("latency not measured", experiment=settings.name, reason=reason)
        return None
    if not production.requests + shadow.requests:
        logger.info("latency not measured", experiment=settings.name, reason="no requests")
        return None
    return Latencies(production=production, shadow=shadow)


def latency_of_statistics(values: Mapping[str, Sequence[float]]) -> LatencySummary | None:
    """Return the summary of latencies that statistics of CloudWatch describe.

    Parameters
    ----------
    values : mapping of str to sequence of float
        Values of each statistic, one for each period that has any, in microseconds.

    Returns
    -------
    LatencySummary or None
        Empty without requests; None if the counts do not fit the number of requests.
    """
    requests = round(sum(values.get("SampleCount", ())))
    if not requests:
        return LatencySummary()
    if not all(values.get(name) for name in ("Sum", "Minimum", "Maximum")):
        return None
    edges = latency_edges()
    minimum = max(0, math.floor(min(values["Minimum"])))
    maximum = max(minimum, math.ceil(max(values["Maximum"])))
    reported = [sum(values.get(name, ())) for name in _COUNTS]
    # What is at most the longest latency is all requests.
    top = bisect_left(edges, maximum)
    counted = reported[min(top, len(edges) - 1)]
    slack = _TOLERANCE * requests + 1.0
    if top < len(edges):
        fits = abs(counted - requests) <= slack
    else:
        fits = counted <= requests + slack and (counted > 0 or minimum > edges[-1])
    if not fits:
        return None
    below = [
        0 if edge < minimum else requests if edge >= maximum else min(requests, round(count))
        for edge, count in zip(edges, reported, strict=True)
    ]
    reached = [0, *itertools.accumulate(below, max), requests]
    return LatencySummary(
        counts=tuple(b - a for a, b in itertools.pairwise(reached)),
        total=max(0, round(sum(values["Sum"]))),
        minimum=minimum,
        maximum=maximum,
    )


def _read(
    run: Runtime, endpoint: str, variants: Sequence[str], *, since: datetime, until: datetime
) -> list[Mapping[str, Sequence[float]]]:
    """Return the values of all statistics of each variant, by the statistic's name."""
    first, end, period = _span(since, until)
    names = {
        f"v{at}s{number}": (at, statistic)
        for at in range(len(variants))
        for number, statistic in enumerate(_STATISTICS)
    }
    queries: list[MetricDataQueryTypeDef] = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": "ModelLatency",
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": endpoint},
                        {"Name": "VariantName", "Value": variants[at]},
                    ],
                },
                "Period": period,
                "Stat": statistic,
            },
        }
        for name, (at, statistic) in names.items()
    ]
    values: list[defaultdict[str, list[float]]] = [defaultdict(list) for _ in variants]
    pages = run.cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=first, EndTime=end
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            at, statistic = names[result["Id"]]
            values[at][statistic] += result["Values"]
    return [dict(one) for one in values]


def _span(since: datetime, until: datetime) -> tuple[datetime, datetime, int]:
    """Return beginning and end of what is read, and the period, in seconds.

    The beginning is one of a period: up to which moment the first one reaches is then the same
    however periods are aligned. Of periods beyond a minute the first whole one is taken, since
    production answered requests before the shadow did.
    """
    seconds = (until - since).total_seconds()
    period = next((one for one in _PERIODS if seconds <= one * _MOST_PERIODS), _PERIODS[-1])
    start = since.timestamp() / period
    first = (math.floor(start) if period == _PERIODS[0] else math.ceil(start)) * period
    end = math.ceil(until.timestamp() / period) * period
    return datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(end, UTC), period
