"""Schelling's segregation: agents who want three in eight neighbours of their own colour end among seven in ten."""

from random import Random

from coterie.rounds import Graph, Result, Simulation, Turn
from coterie.world import View, World
from coterie.world.spaces import Grid, Movement

GRID = Grid(20, 20, torus=True)
WANTED = 3 / 8


def alike(view: View, name: str) -> float:
    """Return the part of an agent's neighbours that have its colour; 1 without neighbours."""
    near = GRID.neighbours(view, name)
    same = sum(view[f"colour/{each}"] == view[f"colour/{name}"] for each in near)
    return same / len(near) if near else 1.0


def settle_down(turn: Turn) -> None:
    if alike(turn.view, turn.name) < WANTED:
        cell = GRID.random_empty(turn.view, turn.random)
        if cell is not None:
            GRID.move(turn, cell)


def similarity(view: View) -> float:
    names = list(GRID.agents(view))
    return sum(alike(view, name) for name in names) / len(names)


def start(seed: int, density: float = 0.8) -> dict[str, object]:
    """Return the first state: half of the agents red, half blue, in random cells."""
    chance = Random(seed)  # noqa: S311 - not for secrets
    cells = chance.sample(GRID.cells, int(density * len(GRID.cells)))
    places = {f"agent-{number:03}": cell for number, cell in enumerate(cells)}
    colours = {f"colour/{name}": ("red", "blue")[number % 2] for number, name in enumerate(places)}
    return {**GRID.placed(places), **colours}


def run(seed: int = 1, rounds: int = 30, activation: str = "at-once") -> tuple[float, Result]:
    """Return the similarity at the beginning, and the result."""
    world = World(start(seed))
    names = [key.removeprefix("colour/") for key in world.view() if key.startswith("colour/")]
    simulation = Simulation(
        world, names, Graph.chain(settle_down), activation=activation, seed=seed, resolver=Movement(GRID), spans=0
    )
    return similarity(world.view()), simulation.run(rounds)


if __name__ == "__main__":
    before, result = run()
    content = sum(alike(result.view, name) >= WANTED for name in GRID.agents(result.view)) / len(GRID.agents(result.view))
    print(f"similarity: {before:.2f} before, {similarity(result.view):.2f} after; content: {content:.0%}")
