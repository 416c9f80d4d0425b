"""Tic-tac-toe as a kind of scenario: games, each a meeting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from coterie.orchestrator import RunContext, RunRecord, ScenarioKind, Summary, Table
from coterie_examples.tic_tac_toe.playing import Game
from coterie_examples.tic_tac_toe.run import play_games, surprises_of
from coterie_examples.tic_tac_toe.scenario import GameScenario


class TicTacToeKind(ScenarioKind[GameScenario]):
    """Games of tic-tac-toe; a step is a game. They are short, so a resumed run plays all of them again."""

    parameters = GameScenario
    step_name = "game"
    step_event = "game ended"

    def build(self, parameters: GameScenario, context: RunContext) -> Callable[[], None]:
        """Return a function that plays all games."""
        return lambda: play_games(parameters, context.meetings, context.step)

    def load_step(self, data: dict[str, Any]) -> Game:
        """Return a game from its JSON value."""
        return msgspec.convert(data, Game)

    def step_digest(self, step: Game) -> str:
        """Return the digest of the minutes of a game."""
        return step.digest

    def describe(self, parameters: GameScenario, step: Game) -> str:  # noqa: ARG002 - of the game alone
        """Return a game as one line."""
        refused = f", {len(step.refused)} illegal moves refused" if step.refused else ""
        return f"{step.name}: {step.result} ({' '.join(map(str, step.moves))}{refused})"

    def summarise(self, parameters: GameScenario, record: RunRecord) -> Summary:
        """Return how the games ended."""
        games: list[Game] = list(record.steps)
        results = [game.result for game in games]
        rows = tuple(
            (
                game.name,
                game.result + (f" ({game.reason})" if game.reason else ""),
                game.expected,
                " ".join(map(str, game.moves)),
                len(game.refused) or "",
            )
            for game in games
        )
        title = f"{parameters.name}: {len(games)} games"
        return Summary(
            f"{len(games)} games",
            figures={"games": len(games), **{f"won by {each}": results.count(each) for each in "XO"}},
            tables=(Table(title, ("game", "result", "expected", "moves", "refused"), rows),),
            surprises=surprises_of(games),
        )

    def page(self, parameters: GameScenario, record: RunRecord, path: Path) -> str:
        """Return the report, with the board of each game."""
        from coterie_examples.tic_tac_toe.report import page_of_games  # noqa: PLC0415 - it needs the extra `report`

        return page_of_games(parameters, list(record.steps), record.digest, path / "meetings")
