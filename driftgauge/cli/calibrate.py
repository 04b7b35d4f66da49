"""The command that shows what a monitor's settings will find, and how often they will err."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from driftgauge.baseline import Baseline
from driftgauge.baseline_files import open_baseline
from driftgauge.cli import screen
from driftgauge.cli.places import folder
from driftgauge.cli.sources import CaptureFiles, find_captures
from driftgauge.columns import Rejects
from driftgauge.config import DecisionSettings, FeatureSettings, MonitorConfig, load_monitor
from driftgauge.drift.calibration import (
    Alarms,
    Calibration,
    Option,
    calibrate,
    group_past,
    steps_of,
    typical_rows,
)
from driftgauge.drift.trials import YEAR, Pace, PastWindow
from driftgauge.errors import CaptureError, ConfigError
from driftgauge.replay import profile_by_time
from driftgauge.report.markup import shorten
from driftgauge.report.wording import count, plural
from driftgauge.windows import DEFAULT_ANCHOR, WindowGrid, format_duration

_NAME = 32
_HEADING = 16


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What is calibrated."""

    baseline: Baseline
    config: MonitorConfig | None
    pace: Pace
    past: dict[float, list[PastWindow]]

    @property
    def decision(self) -> DecisionSettings:
        return self.config.decision if self.config else DecisionSettings()

    @property
    def features(self) -> dict[str, FeatureSettings]:
        spec = self.baseline.spec
        names = [feature.name for feature in spec.features]
        return self.config.column_settings(names, outputs=spec.outputs) if self.config else {}


def calibration(arguments: argparse.Namespace) -> int:
    """Print false alarms a year and the smallest shifts found, for settings and alternatives."""
    question = _ask(arguments)
    profile, features = question.baseline.profile, question.features
    steps = steps_of(profile, features, arguments.windows)
    with screen.steps(steps, "Judging drawn windows") as advance:
        found = calibrate(
            baseline=profile,
            decision=question.decision,
            features=features,
            pace=question.pace,
            past=question.past,
            windows=arguments.windows,
            seed=arguments.seed,
            advance=advance,
        )
    if arguments.json:
        print(json.dumps(calibration_document(found, decision=question.decision), indent=1))
    else:
        _show(question, found)
    return 0


def _ask(arguments: argparse.Namespace) -> _Question:
    config = load_monitor(Path(arguments.config)) if arguments.config else None
    if config is not None and config.mode == "strict":
        screen.note("the monitor file says mode: strict; what follows is for mode: sound")
    baseline = open_baseline(
        folder(arguments.baseline).read,
        outputs=arguments.outputs,
        config=config,
        created=datetime.now(UTC).replace(microsecond=0),
    )
    length = _length(arguments, config)
    past = _past(arguments, config, baseline, length) if arguments.capture else {}
    rows = arguments.rows or (typical_rows(past[1.0]) if past else None)
    if rows is None:
        raise ConfigError(
            "how many rows does a window have? Say so with --rows, or give past captures with "
            "--capture"
        )
    return _Question(
        baseline=baseline, config=config, pace=Pace(rows=rows, length=length), past=past
    )


def _length(arguments: argparse.Namespace, config: MonitorConfig | None) -> timedelta:
    if arguments.windows_per_day is not None:
        per_day: float = arguments.windows_per_day
        return timedelta(days=1) / per_day
    if isinstance(arguments.window, int):
        raise ConfigError(
            "windows of a number of rows: say how many with --rows, and how often they come "
            "with --windows-per-day"
        )
    default = config.window if config else timedelta(days=1)
    length: timedelta = default if arguments.window is None else arguments.window
    return length


