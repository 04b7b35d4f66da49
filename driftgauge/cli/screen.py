"""What the command line shows: progress, tables and messages."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from driftgauge.columns import Rejects
from driftgauge.drift.verdict import FeatureVerdict, WindowVerdict
from driftgauge.report.markup import printable, shorten
from driftgauge.report.summary import STATE_WORDS, State, Summary, state_of, worst_first
from driftgauge.report.wording import count, distance, moment, p_value, plural, share
from driftgauge.windows import format_duration

# Without a terminal there is no width to fit: wide enough that no line wraps.
_WIDTH_OF_A_FILE = 160
_BAR = 12
_STYLES: dict[State, str] = {
    "drift": "bold red",
    "violations": "yellow",
    "insufficient": "dim",
    "ok": "green",
}


def console() -> Console:
    """Return the console of standard output."""
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_FILE
    return Console(width=width, highlight=False)


def note(text: str) -> None:
    """Print a line to standard error; it may hold text from payloads."""
    print(f"driftgauge: {printable(text)}", file=sys.stderr)


@contextmanager
def progress(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` bytes are read, on standard error if it is a terminal."""
    shown = Console(stderr=True)
    if not shown.is_terminal:
        yield lambda _: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=shown,
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda size: bar.update(task, advance=size)


def report_rejects(rejects: Rejects, *, rows: int) -> None:
    """Say on standard error what was rejected, without the rejected text itself."""
    if not rejects.total:
        return
    reasons = sorted(rejects.counts.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{reason} {count(number)}" for reason, number in reasons)
    arrived = rows + rejects.total
    where = ""
    if rejects.samples:
        first = rejects.samples[0]
        where = f"; first: {first.source}, line {first.line}"
    note(
        f"{plural(rejects.total, 'record or row', 'records or rows')} rejected "
        f"({share(rejects.total / arrived)} of what arrived): {listed}{where}"
    )


class ReplayTable:
    """The table of a replay: a line for each window."""

    def __init__(self, length: timedelta | int) -> None:
        kind = f"{count(length)} rows" if isinstance(length, int) else format_duration(length)
        self._by_rows = isinstance(length, int)
        self._verdicts: list[WindowVerdict] = []
        self._table = Table(
            title=f"Windows of {kind}, times in UTC",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        self._table.add_column("Window from", no_wrap=True)
        if self._by_rows:
            self._table.add_column("to", no_wrap=True)
        self._table.add_column("Rows", justify="right", no_wrap=True)
        self._table.add_column("Verdict", no_wrap=True)
        self._table.add_column("Drifted", justify="right", no_wrap=True)
        self._table.add_column("Worst feature", overflow="ellipsis", no_wrap=True)
        self._table.add_column("Effect", justify="right", no_wrap=True)
        self._table.add_column("", no_wrap=True)
        self._table.add_column("Corrected p", justify="right", no_wrap=True)
        self._table.add_column("Violations", justify="right", no_wrap=True)

    def add(self, verdict: WindowVerdict, *, complete: bool) -> None:
        """Add a window."""
        self._verdicts.append(verdict)
        state = state_of(verdict)
        judged = [f for f in worst_first(verdict.features) if f.effect is not None]
        worst = judged[0] if judged else None
        drifted = sum(f.verdict == "drift" for f in verdict.features)
        cells = [moment(verdict.window_start)]
        if self._by_rows:
            cells.append(moment(verdict.window_end))
        cells += [
            count(verdict.rows) + ("" if complete else " (incomplete)"),
            STATE_WORDS[state].lower(),
            f"{drifted} of {sum(f.verdict != 'insufficient_data' for f in verdict.features)}",
            shorten(worst.name, 32) if worst else "",
            distance(worst.effect) if worst else "",
            _bar(worst),
            p_value(worst.adjusted_p_value) if worst else "",
            count(len(verdict.violations)),
        ]
        style = "" if state == "ok" else _STYLES[state]
        row = [Text(cell, style=style) for cell in cells]
        if state == "ok":
            row[3 if self._by_rows else 2].stylize(_STYLES["ok"])
        self._table.add_row(*row)

    def show(self) -> None:
        """Print the table and what it comes down to."""
        out = console()
        out.print(self._table)
        out.print(Text(summary_line(self._verdicts), style="bold"))


def _bar(feature: FeatureVerdict | None) -> str:
    """Return a bar whose length is the square root of the effect, full at 1."""
    if feature is None or feature.effect is None or feature.effect <= 0:
        return ""
    return "━" * round(_BAR * min(1.0, math.sqrt(feature.effect)))


def summary_line(verdicts: Sequence[WindowVerdict]) -> str:
    """Say what all windows come down to."""
    if not verdicts:
        return "No window has any row."
    rows = sum(verdict.rows for verdict in verdicts)
    alarms = [verdict for verdict in verdicts if verdict.alarm]
    text = f"{plural(len(verdicts), 'window')}, {plural(rows, 'row')}: "
    unjudged = sum(verdict.insufficient for verdict in verdicts)
    if not alarms:
        text += "none would have alarmed"
    else:
        first = alarms[0]
        text += f"{count(len(alarms))} would have alarmed, the first from "
        text += f"{moment(first.window_start)} UTC"
        drifted = [f for f in worst_first(first.features) if f.verdict == "drift"]
        if drifted:
            text += f" ({shorten(drifted[0].name, 60)}, effect {distance(drifted[0].effect)})"
    if unjudged:
        text += f"; {count(unjudged)} had too few rows to judge"
    return f"{text}."


def show_verdict(summary: Summary) -> None:
    """Print a window's verdict in a few words."""
    line = Text(STATE_WORDS[summary.state], style=_STYLES[summary.state])
    line.append(f": {summary.headline}", style="default")
    console().print(line)


def show_written(paths: Sequence[str]) -> None:
    """Say which files were written."""
    for path in paths:
        print(f"wrote {path}")
