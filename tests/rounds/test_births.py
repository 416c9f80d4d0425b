"""Agents that are born and die in a round, and selections of agents over a view."""

from pathlib import Path
from typing import Any

import pytest

from coterie.errors import InvalidSetting, StageFailed
from coterie.rounds import AgentGroup, Graph, Selection, Simulation, Turn, commit
from coterie.world import EventLog, World
from coterie.world.spaces import Grid, Movement


def live(turn: Turn) -> None:
    """A rabbit ages, has a child at the age of two, and dies at three."""
    age = turn.view[f"age/{turn.name}"]
    if age == 2:
        child = turn.newborn("rabbit")
        turn.bear("rabbit", {f"age/{child}": 0})
    if age == 3:
        turn.die(keys=[f"age/{turn.name}"])
    else:
        turn.intend("add", key=f"age/{turn.name}", amount=1)


FIRST = {"rabbit-a": 0, "rabbit-b": 1}


def rabbits(world: World | None = None, **options: Any) -> Simulation:
    made = world if world is not None else World({f"age/{name}": age for name, age in FIRST.items()})
    return Simulation(made, list(FIRST), Graph.chain(live), seed=2, **options)


@pytest.mark.parametrize("mode", ["lockstep", "sync-points", "pipelines", "tokens"])
def test_agents_are_born_and_die(mode: str) -> None:
    counts: list[int] = []
    result = rabbits(mode=mode, max_lead=0).run(9, lambda each: counts.append(len(each.view)))
    assert counts == [2, 3, 3, 2, 3, 3, 2, 3, 3]
    assert not FIRST.keys() & {key.removeprefix("age/") for key in result.view}
    assert result.errors == result.forfeits == 0
    assert {key.split("-")[0] for key in result.view} == {"age/rabbit"}
    if mode != "tokens":
        assert result.digest == rabbits(mode="lockstep").run(9).digest


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
def test_a_run_with_births_is_resumed_and_replayed(rounds: int, tmp_path: Path) -> None:
    whole = rabbits().run(9).digests
    with World({f"age/{name}": age for name, age in FIRST.items()}, log=EventLog(tmp_path / "run.db")) as world:
        rabbits(world).run(rounds)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        assert rabbits(world).resume(9).digests == whole
        assert world.log is not None
        assert rabbits(World()).replay(world.log).digests == whole


class Cell:
    """An agent with a method and a state."""

    def __init__(self, size: int = 1) -> None:
        self.size = size

    def grow(self, turn: Turn) -> None:
        self.size += 1
        turn.intend("set", key=f"size/{turn.name}", value=self.size)
        if self.size == 3:
            turn.bear("cell")

    def snapshot(self) -> int:
        return self.size

    def restore(self, state: int) -> None:
        self.size = state


def test_a_newborn_object_comes_from_a_function_and_is_kept_in_checkpoints(tmp_path: Path) -> None:
    def made(world: World) -> Simulation:
        return Simulation(world, {"cell-1": Cell()}, Graph.chain("grow"), born=lambda _: Cell(0))

    whole = made(World()).run(8)
    assert len(whole.view) == 3
    with World(log=EventLog(tmp_path / "run.db")) as world:
        made(world).run(5)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        assert made(world).resume(8).digest == whole.digest
    with pytest.raises(InvalidSetting, match=r"Simulation\.born.*because stages are methods: born=lambda name"):
        Simulation(World(), {"cell-1": Cell()}, Graph.chain("grow")).run(4)


def test_who_dies_does_no_further_stage_of_the_round() -> None:
    def hunt(turn: Turn) -> None:
        if turn.name == "wolf" and "alive/sheep-1" in turn.view:
            turn.die("sheep-1", keys=["alive/sheep-1"])

    def bleat(turn: Turn) -> None:
        turn.intend("add", key=f"bleats/{turn.name}", amount=1)

    names = ["sheep-1", "sheep-2", "wolf"]
    together = Simulation(World({"alive/sheep-1": 1}), names, Graph.chain(hunt, commit, bleat)).run(2)
    assert dict(together.view) == {"bleats/sheep-2": 2, "bleats/wolf": 2}

    def act(turn: Turn) -> None:
        hunt(turn)
        bleat(turn)

    order = ["a-wolf", "sheep-1", "sheep-2"]
    by_name = Simulation(World(), order, Graph.chain(lambda turn: act(turn) if turn.name != "a-wolf" else turn.die("sheep-1")))
    assert "bleats/sheep-1" in by_name.run(1).view
    one_by_one = Simulation(
        World(),
        order,
        Graph.chain(lambda turn: act(turn) if turn.name != "a-wolf" else turn.die("sheep-1")),
        activation="by-name",
    )
    assert "bleats/sheep-1" not in one_by_one.run(1).view


