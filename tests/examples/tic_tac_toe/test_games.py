import json
from pathlib import Path
from random import Random

import pytest

from coterie.errors import ScenarioError
from coterie.errors.orchestrator import RunUnknown
from coterie.meetings import read_minutes
from coterie.meetings.state.events import Closed, Spoke
from coterie.orchestrator import RunRecord, Scenario, load_run, run_scenario
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.scenario import parse_scenario, read_scenario
from coterie_examples.tic_tac_toe import board
from coterie_examples.tic_tac_toe.kind import TicTacToeKind
from coterie_examples.tic_tac_toe.playing import Game
from coterie_examples.tic_tac_toe.run import play_games, surprises_of
from coterie_examples.tic_tac_toe.scenario import GameScenario

FILE = Path(__file__).parents[3] / "examples" / "tic_tac_toe" / "game.toml"


def scenario(**update: object) -> GameScenario:
    parsed = parse_scenario(read_scenario(FILE), FILE).parameters
    assert isinstance(parsed, GameScenario)
    return parsed.model_copy(update=update)


def games(text: str, seed: int = 1) -> tuple[Game, ...]:
    parsed = parse_scenario(f'kind = "tic-tac-toe"\nname = "x"\nseed = {seed}\n{text}').parameters
    assert isinstance(parsed, GameScenario)
    return played(parsed)


def played(parameters: GameScenario, folder: Path | None = None) -> tuple[Game, ...]:
    found: list[Game] = []
    play_games(parameters, folder, found.append)
    return tuple(found)


def record(parameters: GameScenario) -> RunRecord:
    return run_scenario(Scenario(TicTacToeKind(), parameters, Path(), Path()))


def test_the_known_games_end_as_they_must_and_perfect_play_is_a_draw() -> None:
    outcome = played(scenario())
    assert surprises_of(outcome) == ()
    results = {game.name: game.result for game in outcome}
    assert results["X takes the left column"] == "X"
    assert results["O takes the middle row"] == "O"
    assert results["nobody gets three"] == "draw"
    assert {results[f"perfect {number}"] for number in range(1, 6)} == {"draw"}
    assert len({game.moves for game in outcome if game.name.startswith("perfect")}) > 1


def test_illegal_moves_are_refused_and_never_in_the_minutes(tmp_path: Path) -> None:
    outcome = played(scenario(), tmp_path)
    (game,) = [game for game in outcome if game.refused]
    assert game.refused == (
        ("X", 4, "cell 4 is taken"),
        ("X", 0, "cell 0 is taken"),
        ("X", 9, "9 is no cell; cells are numbered from 0 to 8"),
    )
    entries = read_minutes(tmp_path / "x-tries-what-is-taken.jsonl")
    moves = [
        entry.event.content["move"] for entry in entries if isinstance(entry.event, Spoke) and "move" in entry.event.content
    ]
    assert tuple(moves) == game.moves == (0, 4, 1, 8, 2)
    assert isinstance(entries[-1].event, Closed)
    assert entries[-1].event.outcome["result"] == "X"


@pytest.mark.parametrize("seed", range(4))
def test_perfect_players_never_lose_to_chance(seed: int) -> None:
    found = games(
        '[[games]]\nname = "a"\ncount = 2\nx = { rule = "perfect" }\no = { rule = "random" }\n'
        '[[games]]\nname = "b"\ncount = 2\nx = { rule = "random" }\no = { rule = "perfect" }\n',
        seed,
    )
    assert all(game.result != ("O" if game.name.startswith("a") else "X") for game in found)


def test_a_player_without_a_move_has_lost() -> None:
    (game,) = games('[[games]]\nname = "a"\nx = { rule = "script", cells = [0] }\no = { rule = "script", cells = [1] }\n')
    assert (game.result, game.reason) == ("O", "X did not move")


def test_the_same_seed_gives_the_same_minutes_whatever_the_dispatcher() -> None:
    one = record(scenario())
    dedicated = scenario().runtime.model_copy(update={"dispatcher": "dedicated"})
    other = record(scenario(runtime=dedicated))
    assert (other.steps, other.digest) == (one.steps, one.digest)
    assert record(scenario(seed=8)).digest != one.digest


def test_a_run_is_recorded_and_read_again(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "games", "a copy") as folder:
        outcome = run_scenario(Scenario(TicTacToeKind(), scenario(), Path(), Path()), folder)
        found = load_run(folder.path)[1]
        assert (found.steps, found.digest, found.finished) == (outcome.steps, outcome.digest, True)
        lines = (folder.path / "events.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["event"] == "run ended"
        (folder.path / "events.jsonl").write_text("\n".join(lines[:3]) + '\n{"event": "game en')
        assert load_run(folder.path)[1].finished is False
    with pytest.raises(RunUnknown):
        load_run(tmp_path)


def test_the_rules_of_the_board() -> None:
    assert board.result([0, 1, 3, 4, 6]) == "X"
    assert board.result([0, 3, 1, 4, 8, 5]) == "O"
    assert board.result([]) == ""
    assert board.best([0]) == [4]  # a corner is answered in the middle, or lost
    assert board.best([0, 4, 1]) == [2]  # only this keeps X from three in a row
    assert board.objection([0], 0) == "cell 0 is taken"
    assert board.objection([], True)
    for _ in range(50):
        moves: list[int] = []
        while not board.result(moves):
            moves.append(Random(len(moves)).choice(board.free(moves)))
        assert board.result(moves)


def test_mistakes_in_the_file_are_named() -> None:
    for text, problem in (
        ('name = "x"', "games: missing"),
        ('name = "x"\ngames = []', "there is none"),
        ('name = "x"\n[[games]]\nname = "a"\nx = { rule = "perfekt" }\no = { rule = "random" }', "did you mean 'perfect'"),
        ('name = "x"\n[[games]]\nname = "a"\nx = { rule = "perfect" }', "o: missing"),
        ('name = "x"\nmonths = 3\n[[games]]\nname = "a"\nx = { rule = "perfect" }\no = { rule = "random" }', "no such key"),
    ):
        with pytest.raises(ScenarioError, match=problem):
            parse_scenario(f'kind = "tic-tac-toe"\n{text}')
    with pytest.raises(ScenarioError, match="must be 'commons' or 'interview' or 'tic-tac-toe'"):
        parse_scenario('kind = "chess"')
