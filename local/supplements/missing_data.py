"""M out of N datapoints, some of which may be missing.

AWS documentation: "Configuring how CloudWatch alarms treat missing data" in the Amazon CloudWatch
User Guide, whose two tables are the examples below.
"""

from __future__ import annotations

from collections.abc import Sequence


def judge(
    breaching: Sequence[bool | None], *, periods: int, to_alarm: int, missing: str
) -> str | None:
    """Return the state of an alarm from its datapoints.

    Parameters
    ----------
    breaching
        One item a period of the evaluation range, oldest first: whether the datapoint breaches
        the threshold, None if it is missing.
    periods, to_alarm
        N and M: the evaluation periods and how many of them must breach.
    missing
        ``breaching``, ``notBreaching``, ``ignore`` or ``missing``.

    Returns
    -------
    str or None
        ``ALARM``, ``OK``, ``INSUFFICIENT_DATA``; None to stay in the present state.

    Examples
    --------
    The rows of the table in the CloudWatch User Guide (X breaches, 0 does not, - is missing):

    >>> def state(row, missing, to_alarm=3):
    ...     points = [{"X": True, "0": False, "-": None}[mark] for mark in row]
    ...     return judge(points, periods=3, to_alarm=to_alarm, missing=missing)
    >>> [state("0-X-X", kind) for kind in ("missing", "ignore", "breaching", "notBreaching")]
    ['OK', 'OK', 'OK', 'OK']
    >>> [state("-----", kind) for kind in ("missing", "ignore", "breaching", "notBreaching")]
    ['INSUFFICIENT_DATA', None, 'ALARM', 'OK']
    >>> [state("--X--", kind) for kind in ("missing", "ignore", "breaching", "notBreaching")]
    ['ALARM', None, 'ALARM', 'OK']
    >>> [state("0-X--", kind, 2) for kind in ("missing", "ignore", "breaching", "notBreaching")]
    ['OK', 'OK', 'ALARM', 'OK']
    """
    known = [point for point in breaching if point is not None]
    if len(known) >= periods:
        return "ALARM" if sum(known[-periods:]) >= to_alarm else "OK"
    filled = periods - len(known)
    if missing == "breaching":
        return "ALARM" if sum(known) + filled >= to_alarm else "OK"
    if missing == "notBreaching" or sum(known) >= to_alarm:
        return "ALARM" if sum(known) >= to_alarm else "OK"
    if not known:
        return "INSUFFICIENT_DATA" if missing == "missing" else None
    if not all(known):
        return "OK"
    oldest = next(age for age, point in enumerate(breaching) if point is not None)
    old_enough = len(breaching) - oldest >= to_alarm
    return "ALARM" if old_enough and missing == "missing" else None
