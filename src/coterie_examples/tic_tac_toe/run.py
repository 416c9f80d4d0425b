"""Games of tic-tac-toe, played one after the other in one runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from coterie.meetings import Meetings
from coterie.runtime import Runtime
from coterie_examples.tic_tac_toe.playing import Game, Play, Player, Referee
from coterie_examples.tic_tac_toe.scenario import GameScenario, Match


def play_games(scenario: GameScenario, folder: Path | None, observer: Callable[[Game], object]) -> None:
    """Play all games, one after the other, and call `observer` with each.

    The same scenario with the same seed ends the same way, whatever the dispatcher, the machine and its load.
    """
    with Runtime("games", dispatcher=scenario.dispatcher(), ask_timeout=None) as runtime:
        runtime.provide(Meetings(folder=folder))
        referee = runtime.spawn(Referee, name="referee")
        for name, match in _matches(scenario):
            x = runtime.spawn(Player, match.x, scenario.seed, referee, name="X")
            o = runtime.spawn(Player, match.o, scenario.seed, referee, name="O")
            game = referee.ask(Play(name, x, o, name, scenario.runtime.turn_limit)).result()
            for player in (x, o):
                player.stop().result()
            observer(msgspec.structs.replace(game, expected=match.expect or ""))


def surprises_of(games: Sequence[Game]) -> tuple[str, ...]:
    """Return the differences from the results that the scenario expects."""
    return tuple(
        f"{game.name}: expected {game.expected}, got {game.result}"
        for game in games
        if game.expected and game.result != game.expected
    )


def _matches(scenario: GameScenario) -> Iterator[tuple[str, Match]]:
    for match in scenario.games:
        for number in range(1, match.count + 1):
            yield (match.name if match.count == 1 else f"{match.name} {number}"), match
