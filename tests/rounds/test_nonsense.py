"""What makes no sense is said where it is said, and to whoever said it: the others go on."""

from __future__ import annotations

import logging
import math
import threading
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from coterie.concurrency import start_thread
from coterie.errors import InvalidGraph, InvalidSetting, InvalidValue, StageFailed, TurnForfeited, UnknownAgent, UpdateRefused
from coterie.rounds import Change, Closing, Edge, Gathering, Graph, Mode, Simulation, Turn, per_agent, together
from coterie.testing import ManualClock, eventually
from coterie.world import EventLog, Intent, World, resolvers
from coterie.world.resolvers import Effects, FirstCome

WRONG: Any = 5
FIRST = FirstCome()


def add(turn: Turn) -> None:
    turn.intend("add", key="n", amount=1)


def only_ada(wrong: Any) -> Any:
    def stage(turn: Turn) -> None:
        turn.intend("add", key="n", amount=1)
        if turn.name == "ada":
            wrong(turn)

    return per_agent(stage)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    "wrong",
    [
        lambda turn: turn.intend(WRONG),
        lambda turn: turn.intend("add", priority="high"),
        lambda turn: turn.intend("add", priority=math.nan),
        lambda turn: turn.intend("add", key="\ud800"),
        lambda turn: turn.propose(WRONG),
        lambda turn: turn.propose("quota", most=object()),
    ],
)
def test_an_invalid_intent_forfeits_the_turn_of_its_agent_only(mode: Mode, wrong: Any, tmp_path: Path) -> None:
    with World({"n": 0}, log=EventLog(tmp_path / "run.db")) as world:
        result = Simulation(world, ["ada", "ben"], Graph.chain(only_ada(wrong)), mode=mode).run(2)
        assert (result.rounds, result.forfeits, result.view["n"]) == (2, 2, 2)
        assert World.replay(world.log).digest() == result.digest  # type: ignore[arg-type] # it has one


def test_nothing_can_be_wanted_once_a_turn_has_ended() -> None:
    kept: list[Turn] = []
    graph = Graph([add, per_agent(kept.append)], [Edge("add", "append")])
    assert Simulation(World({"n": 0}), ["ada"], graph).run(1).view["n"] == 1
    with pytest.raises(TurnForfeited, match="it has ended"):
        add(kept[0])
    late = Graph([add], [Edge("add", "add", when=add)])  # type: ignore[arg-type] # the point of the test
    assert Simulation(World({"n": 0}), ["ada"], late, on_error="forfeit").run(1).forfeits == 1


@pytest.mark.parametrize(
    "judge",
    [
        lambda gathering: gathering.accept(gathering.proposals[0], WRONG),
        lambda gathering: gathering.accept(gathering.proposals[0], "\ud800"),
        lambda gathering: gathering.reject(gathering.proposals[0], ""),
        lambda gathering: gathering.propose("quota", most=1),
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_an_invalid_verdict_is_one_clear_error(mode: Mode, judge: Any) -> None:
    def propose(turn: Turn) -> None:
        turn.propose("quota", most=1)

    def judged(gathering: Gathering) -> None:
        judge(gathering)

    graph = Graph.chain(propose, together(judged))
    with pytest.raises(StageFailed, match="judged of round 1 failed: Invalid"):
        Simulation(World(), ["ada"], graph, mode=mode, mechanisms={"quota": lambda resolver, _: resolver}).run(1)


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        (lambda number, view: 1 / 0, StageFailed, "membership of round 1 failed: it raised ZeroDivisionError"),
        (lambda number, view: ["ada"], StageFailed, "return Change"),
        (lambda number, view: Change(join="ada"), StageFailed, "lists of names"),  # type: ignore[arg-type] # the point
        (lambda number, view: Change(leave=("zed",)), UnknownAgent, "zed"),
    ],
)
def test_an_invalid_membership_is_named(change: Any, error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=problem):
        Simulation(World({"n": 0}), ["ada"], Graph.chain(add), membership=change).run(1)


@pytest.mark.parametrize(
    "settle",
    [
        lambda closing: closing.set("k", 1, ttl=math.nan),
        lambda closing: closing.set("k", 1, ttl=-1),
        lambda closing: closing.stop(WRONG),
        lambda closing: closing.stop(""),
    ],
)
def test_an_invalid_closing_is_named(settle: Any) -> None:
    with pytest.raises(InvalidSetting, match="Closing"):
        Simulation(World({"n": 0}), ["ada"], Graph.chain(add), settle=settle).run(1)


