"""`coterie run`: run a scenario, and watch it."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from coterie.orchestrator import Outcome, RunFolder, Scenario, parse_scenario, read_scenario, run_scenario
from coterie.orchestrator.commons import Month

_BAR = 30


class DispatcherName(StrEnum):
    """What gives agents their threads."""

    leased = "leased"
    dedicated = "dedicated"


def run(
    scenario: Annotated[Path, typer.Argument(help="The scenario, a TOML file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Where the folder of the run is made.")] = Path("runs"),
    seed: Annotated[int | None, typer.Option(help="Use this seed instead of the scenario's.", show_default=False)] = None,
    dispatcher: Annotated[
        DispatcherName | None,
        typer.Option(help="What gives agents their threads, instead of the scenario's.", show_default=False),
    ] = None,
    pace: Annotated[float, typer.Option(min=0, max=3600, help="Seconds to pause after each month, to look on.")] = 0.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show the result only.")] = False,
) -> None:
    """Run a scenario, show its progress, and leave a folder with what happened."""
    text = read_scenario(scenario)
    loaded = parse_scenario(text, scenario)
    if seed is not None:
        loaded = loaded.model_copy(update={"seed": seed})
    if dispatcher is not None:
        settings = loaded.runtime.model_copy(update={"dispatcher": dispatcher.value})
        loaded = loaded.model_copy(update={"runtime": settings})
    console = Console(highlight=False)
    with RunFolder.create(out, loaded.name, text) as folder:
        try:
            with _Display(console, loaded, pace=pace, quiet=quiet) as display:
                outcome = run_scenario(loaded, folder, display)
        except KeyboardInterrupt:
            Console(stderr=True, highlight=False).print(
                f"interrupted; what happened until then is in {escape(str(folder.path))}", soft_wrap=True
            )
            raise typer.Exit(130) from None
        console.print(_result(loaded, outcome))
        console.print(f"What happened is in {escape(str(folder.path))}", soft_wrap=True)
    if outcome.surprises:
        for surprise in outcome.surprises:
            console.print(f"[bold red]not as expected:[/] {escape(surprise)}")
        raise typer.Exit(1)


class _Display:
    """Shows the months as they are settled: live on a terminal, else a line each."""

    def __init__(self, console: Console, scenario: Scenario, *, pace: float, quiet: bool) -> None:
        self._console = console
        self._scenario = scenario
        self._pace = pace
        self._quiet = quiet
        self._months: list[Month] = []
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal and not quiet else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live is not None:
            self._live.stop()

    def month(self, month: Month) -> None:
        self._months.append(month)
        if self._live is not None:
            self._live.update(self._table(), refresh=True)
        elif not self._quiet:
            state = "collapsed" if month.collapsed else f"grows to {month.after}"
            caught = sum(month.caught.values())
            self._console.print(f"month {month.number}: stock {month.before}, caught {caught}, left {month.left}, {state}")
        if self._pace:
            time.sleep(self._pace)

    def _table(self) -> Table:
        lake = self._scenario.lake
        done = f"month {len(self._months)} of {self._scenario.months}"
        table = Table(title=f"{escape(self._scenario.name)}: {done}", title_justify="left", box=None, pad_edge=False)
        for column in ("month", "stock", "asked", "caught", "left"):
            table.add_column(column, justify="right")
        table.add_column("the lake after the catch")
        for month in self._months:
            full = round(_BAR * month.left / lake.capacity)
            colour = "red" if month.collapsed else "cyan"
            table.add_row(
                str(month.number),
                str(month.before),
                str(sum(month.asked.values())),
                str(sum(month.caught.values())),
                str(month.left),
                f"[{colour}]{'█' * full}[/][dim]{'░' * (_BAR - full)}[/]" + (" collapsed" if month.collapsed else ""),
            )
        return table


def _result(scenario: Scenario, outcome: Outcome) -> Table:
    ended = f"collapsed in month {outcome.months}" if outcome.collapsed else f"{outcome.months} months, no collapse"
    table = Table(title=f"{escape(scenario.name)}: {ended}", title_justify="left")
    table.add_column("fisher")
    table.add_column("strategy")
    table.add_column("harvest", justify="right")
    table.add_column("share", justify="right")
    strategies = {name: agents.strategy for agents in scenario.agents for name in agents.names()}
    for name, harvest in outcome.harvest.items():
        share = f"{harvest / outcome.total:.0%}" if outcome.total else "-"
        table.add_row(escape(name), escape(_describe(strategies[name].model_dump())), str(harvest), share)
    table.add_section()
    table.add_row("all", "", str(outcome.total), "")
    return table


def _describe(strategy: dict[str, object]) -> str:
    details = ", ".join(f"{key} {value}" for key, value in strategy.items() if key != "rule")
    return f"{strategy['rule']}" + (f" ({details})" if details else "")
