"""The spatial prisoner's dilemma of Nowak and May (Nature 359, 1992): cooperators survive in clusters, at 12 ln 2 - 8 = 0.32.

Each plays with its eight neighbours and itself, and all copy the best-paid of these at the same moment. All cells are one group
of agents, done in arrays; `examples/dilemma.py` does the same agent by agent.
"""

from typing import Any

import numpy as np

from coterie.rounds import AgentGroup, ColumnTurn, Graph, Simulation, for_all
from coterie.world import World

SIZE, TEMPTATION = 60, 1.85
CELLS = AgentGroup("cell", SIZE * SIZE)
AROUND = [(0, 0), *((dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy)]


@for_all
def copy_the_best(turn: ColumnTurn) -> dict[str, Any]:
    cooperates = turn["cooperates"].reshape(SIZE, SIZE)
    mates = sum(np.roll(cooperates, step, (0, 1)).astype(int) for step in AROUND)
    score = np.where(cooperates, 1.0, TEMPTATION) * mates
    # The cell itself comes first, and only a better one replaces it.
    best, chosen = score, cooperates
    for step in AROUND[1:]:
        theirs = np.roll(score, step, (0, 1))
        chosen = np.where(theirs > best, np.roll(cooperates, step, (0, 1)), chosen)
        best = np.maximum(best, theirs)
    return {"cooperates": chosen.ravel()}


def run(seed: int = 1, rounds: int = 100) -> list[float]:
    """Return the part of cooperators after each round; at first nine in ten cooperate."""
    start = np.random.default_rng(seed).random(SIZE * SIZE) < 0.9
    world = World({"cooperates": CELLS.column(start)})
    parts: list[float] = []
    simulation = Simulation(world, [CELLS], Graph.chain(copy_the_best), seed=seed)
    simulation.run(rounds, lambda result: parts.append(float(result.view["cooperates"].array.mean())))
    return parts


if __name__ == "__main__":
    parts = run()
    print(f"cooperators: {parts[0]:.2f} after one round, {sum(parts[50:]) / len(parts[50:]):.2f} in the long run")
