"""What commands show of a run."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from coterie.orchestrator import Month, Outcome, Scenario

_BAR = 30


class Display:
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
        """Show a month."""
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


def result_table(scenario: Scenario, outcome: Outcome) -> Table:
    """Return how a run ended, as a table."""
    ended = f"collapsed in month {outcome.months}" if outcome.collapsed else f"{outcome.months} months, no collapse"
    played = f", played by {escape(scenario.model.name)}" if scenario.model is not None else ""
    table = Table(title=f"{escape(scenario.name)}: {ended}{played}", title_justify="left")
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
