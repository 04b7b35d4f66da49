"""Numbers and moments as a reader wants to see them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def count(value: int) -> str:
    """Write a count with thousands separators.

    Examples
    --------
    >>> count(1234567)
    '1,234,567'
    """
    return f"{value:,}"


def plural(value: int, singular: str, several: str | None = None) -> str:
    """Write a count with its noun.

    Examples
    --------
    >>> plural(1, "row"), plural(2000, "row"), plural(2, "category", "categories")
    ('1 row', '2,000 rows', '2 categories')
    """
    return f"{value:,} {singular if value == 1 else several or singular + 's'}"


def share(value: float) -> str:
    """Write a share between 0 and 1 as a percentage.

    A share that is not zero is never written as zero, nor one that is not all as all.

    Examples
    --------
    >>> share(0.1234), share(0.0), share(0.00001), share(0.99999), share(1.0)
    ('12.3%', '0%', '<0.1%', '>99.9%', '100%')
    """
    if value <= 0:
        return "0%"
    if value >= 1:
        return "100%"
    if value < 0.001:
        return "<0.1%"
    if value > 0.999:
        return ">99.9%"
    return f"{value:.1%}"


def distance(value: float | None) -> str:
    """Write a distance or an effect with three decimals.

    Examples
    --------
    >>> distance(0.42371), distance(-0.0001), distance(None) == DASH
    ('0.424', '0.000', True)
    """
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:.3f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def p_value(value: float | None) -> str:
    """Write a p-value; below one in ten thousand only that it is.

    Examples
    --------
    >>> p_value(0.03121), p_value(1e-30), p_value(None) == DASH, p_value(1.0)
    ('0.0312', '<0.0001', True, '1')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return "<0.0001" if value < 1e-4 else f"{value:.3g}"


def quantity(value: float) -> str:
    """Write a value of a column with four significant digits.

    Examples
    --------
    >>> [quantity(v) for v in (0.0, 12.0, 1234.567, 0.000123456, 2.5e9)]
    ['0', '12', '1,235', '0.0001235', '2.5e9']
    """
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-4 <= size < 1e7:
        digits = max(0, 3 - math.floor(math.log10(size)))
        text = f"{value:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        mantissa, exponent = f"{value:.3e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text.replace("-", MINUS)


def moment(value: datetime) -> str:
    """Write a moment in UTC, to the minute where it has no seconds.

    Examples
    --------
    >>> moment(datetime(2015, 7, 1, tzinfo=UTC))
    '1 Jul 2015, 00:00'
    """
    value = value.astimezone(UTC)
    clock = f"{value:%H:%M:%S}" if value.second else f"{value:%H:%M}"
    return f"{value.day} {value:%b %Y}, {clock}"


def span(start: datetime, end: datetime) -> str:
    """Write how long an interval is, in the unit that suits it.

    Examples
    --------
    >>> span(datetime(2015, 7, 1, tzinfo=UTC), datetime(2015, 7, 8, tzinfo=UTC))
    '7 days'
    >>> span(datetime(2015, 7, 1, tzinfo=UTC), datetime(2015, 7, 1, 1, 30, tzinfo=UTC))
    '90 minutes'
    """
    length = end - start
    for unit, size in (
        ("day", timedelta(days=1)),
        ("hour", timedelta(hours=1)),
        ("minute", timedelta(minutes=1)),
    ):
        if length >= size and length % size == timedelta(0):
            return plural(length // size, unit)
    for unit, size in (
        ("days", timedelta(days=1)),
        ("hours", timedelta(hours=1)),
        ("minutes", timedelta(minutes=1)),
    ):
        if length >= 2 * size:
            return f"about {round(length / size)} {unit}"
    return plural(int(length.total_seconds()), "second")


def signed(value: float, *, digits: int = 2) -> str:
    """Write a difference with its sign; none for zero.

    Examples
    --------
    >>> signed(0.412), signed(-0.02) == MINUS + "0.02", signed(-0.0001)
    ('+0.41', True, '0.00')
    """
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def points(change: float) -> str:
    """Write a difference of two shares in percentage points.

    Examples
    --------
    >>> points(0.0687)
    '+6.9 pp'
    """
    return f"{signed(change * 100, digits=1)} pp"