def _past(
    arguments: argparse.Namespace,
    config: MonitorConfig | None,
    baseline: Baseline,
    length: timedelta,
) -> dict[float, list[PastWindow]]:
    files = CaptureFiles(
        sources=find_captures(arguments.capture, config),
        config=config,
        config_path=Path(arguments.config) if arguments.config else None,
        variant=arguments.variant,
    )
    anchor = config.window_anchor if config else DEFAULT_ANCHOR
    rejects = Rejects()
    with screen.progress(sum(s.size for s in files.sources), "Reading captures") as advance:
        parts = profile_by_time(
            files.batches(baseline.spec, advance=advance, rejects=rejects),
            spec=baseline.spec,
            grid=WindowGrid(length / 2, anchor),
        )
    screen.report_rejects(rejects, rows=sum(part.profile.rows for part in parts))
    if not parts:
        raise CaptureError("the captures hold no row that could be read: give --rows instead")
    halves = [PastWindow(window=part.window, profile=part.profile) for part in parts]
    return group_past(halves, length=length, anchor=anchor)


def _show(question: _Question, found: Calibration) -> None:
    out = screen.console()
    current, decision = found.current, question.decision
    judged = plural(len(found.current.columns), "column")
    out.print(
        Text(
            f"Windows of {count(current.pace.rows)} rows, one every {_clock(current.pace.length)}; "
            f"{judged}, baseline of {count(question.baseline.profile.rows)} rows",
            style="bold",
        )
    )
    out.print()
    out.print(_alternatives(found))
    out.print(_columns(found))
    for line in _remarks(found, decision):
        out.print(Text(line), soft_wrap=True)


