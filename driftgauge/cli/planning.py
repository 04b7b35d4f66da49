"""The commands before a deployment: what it will cost, and what is taken over."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from driftgauge.baseline import STATISTICS_FILE
from driftgauge.cli import screen
from driftgauge.cli.places import folder
from driftgauge.config import MonitorConfig, load_monitors
from driftgauge.costs import (
    PRICES_AS_OF,
    PRICES_SOURCE,
    Assumptions,
    DeploymentEstimate,
    Item,
    MonitorEstimate,
    default_assumptions,
    estimate_deployment,
    estimate_monitor,
)
from driftgauge.errors import ConfigError, ObjectNotFoundError
from driftgauge.migrate import Migrated, migrate_all, read_documents
from driftgauge.report.markup import printable
from driftgauge.store import MonitorStore

_LARGEST_DOCUMENT = 1 << 20


def cost(arguments: argparse.Namespace) -> int:
    """Print what the monitors will cost in a month."""
    monitors = load_monitors(Path(arguments.monitors))
    estimate = estimate_deployment(
        monitors, {one.name: _assumptions(one, arguments) for one in monitors.monitors}
    )
    if arguments.json:
        print(json.dumps(estimate_document(estimate), indent=1))
        return 0
    out = screen.console()
    for monitor in estimate.monitors:
        out.print(_table(_title(monitor), monitor.items, total=monitor.total))
        out.print(_alternative(monitor), style="dim")
        slower = _on_schedule(monitors[monitor.monitor], monitor)
        if slower < monitor.total:
            out.print(f"With evaluate: on_schedule ${slower:,.2f}.", style="dim")
        out.print()
    out.print(_table("Once per deployment", estimate.shared, total=estimate.shared_total))
    out.print(
        Text(
            f"About ${estimate.total:,.2f} a month, or ${12 * estimate.total:,.0f} a year.", "bold"
        )
    )
    out.print(f"AWS as of {PRICES_AS_OF}: {PRICES_SOURCE}.", style="dim")
    return 0


def _assumptions(config: MonitorConfig, arguments: argparse.Namespace) -> Assumptions:
    features = arguments.features
    if features is None and arguments.store is not None:
        features = _features_of_baseline(config.name, arguments.store)
    chosen = default_assumptions(config, features=features)
    given = {
        name: value
        for name in (
            "rows_per_hour",
            "files_per_hour",
            "bytes_per_row",
            "label_files_per_hour",
            "label_delay_hours",
        )
        if (value := getattr(arguments, name)) is not None
    }
    return replace(chosen, **given)


def _features_of_baseline(monitor: str, place: str) -> int | None:
    """Count the columns of a monitor's baseline; None if it has none yet."""
    store = MonitorStore(objects=folder(place), monitor=monitor)
    try:
        current, _ = store.read_current()
        statistics = json.loads(
            store.objects.read(store.baseline_key(current.baseline, STATISTICS_FILE))
        )
        return len(statistics["features"])
    except ObjectNotFoundError:
        screen.note(f"{place} has no baseline of {monitor}: assuming its number of features")
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{place}: the statistics.json of {monitor} cannot be read") from error


def _title(monitor: MonitorEstimate) -> str:
    assumed = monitor.assumptions
    return (
        f"{monitor.monitor}: {assumed.rows_per_hour:,.0f} rows and "
        f"{assumed.files_per_hour:,.0f} capture files an hour, {assumed.features} features"
    )


def _table(title: str, items: Sequence[Item], *, total: float) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_footer=True,
    )
    table.add_column("Service", "Together", no_wrap=True)
    table.add_column("For")
    table.add_column("Quantity", justify="right", no_wrap=True)
    table.add_column("$ a month", f"{total:,.2f}", justify="right", no_wrap=True)
    for item in items:
        table.add_row(item.service, item.what, _quantity(item.quantity), f"{item.cost:,.2f}")
    return table


def _quantity(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"


def _alternative(monitor: MonitorEstimate) -> str:
    parts = ", ".join(f"{item.what} ${item.cost:,.2f}" for item in monitor.alternative)
    return f"Hourly Model Monitor jobs instead: ${monitor.model_monitor:,.2f} ({parts})."


def _on_schedule(config: MonitorConfig, monitor: MonitorEstimate) -> float:
    """Return what the monitor would cost if each window were evaluated once."""
    scheduled = config.model_copy(update={"evaluate": "on_schedule"})
    return estimate_monitor(scheduled, monitor.assumptions).total


def estimate_document(estimate: DeploymentEstimate) -> dict[str, Any]:
    """Return an estimate as JSON has it; all amounts are US dollars a month."""

    def listed(items: Sequence[Item]) -> list[dict[str, Any]]:
        return [
            {
                "service": item.service,
                "what": item.what,
                "quantity": round(item.quantity, 6),
                "unit": item.price.unit,
                "unit_price": item.price.dollars,
                "cost": round(item.cost, 4),
            }
            for item in items
        ]

    return {
        "prices": f"AWS as of {PRICES_AS_OF}: {PRICES_SOURCE}",
        "total": round(estimate.total, 2),
        "shared": {"total": round(estimate.shared_total, 2), "items": listed(estimate.shared)},
        "monitors": [
            {
                "name": one.monitor,
                "assumptions": asdict(one.assumptions),
                "total": round(one.total, 2),
                "model_monitor_metrics": round(one.compatible_metrics, 2),
                "items": listed(one.items),
                "hourly_model_monitor_jobs": {
                    "total": round(one.model_monitor, 2),
                    "items": listed(one.alternative),
                },
            }
            for one in estimate.monitors
        ],
    }


def migrate(arguments: argparse.Namespace) -> int:
    """Write monitor files that reproduce monitors of Model Monitor."""
    documents = [(name, _read_json(Path(name))) for name in arguments.files]
    for name in arguments.schedule or ():
        documents.append((f"schedule {name}", _describe(name, arguments.region)))
    if not documents:
        raise ConfigError(
            "nothing to migrate: give files of what `aws sagemaker describe-...` prints, or "
            "--schedule NAME"
        )
    target = Path(arguments.out)
    done = migrate_all(
        read_documents(documents), captures=arguments.captures, metrics=arguments.metrics
    )
    existing = [one.file_name for one in done if (target / one.file_name).exists()]
    if existing and not arguments.force:
        raise ConfigError(
            f"{target / existing[0]} exists already: choose another --out, or --force to replace it"
        )
    target.mkdir(parents=True, exist_ok=True)
    for one in done:
        path = target / one.file_name
        path.write_text(one.yaml, encoding="utf-8")
        print(f"wrote {path}")
        _show_notes(one)
    return 0


def _describe(name: str, region: str | None) -> Any:
    from driftgauge.store.services import describe_schedule

    return describe_schedule(name, region=region)


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST_DOCUMENT:
            raise ConfigError(f"{path}: larger than any answer of a describe operation (1 MB)")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error


def _show_notes(one: Migrated) -> None:
    for topic in ("to do", "differs", "no equivalent"):
        listed = [note.text for note in one.notes if note.topic == topic]
        if listed:
            print(f"  {topic}:")
            for text in listed:
                print(f"  - {printable(text)}")
