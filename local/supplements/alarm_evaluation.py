"""Alarms are evaluated over time: periods, M out of N, missing data, metric math.

AWS documentation: "Alarm evaluation", "Configuring how CloudWatch alarms treat missing data" and
"Statistics definitions" in the Amazon CloudWatch User Guide.

ministack evaluates an alarm only when data arrives, over all dimensions of the metric together,
and without M out of N or missing data. Here one thread evaluates every alarm once a second, and
at once when a metric arrives.

Periods of a minute and more slide: the last one ends now. Known differences from AWS: AWS
evaluates a high-resolution alarm every 10 seconds and any other once a minute; AWS decides by
itself how many periods beyond N it looks back, here it is two; a period under a minute counts
before its end if the alarm looks for high values, so that an alarm need not wait for it. Anomaly
detection bands have no model here: such an alarm stays in INSUFFICIENT_DATA.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from local.supplements.metric_math import ExpressionError, evaluate_expression
from local.supplements.missing_data import judge
from local.supplements.trimmed_statistics import is_range, range_statistic

_logger = logging.getLogger("alarm-evaluation")
_TICK_SECONDS = 1.0
_GATHER_SECONDS = 0.02
_LOOK_BACK_PERIODS = 2
_SLIDING_SECONDS = 60
_due = threading.Event()

Alarm = dict[str, Any]
Series = list[float | None]

_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_WORDS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}


@dataclass(frozen=True)
class Decision:
    """The state an alarm should be in, and why."""

    state: str
    reason: str
    reason_data: str


def install() -> None:
    """Take over evaluation, and start the thread that does it."""
    # Arriving data only wakes the thread: transitions then happen one at a time, in order.
    cloudwatch._evaluate_all_alarms = request_evaluation
    cloudwatch._evaluate_alarm = lambda _alarm: request_evaluation()
    threading.Thread(target=_evaluate_forever, name="alarm-evaluation", daemon=True).start()


def request_evaluation() -> None:
    """Evaluate every alarm soon: some metric has new data or some alarm is new."""
    _due.set()


def _evaluate_forever() -> None:
    while True:
        _due.wait(_TICK_SECONDS)
        time.sleep(_GATHER_SECONDS)  # one evaluation for a burst of metrics
        _due.clear()
        for (account, region, _), alarm in list(cloudwatch._alarms._data.items()):
            with request_scope(account, region):
                try:
                    _evaluate(alarm, now=time.time())
                except Exception:
                    _logger.exception("alarm %s could not be evaluated", alarm.get("AlarmName"))


def _evaluate(alarm: Alarm, *, now: float) -> None:
    decision = decide(alarm, now=now)
    if decision is None or decision.state == alarm["StateValue"]:
        return
    old_state = alarm["StateValue"]
    alarm["StateValue"] = decision.state
    alarm["StateReason"] = decision.reason
    alarm["StateReasonData"] = decision.reason_data
    alarm["StateUpdatedTimestamp"] = alarm["StateTransitionedTimestamp"] = time.time()
    cloudwatch._record_history(alarm["AlarmName"], old_state, decision.state, decision.reason)
    cloudwatch._dispatch_alarm_actions(alarm, old_state, decision.state, decision.reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def decide(alarm: Mapping[str, Any], *, now: float) -> Decision | None:
    """Return the state ``alarm`` should be in at ``now`` (epoch seconds); None: as it is."""
    breaches = _BREACHES.get(alarm.get("ComparisonOperator") or "")
    if breaches is None:
        return None
    period = _period(alarm)
    needed = int(alarm.get("EvaluationPeriods") or 1)
    ends = _period_ends(period, needed + _LOOK_BACK_PERIODS + 1, now)
    values = _values(alarm, ends, period)
    open_end = period < _SLIDING_SECONDS and (values[-1] is None or _looks_for_low_values(alarm))
    judged = slice(0, -1) if open_end else slice(1, None)
    values, ends = values[judged], ends[judged]
    threshold = float(alarm.get("Threshold") or 0.0)
    state = judge(
        [None if value is None else breaches(value, threshold) for value in values],
        periods=needed,
        to_alarm=int(alarm.get("DatapointsToAlarm") or needed),
        missing=alarm.get("TreatMissingData") or "missing",
    )
    if state is None:
        return None
    seen = [(end, value) for end, value in zip(ends, values, strict=True) if value is not None]
    return _decision(alarm, state, seen[-needed:], period=period, now=now)


def _period(alarm: Mapping[str, Any]) -> int:
    periods = [
        int(query.get("MetricStat", {}).get("Period") or query.get("Period") or 60)
        for query in alarm.get("Metrics") or []
        if "MetricStat" in query
    ]
    return max(periods) if periods else int(alarm.get("Period") or 60)


def _looks_for_low_values(alarm: Mapping[str, Any]) -> bool:
    return str(alarm["ComparisonOperator"]).startswith("LessThan")


def _period_ends(period: int, count: int, now: float) -> list[int]:
    """Return the ends of the last ``count`` periods, oldest first.

    A period under a minute starts at a multiple of itself, so the last one is still open.
    """
    last = int(now) + 1 if period >= _SLIDING_SECONDS else (int(now) // period + 1) * period
    return [last - period * age for age in range(count - 1, -1, -1)]


def _values(alarm: Mapping[str, Any], ends: Sequence[int], period: int) -> Series:
    queries = alarm.get("Metrics")
    if not queries:
        return _statistics(
            namespace=alarm["Namespace"],
            name=alarm["MetricName"],
            dimensions=alarm.get("Dimensions") or [],
            statistic=alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average",
            unit=alarm.get("Unit"),
            ends=ends,
            period=period,
        )
    series: dict[str, Series] = {}
    expressions: list[Mapping[str, Any]] = []
    for query in queries:
        if "MetricStat" not in query:
            expressions.append(query)
            continue
        wanted = query["MetricStat"]
        series[query["Id"]] = _statistics(
            namespace=wanted["Metric"]["Namespace"],
            name=wanted["Metric"]["MetricName"],
            dimensions=wanted["Metric"].get("Dimensions") or [],
            statistic=wanted["Stat"],
            unit=wanted.get("Unit"),
            ends=ends,
            period=period,
        )
    # An expression may use another one that the template lists after it.
    for _ in expressions:
        for query in expressions:
            if query["Id"] not in series:
                _add_expression(series, query, len(ends))
    returned = next((query["Id"] for query in queries if _returns_data(query)), None)
    return series.get(returned or "", [None] * len(ends))


def _returns_data(query: Mapping[str, Any]) -> bool:
    return str(query.get("ReturnData", True)).lower() == "true"


def _add_expression(series: dict[str, Series], query: Mapping[str, Any], count: int) -> None:
    try:
        series[query["Id"]] = [
            evaluate_expression(query["Expression"], {name: row[i] for name, row in series.items()})
            for i in range(count)
        ]
    except ExpressionError as error:
        _logger.debug("expression %s: %s", query["Id"], error)


def _statistics(
    *,
    namespace: str,
    name: str,
    dimensions: Sequence[Mapping[str, str]],
    statistic: str,
    unit: str | None,
    ends: Sequence[int],
    period: int,
) -> Series:
    """Return the statistic of one metric for each period; None where it has no data."""
    by_dimension = {pair["Name"]: str(pair["Value"]) for pair in dimensions}
    points = cloudwatch._metrics.get((namespace, name, cloudwatch._dims_key(by_dimension))) or []
    buckets: list[list[dict[str, Any]]] = [[] for _ in ends]
    first = ends[0] - period
    for point in list(points):
        index = int((point["Timestamp"] - first) // period)
        if 0 <= index < len(buckets) and unit in (None, "", point.get("Unit")):
            buckets[index].append(point)
    return [_statistic(bucket, statistic) if bucket else None for bucket in buckets]


def _statistic(points: list[dict[str, Any]], statistic: str) -> float | None:
    if is_range(statistic):
        return range_statistic(points, statistic)
    value = cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points)
    return None if value is None else float(value)


def _decision(
    alarm: Mapping[str, Any],
    state: str,
    seen: Sequence[tuple[int, float]],
    *,
    period: int,
    now: float,
) -> Decision:
    threshold = float(alarm.get("Threshold") or 0.0)
    recent = [value for _, value in seen]
    data = {
        "version": "1.0",
        "queryDate": event_time(now),
        "statistic": alarm.get("ExtendedStatistic") or alarm.get("Statistic"),
        "period": period,
        "recentDatapoints": recent,
        "threshold": threshold,
        "evaluatedDatapoints": [
            {"timestamp": event_time(end - period), "value": value} for end, value in reversed(seen)
        ],
    }
    if seen:
        data["startDate"] = event_time(seen[0][0] - period)
    return Decision(state, _reason(alarm, state, seen, period), json.dumps(data))


def _reason(
    alarm: Mapping[str, Any], state: str, seen: Sequence[tuple[int, float]], period: int
) -> str:
    if not seen:
        treated = alarm.get("TreatMissingData") or "missing"
        return f"Threshold Crossed: no datapoints were received; missing data: [{treated}]."
    threshold = float(alarm.get("Threshold") or 0.0)
    breaches = _BREACHES[alarm["ComparisonOperator"]]
    breaching = sum(breaches(value, threshold) for _, value in seen)
    count = breaching if state == "ALARM" else len(seen) - breaching
    shown = ", ".join(_shown(end - period, value) for end, value in reversed(seen))
    verb = ("was" if count == 1 else "were") + ("" if state == "ALARM" else " not")
    return (
        f"Threshold Crossed: {count} out of the last {len(seen)} datapoints [{shown}] {verb} "
        f"{_WORDS[alarm['ComparisonOperator']]} the threshold ({threshold})."
    )


def _shown(start: float, value: float) -> str:
    return f"{value} ({datetime.fromtimestamp(start, UTC):%d/%m/%y %H:%M:%S})"


def event_time(epoch: float) -> str:
    """Return a time as alarms write it: UTC, with milliseconds and ``+0000``."""
    moment = datetime.fromtimestamp(epoch, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"
