"""One run of a scenario of games, recorded in its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from coterie.errors import ReplayDiverged, RunUnknown
from coterie.meetings import Meetings
from coterie.orchestrator.folder import MEETINGS, SCENARIO, RunFolder
from coterie.orchestrator.games.playing import Game, Play, Player, Referee
from coterie.orchestrator.games.scenario import GameScenario, Match
from coterie.runtime import Runtime


class GamesOutcome(msgspec.Struct, frozen=True):
    """How all games ended."""

    games: tuple[Game, ...]
    surprises: tuple[str, ...]
    """Where a game did not end as the scenario expects."""
    digest: str
    """Of all minutes."""


def play_games(scenario: GameScenario, folder: Path | None, observer: Callable[[Game], object]) -> GamesOutcome:
    """Play all games, one after the other, and tell `observer` of each.

    The same scenario with the same seed ends the same way, whatever the dispatcher, the machine and its load.
    """
    games = []
    with Runtime("games", dispatcher=scenario.dispatcher(), ask_timeout=None) as runtime:
        runtime.provide(Meetings(folder=folder))
        referee = runtime.spawn(Referee, name="referee")
        for name, match in _matches(scenario):
            x = runtime.spawn(Player, match.x, scenario.seed, referee, name="X")
            o = runtime.spawn(Player, match.o, scenario.seed, referee, name="O")
            game = referee.ask(Play(name, x, o, name, scenario.runtime.turn_limit)).result()
            game = msgspec.structs.replace(game, expected=match.expect or "")
            for player in (x, o):
                player.stop().result()
            games.append(game)
            observer(game)
    return _outcome(games)


def run_games(scenario: GameScenario, folder: RunFolder, observer: Callable[[Game], object]) -> GamesOutcome:
    """Play all games, and record them in a folder."""
    folder.write(SCENARIO, scenario.model_dump())
    folder.event("run started", scenario=scenario.name, kind=scenario.kind, seed=scenario.seed)

    def ended(game: Game) -> None:
        folder.event("game ended", **msgspec.structs.asdict(game))
        observer(game)

    outcome = play_games(scenario, folder.path / MEETINGS, ended)
    folder.event("run ended", surprises=outcome.surprises, digest=outcome.digest)
    results = [game.result for game in outcome.games]
    folder.write(
        "metrics.json", {"games": len(results), "results": {each: results.count(each) for each in sorted(set(results))}}
    )
    return outcome


def recorded_games(path: Path) -> tuple[GamesOutcome, bool]:
    """Return what the folder of a run tells, and whether the run came to its end. Raises `RunUnknown`."""
    games, finished = [], False
    try:
        lines = (path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RunUnknown(path, f"its events cannot be read: {error.strerror}") from error
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            break  # it was killed while it wrote this line
        finished = finished or event["event"] == "run ended"
        if event.pop("event") == "game ended":
            games.append(msgspec.convert(event, Game))
    return _outcome(games), finished


def replay_games(scenario: GameScenario, path: Path, observer: Callable[[Game], object]) -> GamesOutcome:
    """Play the games of a run again, and see that each has the same minutes. Raises `ReplayDiverged`, `RunUnknown`."""
    before, _ = recorded_games(path)

    def compare(game: Game) -> None:
        number = len(seen)
        seen.append(game)
        if number < len(before.games) and before.games[number].digest != game.digest:
            raise ReplayDiverged(number + 1, before.games[number].digest, game.digest)
        observer(game)

    seen: list[Game] = []
    return play_games(scenario, None, compare)


def _matches(scenario: GameScenario) -> Iterator[tuple[str, Match]]:
    for match in scenario.games:
        for number in range(1, match.count + 1):
            yield (match.name if match.count == 1 else f"{match.name} {number}"), match


def _outcome(games: list[Game]) -> GamesOutcome:
    surprises = tuple(
        f"{game.name}: expected {game.expected}, got {game.result}"
        for game in games
        if game.expected and game.result != game.expected
    )
    whole = hashlib.blake2b("".join(game.digest for game in games).encode(), digest_size=32).hexdigest()
    return GamesOutcome(tuple(games), surprises, whole)
