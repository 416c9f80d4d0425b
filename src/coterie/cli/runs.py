"""`coterie resume`, `coterie replay` and `coterie show`: what can be done with the folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coterie.cli.display import result_table
from coterie.cli.games import finish_games, games_table
from coterie.cli.interrupting import interruptible
from coterie.cli.interviews import finish_interview, replay_and_show, show_interview
from coterie.cli.run import MaxDollars, MaxRequests, finish, with_model
from coterie.orchestrator import (
    GameScenario,
    InterviewScenario,
    RunFolder,
    outcome_of,
    recorded,
    recorded_games,
    replay,
    replay_games,
    scenario_of,
)

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)]


def resume_run(
    run: Folder,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show the result only.")] = False,
    report: Annotated[bool, typer.Option(help="Write a report with plots.")] = True,
    max_requests: MaxRequests = None,
    max_dollars: MaxDollars = None,
) -> None:
    """Go on with a run that was interrupted or killed, from its last settled month, to its end.

    What a model has answered already is not asked again; a larger budget lets a run go on that had spent its own.
    """
    scenario = with_model(scenario_of(run), {"max_requests": max_requests, "max_dollars": max_dollars})
    with RunFolder.open(run) as folder:
        if isinstance(scenario, InterviewScenario):
            finish_interview(Console(highlight=False), scenario, folder, run, quiet=quiet, report=report)
            return
        if isinstance(scenario, GameScenario):
            # Games are short, and the same each time: they are all played again.
            finish_games(Console(highlight=False), scenario, folder, quiet=quiet, report=report)
            return
        finish(Console(highlight=False), scenario, folder, resume=True, pace=0.0, quiet=quiet, report=report)


def replay_run(run: Folder) -> None:
    """Do a run again from its record, and see that each month comes to the digest that it had."""
    console = Console(highlight=False)
    scenario = scenario_of(run)
    with interruptible(lambda: "the run is as it was"):
        if isinstance(scenario, GameScenario):
            played = replay_games(scenario, run, lambda game: console.print(f"{escape(game.name)}: {game.result}, as recorded"))
            console.print(f"{len(played.games)} games, each as recorded; digest {played.digest}", soft_wrap=True)
            return
        if isinstance(scenario, InterviewScenario):
            replay_and_show(console, scenario, run)
            return
        result = replay(run, lambda month, digest: console.print(f"month {month}: {digest}, as recorded", soft_wrap=True))
    console.print(f"{result.rounds} months, each as recorded; digest {result.digest}", soft_wrap=True)


def show_run(run: Folder) -> None:
    """Show what is recorded of a run."""
    console = Console(highlight=False)
    scenario = scenario_of(run)
    if isinstance(scenario, GameScenario):
        _show_games(console, scenario, run)
        return
    if isinstance(scenario, InterviewScenario):
        show_interview(console, scenario, run)
        return
    found = recorded(run)
    table = Table(title=f"{escape(found.scenario.name)}, mode {found.scenario.mode}", title_justify="left")
    for column in ("month", "stock", "asked", "caught", "left"):
        table.add_column(column, justify="right")
    table.add_column("accepted")
    table.add_column("forfeited")
    table.add_column("digest")
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
        console.print(f"not finished; go on with: coterie resume {escape(str(run))}", soft_wrap=True)


def _show_games(console: Console, scenario: GameScenario, run: Path) -> None:
    outcome, finished = recorded_games(run)
    console.print(games_table(scenario, outcome))
    console.print(f"digest {outcome.digest}; the minutes are in {escape(str(run / 'meetings'))}", soft_wrap=True)
    if not finished:
        console.print(f"not finished; go on with: coterie resume {escape(str(run))}", soft_wrap=True)
