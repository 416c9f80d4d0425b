import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coterie import AgentRef, HandlerFailed, Runtime
from coterie.errors import InvalidSetting
from coterie.errors.orchestrator import ComponentDown, MalformedRequest, UnknownComponent
from coterie.memory import MemoryConfig, TieredMemory
from coterie.orchestrator.components import (
    Component,
    ComponentReply,
    ComponentRequest,
    Components,
    ComponentState,
    ComponentStatus,
    GetStatus,
    Orchestrator,
    WorldFeedback,
    action_component,
    environment_component,
    memory_component,
    processing_component,
)
from coterie.runtime import AgentState
from coterie.testing import ManualClock, eventually
from coterie.work import ActionSystem, ProcessingEngine
from coterie.world import Intent, World, resolvers


class Fragile:
    """A component that a test breaks and mends."""

    def __init__(self, *, mendable: bool = True) -> None:
        self.broken = False
        self.mendable = mendable
        self.hold = threading.Event()

    def check(self) -> bool:
        return not self.broken

    def restart(self) -> None:
        if not self.mendable:
            raise OSError("beyond repair")
        self.broken = False

    def wait(self) -> bool:
        return self.hold.wait(30)

    def component(self, name: str = "environment") -> Component:
        return Component(name, {"wait": self.wait, "divide": lambda a, b=1: a // b}, self.check, self.restart)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def runtime(clock: ManualClock) -> Iterator[Runtime]:
    with Runtime(clock=clock) as runtime:
        yield runtime


def sum_of(numbers: list[int]) -> int:
    return sum(numbers)


def start(runtime: Runtime, *components: Component, **options: Any) -> AgentRef:
    runtime.provide(Components(components))
    return runtime.spawn(Orchestrator, **options)


def ask(orchestrator: AgentRef, component: str, operation: str, **arguments: Any) -> ComponentReply:
    return orchestrator.ask(ComponentRequest(component, operation, arguments), timeout=None).result(10)


def status(orchestrator: AgentRef, name: str = "environment") -> ComponentStatus:
    return orchestrator.ask(GetStatus()).result(10)[name]


def test_requests_reach_memory_processing_action_and_environment(runtime: Runtime) -> None:
    with (
        TieredMemory(MemoryConfig()) as memory,
        ProcessingEngine() as engine,
        ActionSystem() as system,
    ):
        orchestrator = start(
            runtime,
            memory_component(memory),
            processing_component(engine, {"sum": sum_of}, priority="high"),
            action_component(system, {"greet": lambda name: f"hello {name}"}),
            Fragile().component(),
        )
        ask(orchestrator, "memory", "store", key="alice/goal", value="work")
        assert ask(orchestrator, "memory", "get", key="alice/goal").value == "work"
        assert ask(orchestrator, "processing", "sum", numbers=[1, 2, 3]).value == 6
        assert ask(orchestrator, "action", "greet", name="Ada").value == "hello Ada"
        assert ask(orchestrator, "environment", "divide", a=7, b=2).value == 3
        eventually(lambda: status(orchestrator, "processing").state is ComponentState.HEALTHY)
        assert status(orchestrator, "memory").requests == 2
        assert status(orchestrator, "environment").operations == ("divide", "wait")


def test_a_reply_carries_the_correlation_of_its_request(runtime: Runtime) -> None:
    orchestrator = start(runtime, Fragile().component())
    request = ComponentRequest("environment", "divide", {"a": 4}, correlation="mine")
    reply = orchestrator.ask(request).result(10)
    assert (reply.correlation, reply.component, reply.operation, reply.value) == ("mine", "environment", "divide", 4)
    first, second = (ask(orchestrator, "environment", "divide", a=1).correlation for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        (ComponentRequest("moon", "shine"), UnknownComponent, "no component 'moon', only environment"),
        (ComponentRequest("environment", "shine"), MalformedRequest, "no operation 'shine', only divide, wait"),
        (ComponentRequest("environment", "divide"), MalformedRequest, "missing a required argument: 'a'"),
        (ComponentRequest("environment", "divide", {"c": 1}), MalformedRequest, "divide"),
        (ComponentRequest("environment", "divide", [1]), MalformedRequest, "must be a mapping"),  # type: ignore[arg-type]
        (ComponentRequest("environment", "divide", {"a": 1, "b": 0}), ZeroDivisionError, "zero"),
        (ComponentRequest(None, "divide"), UnknownComponent, "None"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_request_is_a_clear_error_of_the_asker_alone(
    runtime: Runtime, request_: ComponentRequest, kind: type[Exception], words: str
) -> None:
    orchestrator = start(runtime, Fragile().component())
    with pytest.raises(HandlerFailed) as caught:
        orchestrator.ask(request_).result(10)
    assert isinstance(caught.value.__cause__, kind)
    assert words in str(caught.value.__cause__)
    assert ask(orchestrator, "environment", "divide", a=1).value == 1
    assert runtime.health()[orchestrator.name].restarts == 0


def test_a_component_that_fails_its_check_is_restarted(runtime: Runtime, clock: ManualClock) -> None:
    fragile = Fragile()
    orchestrator = start(runtime, fragile.component(), check_every=5.0)
    eventually(lambda: status(orchestrator).state is ComponentState.HEALTHY)
    fragile.broken = True
    clock.advance(5.0)
    eventually(lambda: status(orchestrator).restarts == 1)
    eventually(lambda: status(orchestrator).state is ComponentState.HEALTHY)


def test_a_component_that_cannot_be_restarted_is_down_until_it_is_well_again(runtime: Runtime, clock: ManualClock) -> None:
    fragile = Fragile(mendable=False)
    orchestrator = start(runtime, fragile.component(), check_every=5.0)
    fragile.broken = True
    clock.advance(5.0)
    eventually(lambda: status(orchestrator).state is ComponentState.DOWN)
    with pytest.raises(HandlerFailed, match="beyond repair") as caught:
        ask(orchestrator, "environment", "divide", a=1)
    assert isinstance(caught.value.__cause__, ComponentDown)
    fragile.broken = False
    eventually(lambda: (clock.advance(5.0), status(orchestrator).state)[1] is ComponentState.HEALTHY)
    assert ask(orchestrator, "environment", "divide", a=1).value == 1


def test_a_check_that_does_not_answer_delays_no_other(runtime: Runtime, clock: ManualClock) -> None:
    fragile = Fragile()
    stuck = Component("stuck", {}, check=fragile.wait)
    orchestrator = start(runtime, stuck, Fragile().component(), check_timeout=2.0)
    assert ask(orchestrator, "environment", "divide", a=1).value == 1
    eventually(lambda: (clock.advance(2.0), status(orchestrator, "stuck").state)[1] is ComponentState.DOWN)
    assert "no answer within 2 s" in status(orchestrator, "stuck").last_error
    fragile.hold.set()


def test_there_are_more_routers_when_more_is_asked_and_fewer_afterwards(runtime: Runtime, clock: ManualClock) -> None:
    fragile = Fragile()
    orchestrator = start(runtime, fragile.component(), per_router=2, most_routers=3, check_every=1.0)

    def routers() -> int:
        return sum(health.state is not AgentState.STOPPED for name, health in runtime.health().items() if "router" in name)

    replies = [orchestrator.ask(ComponentRequest("environment", "wait"), timeout=None) for _ in range(12)]
    eventually(lambda: status(orchestrator).in_hand == 12)
    assert routers() == 3
    fragile.hold.set()
    assert all(reply.result(10).value for reply in replies)
    eventually(lambda: (clock.advance(1.0), routers())[1] == 1)
    assert status(orchestrator).in_hand == 0


def test_an_ask_that_times_out_is_no_longer_being_handled(runtime: Runtime, clock: ManualClock) -> None:
    fragile = Fragile()
    orchestrator = start(runtime, fragile.component())
    reply = orchestrator.ask(ComponentRequest("environment", "wait"), timeout=3.0)
    eventually(lambda: status(orchestrator).in_hand == 1)
    clock.advance(3.0)
    with pytest.raises(TimeoutError):
        reply.result(10)
    eventually(lambda: status(orchestrator).in_hand == 0)
    fragile.hold.set()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Component("", {}),
        lambda: Component("a", {"b": 3}),  # type: ignore[dict-item]
        lambda: Component("a", [1]),  # type: ignore[arg-type]
        lambda: Components([Component("a", {}), Component("a", {})]),
        lambda: Components([3]),  # type: ignore[list-item]
        lambda: Orchestrator(per_router=0),
    ],
)
def test_invalid_values_are_refused_at_the_call_that_receives_them(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidSetting):
        make()


def test_it_can_be_asked_from_an_event_loop(runtime: Runtime) -> None:
    orchestrator = start(runtime, Fragile().component())

    async def main() -> list[ComponentReply]:
        asks = [orchestrator.ask(ComponentRequest("environment", "divide", {"a": n})) for n in range(50)]
        return [await reply for reply in asks]

    assert [reply.value for reply in asyncio.run(main())] == list(range(50))


def test_the_environment_is_a_world_that_is_read_and_takes_intents(runtime: Runtime) -> None:
    with World({"lake": 10}) as world, ActionSystem(apply=WorldFeedback(world)) as system:
        orchestrator = start(runtime, environment_component(world, system))
        assert ask(orchestrator, "environment", "read", key="lake").value == 10
        taken = ask(
            orchestrator, "environment", "intend", agent="ada", action="move",
            arguments={"source": "lake", "target": "ada/fish", "amount": 8}, priority="high",
        ).value  # fmt: skip
        assert [(event["kind"], event["changes"]) for event in taken] == [("granted", {"lake": 2, "ada/fish": 8})]
        more = {"source": "lake", "target": "bob/fish", "amount": 8}
        refused = ask(orchestrator, "environment", "intend", agent="bob", action="move", arguments=more).value
        assert [event["kind"] for event in refused] == ["refused"]
        assert refused[0]["reason"]
        assert ask(orchestrator, "environment", "view", prefix="ada/").value == {"fish": 8}
        assert [event.sequence for event in world.history(2)] == [taken[0]["sequence"], refused[0]["sequence"]]


def test_results_of_actions_are_committed_if_they_are_intents() -> None:
    catch = {"key": "lake", "amount": 6}
    with (
        World({"lake": 10}) as world,
        ActionSystem(apply=WorldFeedback(world, resolvers.Rationing("lake"), seed=7)) as system,
    ):
        both = [Intent("ada", "take", catch), Intent("bob", "take", catch)]
        for what in (list, both, 7, [], [1, 2]):
            system.submit(lambda value=what: value).result(10)
        assert world.view().get("lake") == 0
        assert world.sequence == 3
        system.submit(Intent, "cyd", "add", {"key": "lake", "amount": 1}).result(10)
        assert world.view().get("lake") == 1


def test_a_component_that_was_stopped_is_down(runtime: Runtime, clock: ManualClock) -> None:
    world, engine, system = World(), ProcessingEngine(), ActionSystem()
    orchestrator = start(
        runtime,
        processing_component(engine, {"sum": sum_of}),
        action_component(system, {"sum": sum_of}),
        environment_component(world, system),
        check_every=1.0,
    )
    names = ("processing", "action", "environment")
    eventually(lambda: {status(orchestrator, name).state for name in names} == {ComponentState.HEALTHY})
    world.close()
    engine.stop()
    system.stop()
    clock.advance(1.0)
    eventually(lambda: {status(orchestrator, name).state for name in names} == {ComponentState.DOWN})
    assert "stopped" in status(orchestrator, "action").last_error


def test_the_memory_component_works_over_a_database(runtime: Runtime, tmp_path: Path) -> None:
    path = str(tmp_path / "memory.db")
    with TieredMemory(MemoryConfig(path=path)) as memory:
        orchestrator = start(runtime, memory_component(memory))
        ask(orchestrator, "memory", "store", key="alice/goal", value={"text": "find work"}, durable=True)
        assert ask(orchestrator, "memory", "get", key="alice/goal").value == {"text": "find work"}
        ask(orchestrator, "memory", "store", key="bob/goal", value={"text": "rest"}, durable=True)
        ask(orchestrator, "memory", "delete", key="bob/goal")
    with TieredMemory(MemoryConfig(path=path)) as again:
        assert again.get("alice/goal") == {"text": "find work"}
        assert again.get("bob/goal") is None
