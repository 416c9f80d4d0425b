"""Sugarscape with constant growback (Epstein and Axtell, "Growing Artificial Societies", 1996, chapter 2).

Agents see sugar along the axes, walk to the richest free cell, eat and starve. The land feeds fewer than were born, and the wealth
of those that remain is uneven.
"""

from math import hypot
from random import Random

from coterie.rounds import Closing, Graph, Simulation, Turn, commit
from coterie.world import View, World
from coterie.world.spaces import Grid, Movement

SIZE = 24
GRID = Grid(SIZE, SIZE, torus=True)
PEAKS = ((SIZE * 0.7, SIZE * 0.3), (SIZE * 0.3, SIZE * 0.7))
MOST = {(x, y): max(0, 4 - int(min(hypot(x - px, y - py) for px, py in PEAKS) / (SIZE / 9))) for x, y in GRID.cells}


def sugar(cell: tuple[int, int]) -> str:
    return f"sugar/{cell[0]},{cell[1]}"


def walk(turn: Turn) -> None:
    x, y = here = GRID.position(turn.view, turn.name)
    seen = [here]
    for step in range(1, turn.view[f"vision/{turn.name}"] + 1):
        ways = ((x + step, y), (x - step, y), (x, y + step), (x, y - step))
        seen += [cell for cell in map(GRID.checked, ways) if GRID.is_free(turn.view, cell)]
    richest = max(turn.view[sugar(cell)] for cell in seen)
    best = next(cell for cell in seen if turn.view[sugar(cell)] == richest)  # the nearest of the richest
    if best != here:
        GRID.move(turn, best)


def eat(turn: Turn) -> None:
    name, view = turn.name, turn.view
    here = GRID.position(view, name)
    wealth = view[f"wealth/{name}"] + view[sugar(here)] - view[f"hunger/{name}"]
    if view[sugar(here)]:
        turn.intend("set", key=sugar(here), value=0)
    if wealth <= 0:
        GRID.remove(turn, keys=[f"{what}/{name}" for what in ("wealth", "vision", "hunger")])
    else:
        turn.intend("set", key=f"wealth/{name}", value=wealth)


def grow(closing: Closing) -> None:
    for cell, most in MOST.items():
        now = closing.view[sugar(cell)]
        if now < most:
            closing.set(sugar(cell), now + 1)


def start(seed: int, agents: int) -> dict[str, object]:
    chance = Random(seed)  # noqa: S311 - not for secrets
    places = {f"agent-{number:03}": cell for number, cell in enumerate(chance.sample(GRID.cells, agents))}
    state: dict[str, object] = {sugar(cell): most for cell, most in MOST.items()}
    for name in places:
        state |= {f"wealth/{name}": chance.randint(5, 25), f"vision/{name}": chance.randint(1, 6)}
        state |= {f"hunger/{name}": chance.randint(1, 4)}
    return state | GRID.placed(places)


def run(seed: int = 1, rounds: int = 40, agents: int = 120) -> tuple[list[int], View]:
    """Return the number of living agents after each round, and the last view."""
    world = World(start(seed, agents))
    names = list(GRID.agents(world.view()))
    graph = Graph.chain(walk, commit, eat)
    simulation = Simulation(world, names, graph, seed=seed, resolver=Movement(GRID), settle=grow, spans=0)
    living: list[int] = []
    simulation.run(rounds, lambda result: living.append(len(GRID.agents(result.view))))
    return living, world.view()


if __name__ == "__main__":
    living, view = run()
    wealth = sorted(view.under("wealth/").values())
    print(f"{living[0]} agents after one round, {living[-1]} at the end; the poorest has {wealth[0]}, the richest {wealth[-1]}")
