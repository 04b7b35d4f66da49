"""What the command line shows: progress, tables and messages."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from driftgauge.columns import Rejects
from driftgauge.drift.assessment import Rules
from driftgauge.drift.verdict import FeatureVerdict, WindowVerdict
from driftgauge.replay import ProfiledWindow
from driftgauge.report.markup import printable, shorten
from driftgauge.report.summary import (
    STATE_WORDS,
    State,
    Summary,
    evidence_text,
    measured_text,
    state_of,
    worst_first,
)
from driftgauge.report.wording import count, moment, p_value, plural, share
from driftgauge.windows import format_duration

# Without a terminal there is no width to fit: wide enough that no line wraps.
_WIDTH_OF_A_FILE = 160
_WIDTH_FOR_MOST, _WIDTH_FOR_ALL = 120, 150
_BAR = 10
_MOVED = 32
# Widths that hold what the columns say; only the feature's name gives way when space is short.
_NARROWEST = {
    "Window from": 16,
    "to": 16,
    "Rows": 6,
    "Verdict": 8,
    "Drifted": 7,
    "Worst feature": 8,
    "Effect": 6,
    "Distance": 8,
    "": _BAR,
    "Moved most": 10,
    "p": 7,
    "Lasting": 7,
    "Joint": 5,
    "Seasonal": 8,
    "Violations": 10,
}
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
def progress(total: int, label: str, *, printing: bool = False) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` bytes are read, on standard error if it is a terminal.

    ``printing`` says that lines are printed meanwhile: then only if they do not go to a terminal.
    """
    if not _bar_is_welcome(printing=printing):
        yield lambda _: None
        return
    bar = _bars(DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda size: bar.update(task, advance=size)


@contextmanager
def steps(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` steps are done, on standard error if it is a terminal."""
    if not _bar_is_welcome(printing=False):
        yield lambda _: None
        return
    with _bars(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, advance=done)


def judging(windows: Iterable[ProfiledWindow], *, printing: bool) -> Iterator[ProfiledWindow]:
    """Pass windows on and show how many of them are done, if their number is known."""
    if not isinstance(windows, Sized) or not _bar_is_welcome(printing=printing):
        yield from windows
        return
    with _bars(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        yield from bar.track(windows, total=len(windows), description="Judging windows")


@contextmanager
def counting(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` pieces of work are done, on standard error if it is a terminal."""
    if not _bar_is_welcome(printing=False):
        yield lambda _: None
        return
    bar = _bars(MofNCompleteColumn(), TimeRemainingColumn())
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, advance=done)


def _bar_is_welcome(*, printing: bool) -> bool:
    return sys.stderr.isatty() and not (printing and sys.stdout.isatty())


def _bars(*columns: ProgressColumn) -> Progress:
    # Redirection would send what is printed to standard error, where the bar is.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def report_rejects(rejects: Rejects, *, rows: int) -> None:
    """Say on standard error what was rejected, without the rejected text itself."""
    if rejects.dropped:
        note(f"{plural(rejects.dropped, 'record')} dropped by the preprocess hook")
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
    """The table of a replay: a line for each window.

    On a terminal too narrow for all columns, those that repeat others are left out.
    """

    def __init__(self, length: timedelta | int, *, rules: Rules) -> None:
        sound = rules.mode == "sound"
        self._measure = "Effect" if sound else "Distance"
        by_rows = isinstance(length, int)
        kind = f"{count(length)} rows" if isinstance(length, int) else format_duration(length)
        width = console().width
        wide, widest = width >= _WIDTH_FOR_MOST, width >= _WIDTH_FOR_ALL
        self._verdicts: list[WindowVerdict] = []
        self._table = Table(
            title=f"Windows of {kind}, times in UTC",
            title_justify="left",
            title_style="bold",
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 2 if wide else 1, 0, 0),
        )
        shown = {
            "Window from": True,
            "to": by_rows and wide,
            "Rows": True,
            "Verdict": True,
            "Drifted": wide,
            "Worst feature": True,
            self._measure: True,
            "": wide and not widest,
            "Moved most": widest,
            "p": sound,
            "Lasting": wide and sound and rules.decision.persistence.enabled,
            "Joint": wide and sound and rules.decision.joint.enabled,
            "Seasonal": sound and any(one.kind == "season" for one in rules.references),
            "Violations": True,
        }
        figures = {"Rows", "Drifted", self._measure, "p", "Lasting", "Seasonal", "Violations"}
        self._columns = {name: name in figures for name, wanted in shown.items() if wanted}
        for name, right in self._columns.items():
            self._table.add_column(
                name,
                justify="right" if right else "left",
                no_wrap=True,
                min_width=_NARROWEST[name],
            )

    def add(self, verdict: WindowVerdict, *, complete: bool) -> None:
        """Add a window."""
        self._verdicts.append(verdict)
        if not complete:
            self._table.caption = "* the rows that were left, fewer than a window has"
        state = state_of(verdict)
        measured = [f for f in worst_first(verdict.features) if f.size is not None]
        worst = measured[0] if measured else None
        drifted = sum(f.verdict == "drift" for f in verdict.features)
        judged = sum(f.verdict != "insufficient_data" for f in verdict.features)
        cells = {
            "Window from": _clock(verdict.window_start),
            "to": _clock(verdict.window_end),
            "Rows": count(verdict.rows) + ("" if complete else "*"),
            "Verdict": STATE_WORDS[state].lower(),
            "Drifted": f"{drifted} of {judged}",
            "Worst feature": shorten(worst.name, 32) if worst else "",
            self._measure: measured_text(worst) if worst else "",
            "": _bar(worst),
            "Moved most": _moved(worst),
            "Lasting": _lasting(verdict),
            "Joint": verdict.joint.verdict.partition("_")[0] if verdict.joint else "",
            "Seasonal": count(sum(f.verdict == "seasonal" for f in verdict.features)),
            "p": p_value(worst.adjusted_p_value) if worst else "",
            "Violations": count(len(verdict.violations)),
        }
        style = "" if state == "ok" else _STYLES[state]
        row = {name: Text(cells[name], style=style) for name in self._columns}
        if state == "ok":
            row["Verdict"].stylize(_STYLES["ok"])
        self._table.add_row(*row.values())

    def show(self) -> None:
        """Print the table and what it comes down to."""
        out = console()
        out.print(self._table)
        if "Lasting" in self._columns:
            out.print(
                Text("Lasting: evidence of all windows so far of a shift that lasts; 100 % rings.")
            )
        out.print(Text(summary_line(self._verdicts), style="bold"))


def _clock(at: datetime) -> str:
    """Write a moment such that a column of them lines up."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _bar(feature: FeatureVerdict | None) -> str:
    """Return a bar: of the square root of the effect, in strict mode of the distance; full at 1."""
    if feature is None or feature.size is None or feature.size <= 0:
        return ""
    length = feature.size if feature.effect is None else math.sqrt(feature.effect)
    return "━" * round(_BAR * min(1.0, length))


def _moved(feature: FeatureVerdict | None) -> str:
    """Say which bin or category moved most, from which share to which."""
    if feature is None or not feature.moved:
        return ""
    cell = feature.moved[0]
    shares = f" {share(cell.baseline_share)} → {share(cell.window_share)}"
    return shorten(cell.label, _MOVED - len(shares)) + shares


def _lasting(verdict: WindowVerdict) -> str:
    """Write the evidence over time as a share of what rings."""
    found = verdict.persistent
    if found is None:
        return ""
    if found.verdict == "insufficient_data":
        return "learns"
    ratio = found.value / found.threshold
    return ">1000 %" if ratio > 10 else share(ratio)


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
            worst = drifted[0]
            figure = (
                f"effect {measured_text(worst)}"
                if worst.threshold is None
                else evidence_text(worst)
            )
            text += f" ({shorten(worst.name, 60)}, {figure})"
    if unjudged:
        text += f"; {count(unjudged)} had too few rows to judge"
    return f"{text}."


def show_verdict(summary: Summary) -> None:
    """Print a window's verdict in a few words."""
    console().print(Text(summary.headline, style=_STYLES[summary.state]), soft_wrap=True)


def show_written(paths: Sequence[str]) -> None:
    """Say which files were written."""
    for path in paths:
        print(f"wrote {path}")
