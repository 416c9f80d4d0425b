"""Spaces: neighbourhoods, moves whose conflicts are resolved, births and removals."""

import math
from random import Random
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.errors import InvalidIntent, InvalidSetting
from coterie.rounds import Graph, Simulation, Turn
from coterie.world import Intent, World, resolvers
from coterie.world.spaces import Grid, Movement, Network, Plane, Space


class StillTurn:
    """Collects intents as a turn does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.intents: list[Intent] = []

    def intend(self, action: str, *, priority: int = 0, **arguments: Any) -> None:
        self.intents.append(Intent(self.name, action, arguments, priority, 0, 0, len(self.intents)))


def world_of(space: Space, **agents: Any) -> World:
    return World(space.placed(agents))


def moves(space: Space, **targets: Any) -> list[Intent]:
    intents = []
    for name, target in targets.items():
        turn = StillTurn(name)
        space.move(turn, target)
        intents += turn.intents
    return intents


def test_the_neighbourhoods_of_a_grid() -> None:
    assert len(Grid(5, 5).near((2, 2))) == 8
    assert len(Grid(5, 5).near((0, 0))) == 3
    assert Grid(5, 5, neighbourhood="von-neumann").near((2, 2)) == ((2, 1), (1, 2), (3, 2), (2, 3))
    assert len(Grid(9, 9, neighbourhood="von-neumann").near((4, 4), 2)) == 12
    assert len(Grid(9, 9).near((4, 4), 2)) == 24
    assert len(Grid(5, 5, torus=True).near((0, 0))) == 8
    assert (4, 4) in Grid(5, 5, torus=True).near((0, 0))
    hexagons = Grid(8, 8, neighbourhood="hexagonal", torus=True)
    assert {len(hexagons.near(cell)) for cell in hexagons.cells} == {6}
    assert {len(hexagons.near(cell, 2)) for cell in hexagons.cells} == {18}
    with pytest.raises(InvalidSetting, match="an even number"):
        Grid(5, 5, neighbourhood="hexagonal", torus=True)


@pytest.mark.parametrize("neighbourhood", ["moore", "von-neumann", "hexagonal"])
@pytest.mark.parametrize("torus", [False, True])
def test_to_be_near_is_mutual_and_is_what_the_distance_says(neighbourhood: str, torus: bool) -> None:
    grid = Grid(6, 6, neighbourhood=neighbourhood, torus=torus)
    for radius in (1, 2):
        for cell in grid.cells:
            near = {other for other in grid.cells if 0 < grid.distance(cell, other) <= radius}
            assert set(grid.near(cell, radius)) == near


def test_agents_outside_and_two_in_one_cell_are_refused_with_their_names() -> None:
    grid = Grid(5, 5)
    with pytest.raises(InvalidSetting, match=r"grid\.placed\['ada'\].*\(5, 0\) is outside of the 5 x 5 cells of grid"):
        grid.placed({"ada": (5, 0)})
    with pytest.raises(InvalidSetting, match=r"grid\.placed\['ben'\].*ada fills it, and the capacity is 1"):
        grid.placed({"ada": (0, 0), "ben": (0, 0)})
    assert Grid(5, 5, capacity=2).placed({"ada": (0, 0), "ben": (0, 0)})["grid/in/0,0"] == ("ada", "ben")
    with pytest.raises(InvalidIntent, match=r"\(0, -1\) of ada in grid.*outside"):
        grid.move(StillTurn("ada"), (0, -1))
    for wrong in ((1.5, 2), "1,2", (1,), (True, 1)):
        with pytest.raises(InvalidIntent, match="is no cell"):
            grid.move(StillTurn("ada"), wrong)
    made = world_of(grid, ada=(0, 0))
    (event,) = made.commit([Intent("ada", "grid.move", {"to": (9, 9)})], resolver=Movement(grid))
    assert (event.kind, event.agent) == ("refused", "ada")
    assert "(9, 9) is outside" in event.reason


def test_two_agents_want_one_cell_and_the_seed_decides() -> None:
    grid = Grid(5, 5)
    winners: set[str] = set()
    for seed in range(10):
        made = world_of(grid, ada=(0, 0), ben=(2, 0))
        events = made.commit(moves(grid, ada=(1, 0), ben=(1, 0)), resolver=Movement(grid), seed=seed)
        assert sorted(event.kind for event in events) == ["granted", "refused"]
        assert next(event.reason for event in events if event.kind == "refused").startswith("grid/in/1,0 is full: ")
        winners.update(grid.agents_at(made.view(), (1, 0)))
    assert winners == {"ada", "ben"}


def test_a_cell_that_is_left_can_be_entered_in_the_same_commit_also_along_a_chain() -> None:
    grid = Grid(5, 1)
    for seed in range(6):
        made = world_of(grid, ada=(0, 0), ben=(1, 0), cleo=(2, 0))
        made.commit(moves(grid, ada=(1, 0), ben=(2, 0), cleo=(3, 0)), resolver=Movement(grid), seed=seed)
        assert grid.agents(made.view()) == {"ada": (1, 0), "ben": (2, 0), "cleo": (3, 0)}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), capacity=st.sampled_from([1, 2, None]))
def test_positions_and_cells_always_agree_and_no_cell_is_too_full(seed: int, capacity: int | None) -> None:
    random = Random(seed)
    grid = Grid(4, 4, torus=True, capacity=capacity)
    names = [f"a{number}" for number in range(9)]
    made = World(grid.placed(dict(zip(names, random.sample(grid.cells, 9), strict=True))))
    for _ in range(3):
        intents = []
        for name in names:
            turn = StillTurn(name)
            for _ in range(random.randrange(3)):
                grid.move(turn, random.choice(grid.cells))
            if random.random() < 0.1:
                grid.remove(turn, random.choice(names))
            intents += turn.intents
        made.commit(intents, resolver=Movement(grid))
        view = made.view()
        inside = {key.removeprefix("grid/in/"): names for key, names in view.items() if key.startswith("grid/in/")}
        at = grid.agents(view)
        assert sorted(name for there in inside.values() for name in there) == sorted(at)
        for name, (x, y) in at.items():
            assert name in inside[f"{x},{y}"]
        assert all(there and (capacity is None or len(there) <= capacity) for there in inside.values())


def test_an_agent_that_removes_itself_twice_is_refused_the_second_time() -> None:
    grid = Grid(3, 3)
    made = World({**grid.placed({"ada": (0, 0)}), "coins/ada": 3})
    turn = StillTurn("ada")
    grid.remove(turn, keys=["coins/ada"])
    grid.remove(turn)
    events = made.commit(turn.intents, resolver=Movement(grid))
    assert [(event.kind, event.reason) for event in events] == [("granted", ""), ("refused", "ada is not in grid")]
    assert dict(made.view()) == {}


def test_a_birth_is_granted_or_refused_as_a_whole() -> None:
    grid = Grid(2, 1)
    made = world_of(grid, ada=(0, 0))
    first, second, third = StillTurn("ada"), StillTurn("ada"), StillTurn("ada")
    grid.bear(first, "child", (1, 0), {"coins/child": 1})
    grid.bear(second, "other", (1, 0), {"coins/other": 1})
    assert [event.kind for event in made.commit(first.intents, resolver=Movement(grid))] == ["granted"]
    (event,) = made.commit(second.intents, resolver=Movement(grid))
    assert (event.kind, event.reason) == ("refused", "grid/in/1,0 is full: child is there")
    assert dict(made.view().under("coins/")) == {"child": 1}
    grid.bear(third, "child", (1, 0))
    (event,) = made.commit(third.intents, resolver=Movement(grid))
    assert event.reason == "child is in grid already"


def test_only_a_movement_changes_the_keys_of_a_space() -> None:
    grid = Grid(3, 3)
    made = World({**grid.placed({"ada": (0, 0)}), "n": 0})
    intents = [
        Intent("ada", "set", {"key": "grid/at/ada", "value": (1, 1)}),
        Intent("ada", "add", {"key": "n", "amount": 1}, index=1),
        *moves(grid, ben=(1, 1)),
    ]
    events = made.commit(intents, resolver=Movement(grid, otherwise=resolvers.Lottery()))
    assert {event.action: (event.kind, event.reason) for event in events} == {
        "set": ("refused", "grid/at/ada is changed by grid.move, .born and .die only"),
        "add": ("granted", ""),
        "grid.move": ("refused", "ben is not in grid"),
    }
    with pytest.raises(InvalidSetting, match="at least one space"):
        Movement()
    with pytest.raises(InvalidSetting, match="different names"):
        Movement(grid, Grid(2, 2))


def test_neighbours_take_time_for_the_cells_around_and_not_for_all() -> None:
    reads = 0

    class Counted(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            nonlocal reads
            reads += 1
            return super().get(key, default)

    counts = []
    for size in (10, 100):
        grid = Grid(size, size)
        view = Counted(grid.placed({f"{x}.{y}": (x, y) for x, y in grid.cells}))
        reads = 0
        assert len(grid.neighbours(view, "5.5")) == 8
        counts.append(reads)
    assert counts[0] == counts[1] == 10


def test_a_network_takes_graphs_of_networkx_and_mappings() -> None:
    network = Network(nx.cycle_graph(6))
    made = world_of(network, ada=0, ben=1, cleo=2, dora=0)
    view = made.view()
    assert network.neighbours(view, "ada") == ("dora", "ben")
    assert set(network.neighbours(view, "ada", 2)) == {"dora", "ben", "cleo"}
    assert network.near(0, 2) == (1, 5, 2, 4)
    assert network.distance(0, 3) == 3
    made.commit(moves(network, ada=3), resolver=Movement(network))
    assert network.position(made.view(), "ada") == 3
    friends = Network({"ada": ["ben"], "ben": [], "cleo": []}, capacity=1)
    assert (friends.near("ada"), friends.near("ben")) == (("ben",), ())
    assert friends.distance("ben", "ada") == math.inf
    with pytest.raises(InvalidIntent, match="'zoe' is no node of network"):
        friends.move(StillTurn("ada"), "zoe")
    with pytest.raises(InvalidSetting, match="a node that the graph has"):
        Network({"ada": ["zoe"]})
    with pytest.raises(InvalidSetting, match="nodes that are text or whole numbers"):
        Network({(0, 0): []})


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), torus=st.booleans(), radius=st.sampled_from([0.0, 0.7, 2.0, 11.0]))
def test_a_plane_finds_the_agents_within_a_radius(seed: int, torus: bool, radius: float) -> None:
    random = Random(seed)
    plane = Plane(10, 7, tile=1.3, torus=torus)
    points = {f"a{number}": (random.uniform(0, 10), random.uniform(0, 7)) for number in range(40)}
    view = world_of(plane, **points).view()
    near = {name for name, point in points.items() if name != "a0" and plane.distance(points["a0"], point) <= radius}
    assert set(plane.neighbours(view, "a0", radius)) == near


def test_a_plane_wraps_or_refuses_points_beyond_its_border() -> None:
    assert Plane(10, 10, torus=True).checked((-1, 21)) == (9.0, 1.0)
    assert Plane(10, 10, torus=True).checked((-1e-20, 0))[0] < 10
    assert Plane(10, 10, torus=True).direction((9, 5), (1, 5)) == (2.0, 0.0)
    for wrong in ((11, 0), (math.nan, 0), ("1", 0), (1, 2, 3)):
        with pytest.raises(InvalidIntent, match="of ada in plane"):
            Plane(10, 10).move(StillTurn("ada"), wrong)


@pytest.mark.parametrize(
    "space", [Grid(4, 3), Grid(4, 4, neighbourhood="hexagonal"), Network({"a": ["b"], "b": []}), Plane(3, 3)], ids=repr
)
def test_a_space_is_drawn(space: Space) -> None:
    where: dict[str, Any] = {"ada": (1, 1), "<ben>": (2, 2)}
    if isinstance(space, Network):
        where = {"ada": "a", "<ben>": "b"}
    picture = space.plot(world_of(space, **where).view(), {"ada": "well", "<ben>": "ill"}.get)
    assert picture.startswith("<svg")
    assert picture.count("<circle") == 4
    assert "&lt;ben&gt;: ill" in picture


def test_agents_walk_on_a_grid_in_rounds_with_one_digest() -> None:
    grid = Grid(6, 6, torus=True)

    def walk(turn: Turn) -> None:
        at = grid.position(turn.view, turn.name)
        free = [cell for cell in grid.near(at) if grid.is_free(turn.view, cell)]
        if free:
            grid.move(turn, turn.random.choice(free))

    names = {f"w{number}": (number % 6, number // 6) for number in range(12)}

    def run(mode: str) -> Any:
        world = World(grid.placed(names))
        return Simulation(world, list(names), Graph.chain(walk), mode=mode, seed=5, resolver=Movement(grid)).run(8)

    result = run("lockstep")
    assert result.digest == run("sync-points").digest
    assert len(set(grid.agents(result.view).values())) == 12
    assert len(grid.empty(result.view)) == 24
    empty = {grid.random_empty(result.view, Random(seed)) for seed in range(200)}
    assert empty <= set(grid.empty(result.view))
    assert len(empty) > 20


def test_a_move_without_a_movement_says_how_to_give_one() -> None:
    grid = Grid(3, 3)

    def walk(turn: Turn) -> None:
        grid.move(turn, (2, 2))

    world = World(grid.placed({"ada": (0, 0)}))
    Simulation(world, ["ada"], Graph.chain(walk)).run(1)
    refused = next(event for event in world.history() if event.kind == "refused")
    assert "no such action: grid.move" in refused.reason
    assert "resolver=Movement(grid)" in refused.reason
