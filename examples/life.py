"""Conway's Life: one agent for each cell, all at the same time; a glider moves by (1, 1) every four generations."""

from coterie.rounds import Graph, Simulation, Turn
from coterie.world import View, World

SIZE = 8


class Cell:
    def __init__(self, x: int, y: int) -> None:
        self.key = f"{x},{y}"
        self.near = [f"{(x + dx) % SIZE},{(y + dy) % SIZE}" for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]

    def live(self, turn: Turn) -> None:
        alive = sum(turn.view[near] for near in self.near)
        after = alive == 3 or (alive == 2 and turn.view[self.key])
        if after != turn.view[self.key]:
            turn.intend("set", key=self.key, value=after)


def living(view: View) -> set[tuple[int, int]]:
    return {(int(key[0]), int(key[2])) for key in view if view[key]}


cells = {f"{x},{y}": Cell(x, y) for x in range(SIZE) for y in range(SIZE)}
glider = {(1, 0), (2, 1), (0, 2), (1, 2), (2, 2)}
world = World({key: (int(key[0]), int(key[2])) in glider for key in cells})
names = {key.replace(",", "."): cell for key, cell in cells.items()}
result = Simulation(world, names, Graph.chain("live")).run(rounds=4)
print("moved by (1, 1):", living(result.view) == {(x + 1, y + 1) for x, y in glider})
