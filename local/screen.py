"""The demo's screen: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_STYLES = {
    "ok": "green",
    "OK": "green",
    "drift": "bold red",
    "decay": "bold red",
    "ALARM": "bold red",
}


@dataclass(frozen=True)
class WeekColumn:
    """A column of the table of weeks; numbers stand right."""

    name: str
    width: int
    numeric: bool = False

    def padded(self, cell: str) -> str:
        """Return a cell as wide as the column."""
        return cell.rjust(self.width) if self.numeric else cell.ljust(self.width)


class WeekTable:
    """The table of weeks while it grows, with a progress bar below it."""

    def __init__(self, console: Console, total: int, columns: Sequence[WeekColumn]) -> None:
        self._console = console
        self._columns = tuple(columns)
        self._rows: list[tuple[str, ...]] = []
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("weeks", total=total)
        self._live: Live | None = None

    def _render(self) -> Group:
        table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for column in self._columns:
            table.add_column(
                column.name,
                min_width=column.width,
                justify="right" if column.numeric else "left",
                no_wrap=True,
            )
        for row in self._rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        return Group(table, self._progress)

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the table; on a terminal it is redrawn in place until the block ends."""
        if not self._console.is_terminal:
            self._print(tuple(column.name for column in self._columns))
            yield
            return
        with Live(self._render(), console=self._console, refresh_per_second=8) as live:
            self._live = live
            try:
                yield
            finally:
                live.update(self._render())
                self._live = None

    def doing(self, text: str) -> None:
        """Say beside the progress bar what is going on."""
        self._progress.update(self._task, description=text)
        self._redraw()

    def add(self, cells: Sequence[str]) -> None:
        """Add a week that is done, with a cell for each column."""
        self._rows.append(tuple(cells))
        self._progress.advance(self._task)
        if self._live is None:
            self._print(self._rows[-1])
        self._redraw()

    def _print(self, cells: tuple[str, ...]) -> None:
        padded = [column.padded(cell) for column, cell in zip(self._columns, cells, strict=True)]
        self._console.print(" ".join(padded).rstrip(), soft_wrap=True, highlight=False)

    def _redraw(self) -> None:
        if self._live is not None:
            self._live.update(self._render())


class Screen:
    """Everything the demo says."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        if not self.console.is_terminal and console is None:
            # A log has no width; 100 columns are what the table needs.
            self.console = Console(width=100)

    def title(self, text: str, below: str) -> None:
        """Say what this is."""
        self.console.print(Text(text, style="bold"))
        self.console.print(Text(below))

    def heading(self, text: str) -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.rule(Text(text, style="bold"), align="left")

    def say(self, text: str) -> None:
        """Tell something; the text is taken literally."""
        self.console.print(Text(text))

    def facts(self, pairs: dict[str, str]) -> None:
        """List names with values that are meant to be copied: never wrapped or cut."""
        width = max(len(name) for name in pairs)
        for name, value in pairs.items():
            self.console.print(
                Text(f"  {name:<{width}}  ", style="dim") + Text(value), soft_wrap=True
            )

    @contextmanager
    def doing(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something takes time, and afterwards how long it took.

        What is yielded takes a detail to show meanwhile, on a terminal.
        """
        begin = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(Text(text)) as status:
                yield lambda detail: status.update(Text(f"{text}  {detail}"))
        else:
            yield lambda detail: None
        took = time.monotonic() - begin
        self.console.print(Text("✓ ", style="green") + Text(f"{text}  {took:.1f} s"))

    def verbatim(self, title: str, text: str) -> None:
        """Show a text exactly as it was received."""
        if self.console.is_terminal:
            self.console.print(Panel(Text(text.rstrip()), title=Text(title), title_align="left"))
            return
        self.console.print(Text(f"--- {title}"))
        self.console.print(Text(text.rstrip()), soft_wrap=True)
        self.console.print(Text("---"))

    def failure(self, text: str) -> None:
        """Say that the demo cannot go on."""
        self.console.print(Text(text, style="bold red"), soft_wrap=True)

    def weeks(self, total: int, columns: Sequence[WeekColumn]) -> WeekTable:
        """Return a table of weeks."""
        return WeekTable(self.console, total, columns)
