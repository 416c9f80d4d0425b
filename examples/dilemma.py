"""The spatial prisoner's dilemma: neither the order of the agents nor the number of threads changes the outcome."""

import random

from coterie import Leased
from coterie.rounds import Graph, Simulation, Turn
from coterie.world import View, World

SIZE, ROUNDS, TEMPTATION = 12, 6, 1.6
CELLS = [(x, y) for x in range(SIZE) for y in range(SIZE)]
AROUND = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
NEAR = {f"{x}.{y}": [f"{(x + dx) % SIZE}.{(y + dy) % SIZE}" for dx, dy in AROUND] for x, y in CELLS}


def payoff(view: View, cell: str) -> float:
    mates = sum(view[near] == "C" for near in NEAR[cell])
    return float(mates) if view[cell] == "C" else TEMPTATION * mates


def copy_the_best(turn: Turn) -> None:
    best = max(NEAR[turn.name], key=lambda cell: (payoff(turn.view, cell), cell == turn.name, cell))
    if turn.view[best] != turn.view[turn.name]:
        turn.intend("set", key=turn.name, value=turn.view[best])


chance = random.Random(3)  # noqa: S311 - not for secrets
start = {cell: "D" if chance.random() < 0.1 else "C" for cell in NEAR}
digests = set()
for threads in (1, 8):
    players = list(NEAR)
    chance.shuffle(players)
    simulation = Simulation(World(start), players, Graph.chain(copy_the_best), dispatcher=Leased(least=1, most=threads))
    result = simulation.run(ROUNDS)
    digests.add(result.digest)
print("cooperators:", sum(value == "C" for value in result.view.values()), "digests:", len(digests))
