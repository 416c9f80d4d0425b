"""Boltzmann wealth, for all agents at once in arrays: each who has a coin gives one to another, and few become rich.

At the same moment a purse is a queue with random arrivals and one departure a round, so 2 - sqrt(2) of them, 59 %, have coins.
"""

from typing import Any

from coterie.rounds import AgentGroup, ColumnTurn, Graph, Simulation, for_all
from coterie.world import World

PEOPLE = AgentGroup("person", 2_000)


@for_all
def give(turn: ColumnTurn) -> None:
    rich = turn["coins"] > 0
    to = turn.draw.below(len(turn), where=rich)
    turn.intend("move", where=rich, source=turn.keys("coins"), target=turn.keys("coins", to), amount=1)


def gini(coins: Any) -> float:
    ranked = sorted(coins)
    total = sum((2 * place - len(ranked) - 1) * each for place, each in enumerate(ranked, 1))
    return float(total / (len(ranked) * sum(ranked)))


def run(seed: int = 1, rounds: int = 100) -> Any:
    world = World({"coins": PEOPLE.column(1)})
    result = Simulation(world, [PEOPLE], Graph.chain(give), seed=seed).run(rounds)
    return result.view["coins"].array


if __name__ == "__main__":
    coins = run()
    print(f"{coins.sum()} coins, {(coins > 0).mean():.0%} have some, the richest has {coins.max()}, Gini {gini(coins):.2f}")
