"""The view of a run at the command line: its steps, and its end."""

from __future__ import annotations

import time
from typing import Any, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table as RichTable

from coterie.cli.output import NARROW, bar, print_table, say
from coterie.orchestrator import Bar, RunRecord, Scenario, Summary, Table

_BAR = 30
"""Characters of a full bar."""


class Display:
    """Shows the steps of a run: on a terminal as a growing table, otherwise as a line each."""

    def __init__(self, console: Console, scenario: Scenario, *, pace: float, quiet: bool) -> None:
        self._console = console
        self._scenario = scenario
        self._pace = pace
        self._quiet = quiet
        self._rows: list[dict[str, Any]] = []
        self._live = (
            Live(console=console, auto_refresh=False) if console.is_terminal and console.width >= NARROW and not quiet else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live is not None:
            self._live.stop()

    def step(self, step: Any) -> None:
        """Show a step."""
        kind, parameters = self._scenario.kind, self._scenario.parameters
        row = dict(kind.row(parameters, step)) if self._live is not None else {}
        if row and self._live is not None:
            self._rows.append(row)
            title = f"{parameters.name}: {kind.step_name} {len(self._rows)}"
            shown = Table(title, tuple(row), tuple(tuple(each.values()) for each in self._rows))
            self._live.update(rich_table(shown, plain=True), refresh=True)
        elif not self._quiet:
            say(self._console, escape(kind.describe(parameters, step)))
        if self._pace:
            time.sleep(self._pace)


def show_summary(console: Console, summary: Summary, *, course: bool = False) -> None:
    """Print the summary of a run; with `course`, its steps too."""
    if course:
        if summary.history is not None:
            print_table(console, rich_table(summary.history))
        for line in summary.lines:
            say(console, escape(line))
    for table in summary.tables:
        print_table(console, rich_table(table))
    if not summary.tables:
        say(console, escape(summary.headline))
    for note in summary.notes:
        say(console, escape(note))


def show_end(console: Console, record: RunRecord, steps: str) -> None:
    """Print that a replay ended as recorded."""
    say(console, f"{len(record.steps)} {steps}s, each as recorded; digest {record.digest}")


def end_with(console: Console, summary: Summary) -> None:
    """Print differences from the expected outcome. If there are any, end the process with status 1."""
    for surprise in summary.surprises:
        console.print(f"[bold red]not as expected:[/] {escape(surprise)}")
    if summary.surprises:
        raise typer.Exit(1)


def rich_table(table: Table, *, plain: bool = False) -> RichTable:
    """Return a table for the console; numbers are aligned to the right."""
    made = RichTable(title=escape(table.title), title_justify="left", pad_edge=not plain)
    if plain:
        made.box = None
    for place, name in enumerate(table.columns):
        numbers = bool(table.rows) and all(
            isinstance(row[place], int | float) and not isinstance(row[place], bool) for row in table.rows
        )
        made.add_column(escape(name), justify="right" if numbers else "left")
    for row in table.rows:
        made.add_row(*map(_cell, row))
    return made


def _cell(value: Any) -> str:
    if isinstance(value, Bar):
        full = round(_BAR * max(0.0, min(1.0, value.part)))
        done, left = bar(full, _BAR - full)
        colour = "red" if value.alarming else "cyan"
        return f"[{colour}]{done}[/][dim]{left}[/]" + (f" {escape(value.note)}" if value.note else "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
