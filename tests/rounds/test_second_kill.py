"""What was decided beyond the newest checkpoint survives any number of kills, also during a resumption."""

from __future__ import annotations

from pathlib import Path

import pytest

from coterie.errors import StageFailed
from coterie.rounds import Graph, Mode, Simulation, Turn, together
from coterie.rounds.gathering import Closing, Gathering
from coterie.world import EventLog, World


class Killed(Exception):
    """Stands for the end of the process: the run ends here, and nothing after it is written."""


def judge(gathering: Gathering) -> None: ...


def simulation(world: World, mode: Mode, at: int, *, slides: bool = False, die_in: str = "") -> Simulation:
    """Two agents count; in the middle of round `at` somebody outside moves a slider, and a turn is forfeited."""

    def first(turn: Turn) -> None:
        if (die_in, turn.round) == ("first", at):
            raise Killed
        turn.intend("add", key=f"{turn.name}/first", amount=1)

    def second(turn: Turn) -> None:
        if slides and turn.round == at and turn.name == "ada":
            world.update({"slider": 5}, reason="somebody")
        if slides and turn.round == at and turn.name == "ben":
            raise ValueError("a forfeit")
        turn.intend("add", key="sum", amount=turn.view.get("slider", 1))

    def settle(closing: Closing) -> None:
        if (die_in, closing.round) == ("settle", at):
            raise Killed

    graph = Graph.chain(first, together(judge), second)
    return Simulation(world, ["ada", "ben"], graph, mode=mode, halt_on=(Killed,), seed=3, settle=settle)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("at", [1, 2])
def test_a_second_kill_during_the_resumption_loses_no_change_from_outside(tmp_path: Path, mode: Mode, at: int) -> None:
    def opened() -> World:
        return World({"sum": 0}, log=EventLog(tmp_path / "run.db", durable=False))

    with opened() as world, pytest.raises(StageFailed):
        simulation(world, mode, at, slides=True, die_in="settle").run(3)
    for _ in range(2):
        # Killed before the change could be made again, and once more.
        with opened() as world, pytest.raises(Killed):
            simulation(world, mode, at, die_in="first").resume(3)
    with opened() as world:
        result = simulation(world, mode, at).resume(3)
        changes = [event for event in world.history() if event.kind == "changed"]
        assert [(event.changes, event.reason) for event in changes] == [({"slider": 5}, "somebody")]
        assert result.view["slider"] == 5
        assert [(event.agent, event.round) for event in world.history() if event.kind == "forfeited"] == [("ben", at)]
        assert world.log is not None
        assert simulation(World(), mode, at).replay(world.log).digests == result.digests
    with opened() as world:
        # Nothing is left to be made again.
        again = simulation(world, mode, at).resume(4)
        assert len([event for event in world.history() if event.kind == "changed"]) == 1
        assert again.rounds == 4
