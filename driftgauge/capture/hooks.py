"""The user's own scripts, with the functions and the record of Model Monitor.

A script is the user's code and runs with everything this process may do; nothing here contains
it. What is contained is its failures: an exception costs one record, and says which.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from driftgauge.capture.payload import PayloadError
from driftgauge.errors import HookError

_LOGGER = logging.getLogger("driftgauge.hooks")
_LONGEST_REASON = 300


@dataclass(frozen=True, kw_only=True)
class RecordSide:
    """One side of a record, as captured: base64 is not decoded."""

    data: Any = None
    encoding: str | None = None
    observed_content_type: str | None = None
    mode: str | None = None


@dataclass(frozen=True, kw_only=True)
class EventMetadata:
    """When the call was made, its ids, and what the caller added."""

    event_id: str | None = None
    inference_id: str | None = None
    inference_time: str | None = None
    custom_attributes: list[str] | None = None

    @property
    def custom_attribute(self) -> list[str] | None:
        """The custom attributes, under the name that Model Monitor's examples use."""
        return self.custom_attributes


@dataclass(frozen=True, kw_only=True)
class InferenceRecord:
    """What ``preprocess_handler`` is given; a side that was not captured is None."""

    endpoint_input: RecordSide | None = None
    endpoint_output: RecordSide | None = None
    batch_transform_input: RecordSide | None = None
    batch_transform_output: RecordSide | None = None
    ground_truth: RecordSide | None = None
    event_metadata: EventMetadata = EventMetadata()
    event_version: str | None = None

    @property
    def event_id(self) -> str | None:
        """The id of the call."""
        return self.event_metadata.event_id

    @property
    def custom_attributes(self) -> list[str] | None:
        """What the caller sent in ``CustomAttributes``."""
        return self.event_metadata.custom_attributes


class HookRecordError(Exception):
    """The hook failed on one record; the message is the traceback's last line and its place."""


class Preprocessor:
    """A loaded ``preprocess_handler``.

    Parameters
    ----------
    code : bytes
        The script.
    name : str
        Where it came from, for messages.
    columns : sequence of sequence of str
        The columns that numbered keys may stand for, in order: the first list of as many names
        as there are keys counts.

    Raises
    ------
    HookError
        If the script cannot be loaded or lacks the function.
    """

    def __init__(self, code: bytes, *, name: str, columns: Sequence[Sequence[str]] = ()) -> None:
        self._name = name
        self._columns = columns
        self._handler = _function_of(code, name, "preprocess_handler")
        self._takes_logger = _positional(self._handler) > 1

    def rows(self, record: InferenceRecord) -> list[dict[str, Any]]:
        """Return the rows that the hook makes of a record; none if it drops the record.

        Raises
        ------
        HookRecordError
            If the hook raises.
        PayloadError
            With the reason to count, if it returns anything but rows.
        """
        arguments = (record, _LOGGER) if self._takes_logger else (record,)
        try:
            returned = self._handler(*arguments)
        except (Exception, SystemExit) as error:
            raise HookRecordError(_last_line(error, self._name)) from error
        if isinstance(returned, dict):
            returned = [returned] if returned else []
        if returned is None:
            return []
        if not isinstance(returned, list) or not all(isinstance(row, dict) for row in returned):
            raise PayloadError("preprocess hook returned no columns")
        return [self._named(row) for row in returned]

    def _named(self, row: dict[Any, Any]) -> dict[str, Any]:
        try:
            values = {str(key): _plain(value) for key, value in row.items()}
        except Exception as error:
            # The text of an object is the script's code, too.
            raise HookRecordError(_last_line(error, self._name)) from error
        if not values or not all(key.isascii() and key.isdigit() for key in values):
            return values
        ordered = [values[key] for key in sorted(values, key=int)]
        names = next((names for names in self._columns if len(names) == len(ordered)), None)
        if names is None:
            raise PayloadError("wrong number of columns")
        return dict(zip(names, ordered, strict=True))


def run_postprocess(code: bytes, *, name: str) -> None:
    """Call a script's ``postprocess_handler()``.

    Raises
    ------
    HookError
        If the script cannot be loaded, or its function raises.
    """
    handler = _function_of(code, name, "postprocess_handler")
    try:
        handler()
    except (Exception, SystemExit) as error:
        raise HookError(f"{name}: postprocess_handler failed: {_last_line(error, name)}") from error


@lru_cache(maxsize=16)
def _load(code: bytes, name: str) -> types.ModuleType:
    module = types.ModuleType(f"driftgauge_hook_{hashlib.sha256(code).hexdigest()[:12]}")
    module.__file__ = name
    # Dataclasses and pickles look their module up.
    sys.modules[module.__name__] = module
    try:
        # Running the user's script is the purpose; see the module's text on trust.
        exec(compile(code, name, "exec"), module.__dict__)  # noqa: S102
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise HookError(
            f"{name}: the script cannot be loaded: {_last_line(error, name)}. It may import what "
            "the functions' layer has; correct it, or leave capture.hooks out."
        ) from error
    return module


def _function_of(code: bytes, name: str, function: str) -> Callable[..., Any]:
    found = getattr(_load(code, name), function, None)
    if not callable(found):
        raise HookError(f"{name}: the script has no function {function}(): add it")
    handler: Callable[..., Any] = found
    return handler


def _positional(handler: Callable[..., Any]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(handler).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return 2
    return sum(parameter.kind in kinds for parameter in parameters)


def _last_line(error: BaseException, name: str) -> str:
    """Return the last line of the traceback, and the script's line that it comes from."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == name
    ]
    text = traceback.format_exception_only(error)[-1].strip()
    where = f" (line {lines[-1]})" if lines else ""
    return f"{text[:_LONGEST_REASON]}{where}"


def _plain(value: Any, depth: int = 8) -> Any:
    """Return a value as JSON would hold it: numpy scalars as Python's, strangers as their text."""
    if value is None or type(value) in (str, bool, int, float):
        return value
    if depth and isinstance(value, dict):
        return {str(key): _plain(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value]
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        value = item()
    return value if type(value) in (bool, int, float) else str(value)
