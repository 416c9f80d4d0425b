"""The costs of a round grow in proportion to its agents and not faster, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from coterie.rounds import Graph, Mode, Simulation, Turn, together
from coterie.rounds.gathering import Gathering
from coterie.world import EventLog, World
from tests.growth import growth, lines_of


def act(turn: Turn) -> None:
    turn.intend("add", key="n", amount=1)


def rest(turn: Turn) -> None: ...


def judge(gathering: Gathering) -> int:
    return len(gathering.agents)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_together_stage_costs_each_agent_the_same_however_many_there_are(mode: Mode) -> None:
    def simulation(agents: int) -> Callable[[], object]:
        names = [f"a{number}" for number in range(agents)]
        made = Simulation(World({"n": 0}), names, Graph.chain(act, together(judge), rest), mode=mode, checkpoints=False)
        return lambda: made.run(1)

    # Eight times the agents. Were each to look at all others, it would be far more.
    assert growth(simulation, 25, 200) < 9


@dataclass(frozen=True)
class Map:
    """Immutable throughout."""

    fields: tuple[int, ...]


class Walker:
    def __init__(self, town: Map, notes: list[int]) -> None:
        self.town = town
        self.notes = notes

    def act(self, turn: Turn) -> tuple[int, int]:
        self.notes.append(turn.round)
        turn.intend("set", key=turn.name, value=[len(self.notes), self.town is TOWN])
        return 1, 2


TOWN = Map(tuple(range(1_000)))


def test_agents_share_immutable_values_and_have_their_own_copies_of_others() -> None:
    notes: list[int] = []
    agents = {name: Walker(TOWN, notes) for name in "abc"}
    view = Simulation(World(), agents, Graph.chain("act")).run(2).view
    assert {name: view[name] for name in "abc"} == dict.fromkeys("abc", (2, True))
    assert notes == []


def test_a_checkpoint_does_not_grow_with_the_rounds(tmp_path: Path) -> None:
    with World({"n": 0}, log=EventLog(tmp_path / "run.db", durable=False), snapshot_every=10**6) as world:
        simulation = Simulation(world, ["a"], Graph.chain(act))
        simulation.run(5)
        early = lines_of(simulation.step)
        simulation.run(200)
        assert lines_of(simulation.step) < 1.3 * early
        assert world.log is not None
        sizes = world.log.database.rows("SELECT length(body) FROM rounds_checkpoints ORDER BY round")
        assert abs(sizes[-1][0] - sizes[0][0]) < 20
