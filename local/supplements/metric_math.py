"""Arithmetic between metrics, as alarms on an error rate need it.

AWS documentation: "Using math expressions with CloudWatch metrics" in the Amazon CloudWatch
User Guide. Of its functions only ``IF``, ``FILL`` with a number, ``MIN`` and ``MAX`` of several
metrics are here, next to ``+ - * /``, comparisons and parentheses; the rest, above all
``ANOMALY_DETECTION_BAND``, is refused with ``ExpressionError``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping


class ExpressionError(ValueError):
    """The expression uses something that is not supported here."""


_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def evaluate_expression(expression: str, values: Mapping[str, float | None]) -> float | None:
    """Return the value of a metric math expression for one period.

    Parameters
    ----------
    expression
        The text of the expression.
    values
        Value of each metric id in that period; None where the metric has no data.

    Returns
    -------
    float or None
        None where a needed metric has no data, or a division by zero occurs.

    Raises
    ------
    ExpressionError
        If the expression is not understood.

    Examples
    --------
    >>> evaluate_expression("100 * errors / calls", {"errors": 3.0, "calls": 60.0})
    5.0
    >>> evaluate_expression("errors / calls", {"errors": None, "calls": 60.0}) is None
    True
    >>> evaluate_expression("IF(calls > 50, FILL(errors, 0) / calls, 0)",
    ...                     {"errors": None, "calls": 60.0})
    0.0
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise ExpressionError(f"cannot parse {expression!r}") from error
    return _value(tree.body, values)


def _value(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            if name not in values:
                raise ExpressionError(f"no metric has the id {name}")
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _value(operand, values)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            return _both(_BINARY[type(sign)], _value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARE:
            return _both(_COMPARE[type(sign)], _value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, arguments, values)
    raise ExpressionError(f"not supported here: {ast.unparse(node)}")


def _both(
    function: Callable[[float, float], float], left: float | None, right: float | None
) -> float | None:
    if left is None or right is None:
        return None
    try:
        return float(function(left, right))
    except ZeroDivisionError:
        return None


def _call(name: str, arguments: list[ast.expr], values: Mapping[str, float | None]) -> float | None:
    if name == "IF" and len(arguments) == 3:
        condition = _value(arguments[0], values)
        if condition is None:
            return None
        return _value(arguments[1] if condition else arguments[2], values)
    if name == "FILL" and len(arguments) == 2:
        inner = _value(arguments[0], values)
        return _value(arguments[1], values) if inner is None else inner
    if name in ("MIN", "MAX"):
        inside = arguments[0].elts if isinstance(arguments[0], ast.List) else arguments
        known = [value for value in (_value(item, values) for item in inside) if value is not None]
        return (min(known) if name == "MIN" else max(known)) if known else None
    raise ExpressionError(f"not supported here: {name}()")