def _blank_table(title: str, *columns: tuple[str, bool]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name, right in columns:
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    return table


def _alternatives(found: Calibration) -> Table:
    past = found.current.past is not None
    spans = ["in a window"]
    if _several_a_day(found):
        spans.append("in a day")
    if found.current.lasting:
        spans.append(f"in {_days(found.current.lasting[0].horizon)}")
    table = _blank_table(
        "Settings, and what they lead to",
        ("Window", False),
        ("Rows", True),
        ("alpha", True),
        ("min_\neffect", True),
        ("False alarms\na year", True),
        *((("Past\nwindows", True),) if past else ()),
        *((f"{shorten(name, _HEADING)}\n{span}", True) for name in found.typical for span in spans),
    )
    shown: Pace | None = None
    for option in found.options:
        if shown not in (None, option.pace):
            table.add_section()
        again, shown = option.pace == shown, option.pace
        table.add_row(
            "" if again else _clock(option.pace.length),
            "" if again else count(option.pace.rows),
            f"{option.alpha:g}",
            f"{option.min_effect:g}",
            _a_year(option),
            *([_of(option.past)] if past else []),
            *(
                cell
                for name in found.typical
                for cell in _sizes(option, name, several=_several_a_day(found))
            ),
            style="bold" if option is found.current else "",
        )
    return table


def _several_a_day(found: Calibration) -> bool:
    return found.current.pace.length <= timedelta(hours=12)


def _sizes(option: Option, name: str, *, several: bool) -> list[str]:
    """Write how small a shift is found: in a window, in a day, and over time."""
    column = next(column for column in option.columns if column.name == name)
    lasting = next((one for one in option.lasting if one.name == name), None)
    share = column.category is not None
    cells = [_size(column.window, share=share)]
    if several:
        days = (column.day, lasting.day if lasting else None)
        known = [size for size in days if size is not None]
        cells.append(_size(min(known, default=None), share=share))
    return [*cells, _size(lasting.month, share=share)] if lasting else cells


def _size(size: float | None, *, share: bool) -> str:
    if size is None:
        return "none"
    return f"{100 * size:.1f} %" if share else f"{size:.2f} sd"


def _a_year(option: Option) -> str:
    low, high = option.alarms_interval
    return f"{_few(option.alarms_a_year)} ({_few(low)} to {_few(high)})"


def _few(value: float) -> str:
    return f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def _of(alarms: Alarms | None) -> str:
    return f"{count(alarms.drifted)} of {count(alarms.windows)}" if alarms else ""


def _days(horizon: timedelta) -> str:
    days = horizon / timedelta(days=1)
    return f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"


def _clock(length: timedelta) -> str:
    whole = length == timedelta(seconds=length // timedelta(seconds=1))
    return format_duration(length) if whole else f"{length.total_seconds():,.1f} s"


def _columns(found: Calibration) -> Table:
    several = _several_a_day(found)
    table = _blank_table(
        "Smallest shift found, settings as they are",
        ("Column", False),
        ("Kind", False),
        ("What grows", False),
        ("In a window", True),
        *((("In a day", True),) if several else ()),
    )
    for column in found.current.columns:
        share = column.category is not None
        grows = f"share of {shorten(column.category, _NAME)}" if column.category else "the values"
        table.add_row(
            Text(shorten(column.name, _NAME)),
            column.kind,
            Text(grows),
            _size(column.window, share=share),
            *([_size(column.day, share=share)] if several else []),
        )
    return table


def _remarks(found: Calibration, decision: DecisionSettings) -> Sequence[str]:
    current = found.current
    lines = [
        "False alarms: windows with any drifted column, of "
        f"{count(current.quiet.windows)} drawn ones in which nothing moved; 95 % intervals.",
        "Shifts: found nine times in ten. sd: standard deviations of the column made normal; %: "
        "of all rows that change to one category.",
    ]
    if current.lasting:
        every = format_duration(decision.persistence.false_alarm_every)
        lines.append(
            f"Found in {_days(current.lasting[0].horizon)}: by the evidence over time, which adds "
            f"one false alarm in {every} at most, on average."
        )
    if current.past is None:
        lines.append(
            "Rows are taken for independent. Real ones come in clusters: give past captures with "
            "--capture."
        )
    else:
        lines += _about_past(found, decision)
    return lines


def _about_past(found: Calibration, decision: DecisionSettings) -> list[str]:
    current = found.current
    lines = [
        "Past windows: each against all others, by the limits of its line. A real change is among "
        "them, if there was one."
    ]
    if current.past_columns:
        listed = sorted(current.past_columns.items(), key=lambda item: (-item[1], item[0]))
        lines.append(
            "Drifted there: "
            + ", ".join(f"{shorten(name, _NAME)} ({count(n)})" for name, n in listed)
            + "."
        )
    learnt = {name: d for name, d in found.dispersions.items() if d > 1.0}
    if current.past and current.past.windows < decision.persistence.learning_windows:
        lines.append("They are too few to learn from how much windows differ.")
    elif learnt:
        worst = sorted(learnt.items(), key=lambda item: -item[1])[:3]
        lines.append(
            "Windows differ more than independent rows would, in variance: "
            + ", ".join(f"{shorten(name, _NAME)} {d:.1f} times" for name, d in worst)
            + ". Drawn windows do, too."
        )
    return lines


def calibration_document(found: Calibration, *, decision: DecisionSettings) -> dict[str, Any]:
    """Return a calibration as ``--json`` prints it."""
    every = decision.persistence.false_alarm_every
    return {
        "typical": list(found.typical),
        "dispersions": dict(found.dispersions),
        "lasting_false_alarms_per_year": YEAR / every if decision.persistence.enabled else None,
        "options": [
            {
                "current": option is found.current,
                "window_seconds": option.pace.length.total_seconds(),
                "rows": option.pace.rows,
                "alpha": option.alpha,
                "min_effect": option.min_effect,
                "windows": option.quiet.windows,
                "false_alarms": option.quiet.drifted,
                "false_alarms_per_year": option.alarms_a_year,
                "false_alarms_per_year_interval": list(option.alarms_interval),
                "past": None
                if option.past is None
                else {
                    "windows": option.past.windows,
                    "drifted": option.past.drifted,
                    "columns": dict(option.past_columns),
                },
                "columns": [
                    {
                        "name": column.name,
                        "kind": column.kind,
                        "category": column.category,
                        "window": column.window,
                        "day": column.day,
                    }
                    for column in option.columns
                ],
                "lasting": [
                    {
                        "name": one.name,
                        "category": one.category,
                        "day": one.day,
                        "horizon_days": one.horizon / timedelta(days=1),
                        "horizon": one.month,
                    }
                    for one in option.lasting
                ],
            }
            for option in found.options
        ],
    }