def test_invariants_of_the_world_bind_settle_too() -> None:
    world = World({"n": 0})
    world.validate(lambda before, after: "full" if after.get("k") else None)

    def settle(closing: Closing) -> None:
        closing.set("k", 1)

    with pytest.raises(UpdateRefused, match="full"):
        Simulation(world, ["ada"], Graph.chain(add), settle=settle).run(1)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Graph(WRONG), "the stages are 5"),
        (lambda: Graph([add], WRONG), "the edges are 5"),
        (lambda: Graph([add], [WRONG]), "5 is not an edge"),
        (lambda: Graph(["a"], [("a", "a")]), "write Edge"),  # type: ignore[list-item] # the point of the test
        (lambda: Graph(["a"], [Edge(WRONG, "a")]), "as text"),
        (lambda: Graph(["a"], [Edge("a", "a", when=WRONG)]), "give a function of a turn"),
        (lambda: Graph([""]), "not empty"),
    ],
)
def test_a_value_that_is_not_a_graph_is_named(make: Any, problem: str) -> None:
    with pytest.raises(InvalidGraph, match=problem):
        make()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"mechanisms": {"quota": WRONG}}, "mechanisms"),
        ({"mechanisms": WRONG}, "mechanisms"),
        ({"members": WRONG}, "members"),
        ({"dispatcher": WRONG}, "dispatcher"),
        ({"keep": {"memory": WRONG}}, "snapshot and restore"),
        ({"keep": WRONG}, "keep"),
        ({"agents": ["ada", "ada"]}, "each name once"),
        ({"graph": Graph.chain("fish")}, "an object with the method 'fish'"),
    ],
)
def test_an_invalid_setting_is_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSetting, match=problem):
        Simulation(World(), **{"agents": ["ada"], "graph": Graph.chain(add), **options})


@pytest.mark.parametrize(
    "call",
    [
        lambda simulation: simulation.leave("zed"),
        lambda simulation: simulation.stop(WRONG),
        lambda simulation: simulation.stop(""),
        lambda simulation: simulation.replay(WRONG),
        lambda simulation: simulation.run(1, WRONG),
    ],
)
def test_an_invalid_call_is_named(call: Any) -> None:
    with pytest.raises(InvalidSetting):
        call(Simulation(World(), ["ada"], Graph.chain(add)))


def test_an_agent_without_the_method_of_a_stage_is_reported() -> None:
    world = World()
    with pytest.raises(StageFailed, match="has no method 'fish'"):
        Simulation(world, {"ada": object()}, Graph.chain("fish")).run(1)
    Simulation(world, {"ada": object()}, Graph.chain("fish"), on_error="forfeit").run(1)
    assert "has no method 'fish'" in next(event.reason for event in world.history() if event.kind == "forfeited")


@pytest.mark.parametrize("where", ["condition", "settle", "membership", "resolver"])
def test_user_code_that_never_returns_between_turns_is_named_with_its_stack(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, inside, over = ManualClock(), threading.Event(), threading.Event()

    def stuck(*_: Any) -> Any:
        inside.set()
        over.wait(20)
        return [] if where == "resolver" else None

    graph = Graph([add], [Edge("add", "add", when=stuck)]) if where == "condition" else Graph.chain(add)
    options: dict[str, Any] = {} if where == "condition" else {where: stuck}
    world = World({"n": 0}, clock=clock)
    if where == "resolver":
        options = {"resolver": lambda view, intents, random: (stuck(), FIRST(view, intents, random))[1]}
    simulation = Simulation(world, ["ada"], graph, turn_timeout=10, **options)
    caplog.set_level(logging.ERROR, "coterie")
    thread = start_thread(lambda: simulation.run(1), "simulation")
    assert inside.wait(10)
    eventually(lambda: (clock.advance(5), "has not returned after" in caplog.text)[1])
    assert "in stuck" in caplog.text
    over.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "value", [{1}, object(), float("nan"), date(2026, 1, 1), Decimal(1), 1j], ids=lambda value: type(value).__name__
)
def test_values_that_are_not_plain_data_are_refused_at_the_line_of_settle_that_gives_them(value: Any) -> None:
    def settle(closing: Closing) -> None:
        with pytest.raises(InvalidValue, match="'k'"):
            closing.set("k", value)
        with pytest.raises(InvalidValue, match="'k'"):
            closing.tell(k=value)
        with pytest.raises(InvalidValue):
            closing.set("", 1)
        closing.set("done", [1])

    assert dict(Simulation(World(), ["a"], Graph.chain(lambda turn: None), settle=settle).run(1).view) == {"done": (1,)}


def test_scalars_of_numpy_are_plain_data_wherever_a_number_is() -> None:
    numpy = pytest.importorskip("numpy")

    def act(turn: Turn) -> Any:
        turn.intend("set", key="set", value={"a": [numpy.float32(1.5), numpy.bool_(True)]}, priority=numpy.int64(3))
        turn.intend("add", key="add", amount=numpy.int64(2))
        turn.intend("pay")
        return numpy.int16(7)

    def pay(view: Any, intent: Intent) -> Effects:
        return Effects(sets={"paid": numpy.float64(0.5)}, adds={"sum": numpy.int64(4)})

    def check(turn: Turn) -> None:
        turn.intend("set", key="input", value=turn.inputs["act"])

    def settle(closing: Closing) -> None:
        closing.set("closing", numpy.uint8(9))

    world = World()
    resolver = resolvers.FirstCome({"pay": pay})
    view = Simulation(world, ["a"], Graph.chain(act, check), resolver=resolver, settle=settle).run(1).view
    assert dict(view) == {"add": 2, "closing": 9, "input": 7, "paid": 0.5, "set": {"a": (1.5, True)}, "sum": 4}
    assert all(type(each) in (int, float) for key, each in view.items() if key != "set")
