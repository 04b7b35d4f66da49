"""The command ``experiment weights``: how an endpoint's variants share its traffic."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from driftgauge.cli import screen
from driftgauge.errors import ExperimentError
from driftgauge.report.wording import DASH, share
from driftgauge.store.services import describe_endpoint, set_weights

# An update of weights takes a minute or so; this long it is waited for.
_SECONDS, _LOOKS = 5.0, 360


def weights(arguments: argparse.Namespace) -> int:
    """Show the weights of an endpoint's variants, and change them if asked to."""
    name, region = arguments.endpoint, arguments.region
    answer = describe_endpoint(name, region=region)
    wanted = dict(arguments.set)
    if wanted:
        _check(answer, wanted)
        set_weights(name, wanted, region=region)
        answer = _wait(name, region)
    show_weights(answer)
    if wanted:
        screen.note(
            "an experiment leaves out the windows that this moment lies in, unless the shares are "
            "those from before"
        )
    return 0


def _check(answer: Mapping[str, Any], wanted: dict[str, float]) -> None:
    """Raise ExperimentError if an endpoint cannot take such weights now."""
    name, status = answer["EndpointName"], answer["EndpointStatus"]
    current = _current(answer)
    unknown = [variant for variant in wanted if variant not in current]
    if unknown:
        raise ExperimentError(
            f"endpoint {name} has no production variant {unknown[0]!r}; there are "
            + ", ".join(current)
        )
    if status != "InService":
        raise ExperimentError(
            f"endpoint {name} is {status}: weights can be set once it is InService"
        )
    if not sum((current | wanted).values()):
        raise ExperimentError("with these weights no variant would get any traffic")


def _current(answer: Mapping[str, Any]) -> dict[str, float]:
    return {
        one["VariantName"]: float(one.get("CurrentWeight", 0.0))
        for one in answer.get("ProductionVariants", ())
    }


def _wait(name: str, region: str | None) -> Any:
    """Return what an endpoint is like once it is in service again."""
    status = ""
    for answer in _looks(name, region):
        if answer["EndpointStatus"] == "InService":
            return answer
        if answer["EndpointStatus"] != status:
            status = answer["EndpointStatus"]
            screen.note(f"endpoint {name} is {status}")
        if status == "Failed":
            break
    reason = answer.get("FailureReason") or "SageMaker says no more"
    raise ExperimentError(f"endpoint {name} is {status} still: {reason}")


def _looks(name: str, region: str | None) -> Iterator[Any]:
    """Describe an endpoint again and again, and show meanwhile that something goes on."""
    shown = Console(stderr=True)
    if not sys.stderr.isatty():
        shown.quiet = True
    with shown.status(f"Waiting for endpoint {name}"):
        for _ in range(_LOOKS):
            yield describe_endpoint(name, region=region)
            time.sleep(_SECONDS)


def show_weights(answer: Mapping[str, Any]) -> None:
    """Print the variants of an endpoint, with their weights and shares."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("Variant", "Gets"):
        table.add_column(title)
    for title in ("Weight", "Desired", "Share"):
        table.add_column(title, justify="right")
    current = _current(answer)
    total = sum(current.values())
    for one in answer.get("ProductionVariants", ()):
        _add(table, one, "requests", total)
    for one in answer.get("ShadowProductionVariants", ()):
        # Of the requests of the one production variant that it shadows.
        _add(table, one, "copies", total)
    out = screen.console()
    out.print(table)
    status, config = answer["EndpointStatus"], answer.get("EndpointConfigName", DASH)
    text = f"Endpoint {answer['EndpointName']} is {status}, with the configuration {config}."
    out.print(Text(text, style="bold"), soft_wrap=True)


def _add(table: Table, one: Mapping[str, Any], gets: str, total: float) -> None:
    weight, desired = one.get("CurrentWeight"), one.get("DesiredWeight")
    table.add_row(
        Text(one["VariantName"]),
        gets,
        DASH if weight is None else f"{weight:g}",
        DASH if desired is None else f"{desired:g}",
        DASH if weight is None or not total else share(min(1.0, weight / total)),
    )
