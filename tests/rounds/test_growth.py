"""The costs of a round grow in proportion to its agents and not faster, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coterie.kernel.checkpoint import detach
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


def test_a_mutable_value_that_all_agents_share_costs_each_no_line_for_each_of_its_elements() -> None:
    def simulation(size: int) -> Callable[[], object]:
        town = list(range(size))
        agents = {f"a{number}": Planner(town) for number in range(20)}
        return lambda: Simulation(World(), agents, Graph.chain("act"), checkpoints=False).run(1)

    assert growth(simulation, 10, 10_000) < 1.1


class Planner:
    def __init__(self, town: list[int]) -> None:
        self.town = town

    def act(self, turn: Turn) -> None:
        self.town.append(1)
        turn.intend("set", key=turn.name, value=len(self.town))


class Rota:
    """A result that is not plain data."""

    def __init__(self, shifts: list[str]) -> None:
        self.shifts = shifts


@pytest.mark.parametrize("mode", [Mode.LOCKSTEP, Mode.PIPELINES])
def test_a_result_that_is_not_plain_data_is_copied_for_those_that_ask_for_it(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[Any] = []

    def copying(value: Any) -> Any:
        copies.append(value)
        return detach(value)

    monkeypatch.setattr("coterie.rounds.turn.detach", copying)
    kept = Rota(["day", "night"])

    def assign(gathering: Gathering) -> Rota:
        return kept

    def work(turn: Turn) -> None:
        if mode is Mode.LOCKSTEP:
            # What its author does to it later is not seen, in whatever order the agents come.
            kept.shifts.append("late")
        if turn.name in "ab":
            turn.inputs["assign"].shifts.append(turn.name)

    def tell(turn: Turn) -> None:
        if turn.name in "abc":
            turn.intend("set", key=turn.name, value=turn.inputs["assign"].shifts)

    graph = Graph.chain(together(assign), work, tell)
    view = Simulation(World(), list("abcdefgh"), graph, mode=mode).run(1).view
    assert dict(view) == {"a": ("day", "night", "a"), "b": ("day", "night", "b"), "c": ("day", "night")}
    # One for all agents of a stage together, or for each alone, and one for each that asked.
    assert len(copies) == (1 if mode is Mode.LOCKSTEP else 8) + 3


def test_a_together_stage_gets_a_value_that_all_agents_have_once() -> None:
    def give(gathering: Gathering) -> list[int]:
        return list(range(1_000))

    def odd(gathering: Gathering) -> Rota:
        return Rota(["day"])

    def meet(gathering: Gathering) -> list[bool]:
        outputs = list(gathering.outputs.values())
        return [outputs[0][name] is each[name] for each in outputs for name in ("give", "odd")]

    def tell(turn: Turn) -> None:
        turn.intend("set", key=turn.name, value=[all(turn.inputs["meet"]), turn.inputs["odd"].shifts])

    graph = Graph.chain(together(give), together(odd), together(meet), tell)
    view = Simulation(World(), ["a", "b"], graph).run(1).view
    assert dict(view) == {"a": (True, ("day",)), "b": (True, ("day",))}


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
