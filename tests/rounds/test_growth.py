"""The costs of a round grow in proportion to its agents and not faster, in every mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coterie.rounds import Graph, Mode, Simulation, Turn, together
from coterie.rounds.gathering import Gathering
from coterie.world import World
from tests.growth import growth


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
