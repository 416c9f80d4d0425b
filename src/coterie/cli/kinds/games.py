"""Games in meetings at the command line."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coterie.cli.interrupting import going_on
from coterie.cli.kinds.kind import Kind, Watching, told_unfinished, told_where
from coterie.orchestrator import Game, GameScenario, GamesOutcome, RunFolder, recorded_games, replay_games, run_games


class GamesKind(Kind[GameScenario]):
    """Games of tic-tac-toe, each a meeting."""

    called = "games"

    def run(self, console: Console, scenario: GameScenario, folder: RunFolder, watching: Watching) -> None:
        """Play all games: they are short, and the same each time, so that all are played again where a run goes on."""

        def show(game: Game) -> None:
            if not watching.quiet:
                refused = f", {len(game.refused)} illegal moves refused" if game.refused else ""
                moves = " ".join(map(str, game.moves))
                console.print(f"{escape(game.name)}: {game.result} ({moves}{refused})", soft_wrap=True)

        with going_on(folder):
            outcome = run_games(scenario, folder, show)
            console.print(games_table(scenario, outcome))
            told_where(console, folder, outcome.digest, watching)
        for surprise in outcome.surprises:
            console.print(f"[bold red]not as expected:[/] {escape(surprise)}")
        if outcome.surprises:
            raise typer.Exit(1)

    def replay(self, console: Console, scenario: GameScenario, run: Path) -> None:
        """Play all games again."""
        played = replay_games(scenario, run, lambda game: console.print(f"{escape(game.name)}: {game.result}, as recorded"))
        console.print(f"{len(played.games)} games, each as recorded; digest {played.digest}", soft_wrap=True)

    def show(self, console: Console, scenario: GameScenario, run: Path) -> None:
        """Show how the games ended, and where their minutes are."""
        outcome, finished = recorded_games(run)
        console.print(games_table(scenario, outcome))
        console.print(f"digest {outcome.digest}; the minutes are in {escape(str(run / 'meetings'))}", soft_wrap=True)
        if not finished:
            told_unfinished(console, run)


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
