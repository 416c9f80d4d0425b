"""Outcomes that are known: the spatial prisoner's dilemma, Life, money under random trade."""

import random
from typing import Any

import pytest

from coterie import Leased
from coterie.rounds import Graph, Mode, Simulation, Turn
from coterie.world import World, resolvers
from tests.runs import LONG


class Cell:
    """One cell of a torus; it keeps nothing, so it is frozen."""

    def __init__(self, size: int, x: int, y: int) -> None:
        self.key = f"{x},{y}"
        self.near = tuple(
            f"{(x + dx) % size},{(y + dy) % size}" for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)
        )


class Living(Cell):
    def live(self, turn: Turn) -> None:
        alive = sum(turn.view[near] for near in self.near)
        now = turn.view[self.key]
        after = int(alive == 3 or (alive == 2 and now == 1))
        if after != now:
            turn.intend("set", key=self.key, value=after)


def life(size: int, pattern: set[tuple[int, int]], generations: int, mode: Mode = Mode.SYNC_POINTS) -> set[tuple[int, int]]:
    cells = {f"{x},{y}": Living(size, x, y) for x in range(size) for y in range(size)}
    world = World({f"{x},{y}": int((x, y) in pattern) for x in range(size) for y in range(size)})
    view = Simulation(world, cells, Graph.chain("live"), mode=mode).run(generations).view
    return {(int(x), int(y)) for key in view for x, y in [key.split(",")] if view[key] == 1}


@pytest.mark.parametrize("mode", [Mode.LOCKSTEP, Mode.SYNC_POINTS, Mode.PIPELINES])
def test_life_has_its_closed_forms(mode: Mode) -> None:
    blinker, turned = {(2, 1), (2, 2), (2, 3)}, {(1, 2), (2, 2), (3, 2)}
    assert life(6, blinker, 1, mode) == turned
    assert life(6, blinker, 2, mode) == blinker
    block = {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert life(6, block, 3, mode) == block
    glider = {(1, 0), (2, 1), (0, 2), (1, 2), (2, 2)}
    assert life(8, glider, 4, mode) == {(x + 1, y + 1) for x, y in glider}
    assert life(8, glider, 8, mode) == {(x + 2, y + 2) for x, y in glider}


class Player(Cell):
    """Plays against its neighbours and itself, and copies its best-paid neighbour, itself included."""

    def play(self, turn: Turn) -> None:
        best = max((self.key, *self.near), key=lambda cell: (self.score(turn.view, cell), cell == self.key, cell))
        if turn.view[best] != turn.view[self.key]:
            turn.intend("set", key=self.key, value=turn.view[best])

    def score(self, view: Any, cell: str) -> float:
        mates = sum(view[near] == "C" for near in NEAR[cell])
        return float(mates) if view[cell] == "C" else 1.6 * mates


NEAR: dict[str, tuple[str, ...]] = {}


def dilemma(size: int, rounds: int, *, shuffle: int, threads: int) -> str:
    chance = random.Random(3)
    players = {f"{x},{y}": Player(size, x, y) for x in range(size) for y in range(size)}
    NEAR.update({key: player.near for key, player in players.items()})
    start = {key: "D" if chance.random() < 0.1 else "C" for key in players}
    order = list(players)
    random.Random(shuffle).shuffle(order)
    shuffled = {key: players[key] for key in order}
    made = Simulation(World(start), shuffled, Graph.chain("play"), dispatcher=Leased(least=1, most=threads), turn_timeout=None)
    result = made.run(rounds)
    assert 0 < sum(value == "C" for value in result.view.values()) < size * size
    return result.digest


@pytest.mark.timeout(300)
def test_the_spatial_dilemma_does_not_depend_on_order_or_threads() -> None:
    size, rounds = (50, 20) if LONG else (16, 4)
    assert len({dilemma(size, rounds, shuffle=seed, threads=threads) for seed, threads in ((1, 1), (2, 8), (3, 8))}) == 1


@pytest.mark.parametrize("mode", list(Mode))
def test_money_is_conserved_under_random_trade_with_conflicts(mode: Mode) -> None:
    names = [f"a{number}" for number in range(30)]

    def trade(turn: Turn) -> None:
        # Everybody may take from anybody, so purses are fought over.
        for _ in range(3):
            one, other = turn.random.sample(names, 2)
            turn.intend("move", source=one, target=other, amount=turn.random.randrange(3))

    seen: list[list[int]] = []
    world = World(dict.fromkeys(names, 2))
    world.subscribe(lambda view, events: seen.append([view[name] for name in names]))
    result = Simulation(world, names, Graph.chain(trade), mode=mode, resolver=resolvers.Lottery(), max_lead=3).run(10)
    assert result.rounds == 10
    assert {sum(coins) for coins in seen} == {60}
    assert min(min(coins) for coins in seen) >= 0
    assert {event.kind for event in world.history() if event.action == "move"} == {"granted", "refused"}