def test_a_second_death_in_a_turn_and_a_wrong_name_are_errors_with_round_and_agent(caplog: pytest.LogCaptureFixture) -> None:
    def twice(turn: Turn) -> None:
        if turn.name == "a":
            turn.die()
            turn.die()

    result = Simulation(World(), ["a", "b"], Graph.chain(twice)).run(2)
    assert result.forfeits == 2
    assert "the death of a in twice of round 1" in caplog.text

    def wrong(turn: Turn) -> None:
        if turn.name == "a":
            turn.bear(name="x/y")

    Simulation(World(), ["a", "b"], Graph.chain(wrong)).run(1)
    assert "the birth of 'x/y'" in caplog.text

    def unknown(turn: Turn) -> None:
        turn.die("c" if turn.name == "a" else "a")

    # The second one is of b, when a has died.
    assert Simulation(World(), ["a", "b"], Graph.chain(unknown)).run(2).forfeits == 2
    assert "no agent of this name takes part in the round" in caplog.text


def test_a_run_ends_when_all_have_died_and_a_birth_over_an_existing_key_is_refused() -> None:
    def perish(turn: Turn) -> None:
        turn.bear("ghost", {"there": 1})
        turn.die()

    world = World({"there": 0})
    Simulation(world, ["a"], Graph.chain(perish)).run(2)
    assert [event.reason for event in world.history() if event.action == "born"] == ["there is there already"]
    assert [event.kind for event in world.history() if event.kind in ("joined", "left")] == ["joined", "left"]


def test_children_are_born_into_a_grid() -> None:
    grid = Grid(3, 1)

    def split(turn: Turn) -> None:
        at = grid.position(turn.view, turn.name)
        free = [cell for cell in grid.near(at) if grid.is_free(turn.view, cell)]
        if free:
            child = turn.newborn("amoeba")
            grid.bear(turn, child, turn.random.choice(free), {f"coins/{child}": 1})
        else:
            grid.remove(turn)

    world = World(grid.placed({"amoeba-1": (1, 0)}))
    simulation = Simulation(world, ["amoeba-1"], Graph.chain(split), resolver=Movement(grid))
    populations: list[int] = []
    simulation.run(4, lambda result: populations.append(len(grid.agents(result.view))))
    assert populations[0] == 2
    assert set(populations) <= {1, 2, 3}


def test_selections_over_a_view_choose_by_type_condition_and_chance() -> None:
    seen: dict[str, Any] = {}

    def look(turn: Turn) -> None:
        if turn.name != "wolf-1":
            return
        everyone = turn.everyone
        sheep = everyone.of("sheep")
        seen.update(
            names=list(everyone),
            sheep=list(sheep),
            rich=list(everyone.where(lambda name: turn.view[f"coins/{name}"] > 2)),
            others=len(everyone.without(turn.name)),
            drawn=list(sheep.sample(2)),
            one=sheep.one(),
            coins=sheep.values("coins"),
            best=list(everyone.by(lambda name: turn.view[f"coins/{name}"], reverse=True)[:1]),
            groups={kind: len(names) for kind, names in everyone.groups(lambda name: name.split("-")[0]).items()},
            nobody=everyone.of("bear").one(),
            kind=type(sheep[:2]),
            shuffled=sorted(everyone.shuffled()),
        )

    names = ["sheep-1", "sheep-2", "sheep-3", "wolf-1"]
    world = World({f"coins/{name}": number for number, name in enumerate(names, 1)})
    Simulation(world, names, Graph.chain(look), seed=1).run(1)
    first = dict(seen)
    Simulation(World(dict(world.view())), names, Graph.chain(look), seed=1).run(1)
    assert seen == first
    assert first["names"] == first["shuffled"] == names
    assert first["sheep"] == names[:3]
    assert first["rich"] == ["sheep-3", "wolf-1"]
    assert first["others"] == 3
    assert len(set(first["drawn"])) == 2
    assert first["one"] in names
    assert first["coins"] == [1, 2, 3]
    assert first["best"] == ["wolf-1"]
    assert first["groups"] == {"sheep": 3, "wolf": 1}
    assert first["nobody"] is None
    assert first["kind"] is Selection


def test_objects_are_selected_by_their_class() -> None:
    class Wolf:
        def look(self, turn: Turn) -> None:
            turn.intend("set", key=turn.name, value=[list(turn.everyone.of(Wolf)), list(turn.everyone.of("Cell"))])

    class Quiet(Cell):
        def look(self, turn: Turn) -> None:
            pass

    result = Simulation(World(), {"a": Wolf(), "b": Cell(), "c": Quiet()}, Graph.chain("look"), on_error="forfeit").run(1)
    assert result.view["a"] == (("a",), ("b",))


def test_the_death_of_an_agent_of_a_group_is_an_error() -> None:
    def starve(turn: Turn) -> None:
        turn.die()

    with pytest.raises(StageFailed, match=r"the death of 'sheep-1' in starve of round 1 .* one of a group"):
        Simulation(World(), [AgentGroup("sheep", 3)], Graph.chain(starve)).run(1)
