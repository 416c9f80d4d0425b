"""A simulation that other processes import, without the imports of a test."""

from typing import Any

from coterie.rounds import Graph, Result, Simulation, per_agent
from coterie.world import World


def simulate(coins: int, seed: int) -> Result:
    @per_agent
    def give(turn: Any) -> None:
        turn.intend("add", key="pot", amount=turn.random.randrange(coins))

    return Simulation(World({"pot": 0}), ["ada"], Graph.chain(give), seed=seed, collect={"pot": "pot"}).run(3)
