"""The commons at the command line: months in a table that grows."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coterie.cli.interrupting import going_on
from coterie.cli.kinds.display import Display, result_table
from coterie.cli.kinds.kind import Kind, Watching, told_unfinished, told_where
from coterie.orchestrator import RunFolder, Scenario, outcome_of, recorded, replay, run_scenario


class CommonsKind(Kind[Scenario]):
    """Fishers who share a lake."""

    called = "commons"
    settings = ("seed", "mode", "dispatcher", "threads", "delay")

    def run(self, console: Console, scenario: Scenario, folder: RunFolder, watching: Watching) -> None:
        """Run the months, or those that are left."""
        with going_on(folder):
            with Display(console, scenario, pace=watching.pace, quiet=watching.quiet) as display:
                outcome = run_scenario(scenario, folder, display, resume=watching.resume)
            console.print(result_table(scenario, outcome))
            told_where(console, folder, outcome.digest, watching)
        for surprise in outcome.surprises:
            console.print(f"[bold red]not as expected:[/] {escape(surprise)}")
        if outcome.surprises:
            raise typer.Exit(1)

    def replay(self, console: Console, scenario: Scenario, run: Path) -> None:  # noqa: ARG002 - as every kind
        """Settle each month again."""
        result = replay(run, lambda month, digest: console.print(f"month {month}: {digest}, as recorded", soft_wrap=True))
        console.print(f"{result.rounds} months, each as recorded; digest {result.digest}", soft_wrap=True)

    def show(self, console: Console, scenario: Scenario, run: Path) -> None:  # noqa: ARG002 - as every kind
        """Show the months, and how they ended."""
        found = recorded(run)
        table = Table(title=f"{escape(found.scenario.name)}, mode {found.scenario.mode}", title_justify="left")
        for column in ("month", "stock", "asked", "caught", "left"):
            table.add_column(column, justify="right")
        for column in ("accepted", "forfeited", "digest"):
            table.add_column(column)
        for month in found.months:
            table.add_row(
                str(month.number),
                str(month.before),
                str(sum(month.asked.values())),
                str(sum(month.caught.values())),
                str(month.left),
                escape(", ".join(sorted(month.accepted))),
                escape(", ".join(sorted(month.forfeits))),
                month.digest[:12],
            )
        console.print(table)
        for month in found.months:
            for fisher, why in month.fallbacks.items():
                console.print(f"month {month.number}: {escape(fisher)}'s rule decided: {escape(why)}", soft_wrap=True)
        if found.months:
            console.print(result_table(found.scenario, outcome_of(found.scenario, found.months, found.digest)))
        console.print(f"{found.events} events; digest {found.digest}", soft_wrap=True)
        if not found.finished:
            told_unfinished(console, run)
