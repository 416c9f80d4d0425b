"""What commands show of games in meetings."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coterie.cli.interrupting import going_on
from coterie.errors import ScenarioError
from coterie.orchestrator import Game, GameScenario, GamesOutcome, RunFolder, run_games
from coterie.orchestrator.writing import write_report


def changed_game(scenario: GameScenario, settings: dict[str, Any], runtime: dict[str, Any]) -> GameScenario:
    """Return a scenario with some settings changed, as far as they are given. Raises `ScenarioError` for what it has not."""
    given = {key: value for key, value in (settings | runtime).items() if value is not None}
    for key in given:
        if key not in ("seed", "dispatcher"):
            raise ScenarioError(scenario.name, [f"--{key}: games have no such setting; leave it out"])
    data = scenario.model_dump()
    data["seed"] = given.get("seed", data["seed"])
    data["runtime"]["dispatcher"] = str(given.get("dispatcher", data["runtime"]["dispatcher"]))
    return GameScenario.model_validate(data)


def finish_games(console: Console, scenario: GameScenario, folder: RunFolder, *, quiet: bool, report: bool) -> None:
    """Play all games, and show how they ended. Ends the process with 1 for a surprise."""

    def show(game: Game) -> None:
        if not quiet:
            refused = f", {len(game.refused)} illegal moves refused" if game.refused else ""
            moves = " ".join(map(str, game.moves))
            console.print(f"{escape(game.name)}: {game.result} ({moves}{refused})", soft_wrap=True)

    with going_on(folder):
        outcome = run_games(scenario, folder, show)
        console.print(games_table(scenario, outcome))
        console.print(f"digest {outcome.digest}", soft_wrap=True)
        console.print(f"What happened is in {escape(str(folder.path))}", soft_wrap=True)
        if report:
            console.print(f"The report is {escape(str(write_report(folder.path)))}", soft_wrap=True)
    for surprise in outcome.surprises:
        console.print(f"[bold red]not as expected:[/] {escape(surprise)}")
    if outcome.surprises:
        raise typer.Exit(1)


def games_table(scenario: GameScenario, outcome: GamesOutcome) -> Table:
    """Return how games ended, as a table."""
    table = Table(title=f"{escape(scenario.name)}: {len(outcome.games)} games", title_justify="left")
    for column in ("game", "result", "expected", "moves"):
        table.add_column(column)
    table.add_column("refused", justify="right")
    for game in outcome.games:
        moves = " ".join(map(str, game.moves))
        result = game.result + (f" ({game.reason})" if game.reason else "")
        table.add_row(escape(game.name), escape(result), game.expected, moves, str(len(game.refused) or ""))
    return table
