"""Requests with a priority, a type and a time limit; responses by correlation; figures, checks and restarts of components."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from coterie import AgentRef, HandlerFailed, Runtime
from coterie.errors import TierUnavailable
from coterie.errors.orchestrator import ComponentTimeout, MalformedRequest, UnknownResponse
from coterie.memory import MemoryConfig, TieredMemory
from coterie.orchestrator import (
    Component,
    ComponentReply,
    ComponentRequest,
    Components,
    ComponentState,
    ComponentStatus,
    GetAgents,
    GetResponse,
    GetStatus,
    Orchestrator,
    current_request,
    environment_component,
    memory_component,
    processing_component,
)
from coterie.orchestrator.components import WorldFeedback
from coterie.testing import ManualClock, eventually
from coterie.work import ActionSystem, Bounds, ProcessingEngine, current_job
from coterie.world import World


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def runtime(clock: ManualClock) -> Iterator[Runtime]:
    with Runtime(clock=clock) as runtime:
        yield runtime


def start(runtime: Runtime, *components: Component, **options: Any) -> AgentRef:
    runtime.provide(Components(components))
    return runtime.spawn(Orchestrator, **options)


def ask(orchestrator: AgentRef, component: str, operation: str, options: dict[str, Any] | None = None, **arguments: Any) -> Any:
    request = ComponentRequest(component, operation, arguments, **(options or {}))
    return orchestrator.ask(request, timeout=None).result(10).value


def status(orchestrator: AgentRef, name: str) -> ComponentStatus:
    return orchestrator.ask(GetStatus()).result(10)[name]


def describe_job() -> tuple[str, str, float | None]:
    job = current_job()
    assert job is not None
    return job.type, job.priority, job.deadline


def test_a_request_has_its_own_priority_type_and_time_limit(runtime: Runtime, clock: ManualClock) -> None:
    bell = threading.Event()
    with ProcessingEngine() as engine:
        functions = {"describe": describe_job, "wait": lambda: bell.wait(20)}
        orchestrator = start(runtime, processing_component(engine, functions, type="planning"))
        assert ask(orchestrator, "processing", "describe") == ("planning", "normal", None)
        options = {"type": "learning", "priority": "critical", "timeout": 9.0}
        assert ask(orchestrator, "processing", "describe", options) == ("learning", "critical", 9.0)
        late = orchestrator.ask(ComponentRequest("processing", "wait", timeout=3.0), timeout=None)
        eventually(lambda: engine.metrics().totals.running == 1)
        clock.advance(3.0)
        with pytest.raises(HandlerFailed) as caught:
            late.result(10)
        assert isinstance(caught.value.__cause__, ComponentTimeout)
        bell.set()


@pytest.mark.parametrize("options", [{"type": "dreaming"}, {"priority": "asap"}, {"timeout": 0.0}, {"options": [1]}])
def test_options_that_make_no_sense_are_refused(runtime: Runtime, options: dict[str, Any]) -> None:
    orchestrator = start(runtime, Component("c", {"x": int}))
    with pytest.raises(HandlerFailed) as caught:
        ask(orchestrator, "c", "x", options)
    assert isinstance(caught.value.__cause__, MalformedRequest)


def test_a_response_can_be_picked_up_later_also_when_its_asker_has_left(runtime: Runtime, clock: ManualClock) -> None:
    bell = threading.Event()

    def fail() -> None:
        raise OSError("no")

    operations = {"wait": lambda: bell.wait(20), "fail": fail}
    orchestrator = start(runtime, Component("c", operations), keep_responses=2, keep_seconds=60.0)

    def pick_up(correlation: str) -> ComponentReply:
        return orchestrator.ask(GetResponse(correlation), timeout=None).result(10)

    left = orchestrator.ask(ComponentRequest("c", "wait", correlation="mine"), timeout=2.0)
    eventually(lambda: status(orchestrator, "c").in_hand == 1)
    clock.advance(2.0)
    with pytest.raises(TimeoutError):
        left.result(10)
    early = orchestrator.ask(GetResponse("mine"), timeout=None)
    bell.set()
    assert early.result(10).value is True
    assert (pick_up("mine").correlation, pick_up("mine").value) == ("mine", True)
    orchestrator.tell(ComponentRequest("c", "fail", correlation="told"))
    eventually(lambda: status(orchestrator, "c").failed == 1)
    with pytest.raises(HandlerFailed) as caught:
        pick_up("told")
    assert isinstance(caught.value.__cause__, OSError)
    clock.advance(61.0)
    for unknown in ("mine", "never"):
        with pytest.raises(HandlerFailed) as caught:
            pick_up(unknown)
        assert isinstance(caught.value.__cause__, UnknownResponse)


def own_id() -> str:
    job = current_job()
    assert job is not None
    return job.id


def test_a_request_has_options_of_the_submission(runtime: Runtime) -> None:
    with ProcessingEngine() as engine, World() as world, ActionSystem(apply=WorldFeedback(world)) as actions:
        echo = Component("echo", {"options": lambda: getattr(current_request(), "request").options})  # noqa: B009 - it may be None
        orchestrator = start(
            runtime,
            processing_component(engine, {"id": own_id}),
            environment_component(world, actions),
            echo,
        )
        assert ask(orchestrator, "processing", "id", {"options": {"id": "plan/7", "key": "k"}}) == "plan/7"
        assert engine.job("plan/7") is engine.job("k")
        assert ask(orchestrator, "echo", "options", {"options": {"colour": "red"}}) == {"colour": "red"}
        wish = {"agent": "ada", "action": "set", "arguments": {"key": "x", "value": 1}}
        ask(orchestrator, "environment", "intend", {"options": {"id": "wish"}}, **wish)
        assert actions.action("wish") is not None
        for component, operation, arguments in (("processing", "id", {}), ("environment", "intend", wish)):
            with pytest.raises(HandlerFailed) as caught:
                ask(orchestrator, component, operation, {"options": {"colour": "red"}}, **arguments)
            assert isinstance(caught.value.__cause__, MalformedRequest)


def test_the_states_of_agents_can_be_asked_for(runtime: Runtime) -> None:
    orchestrator = start(runtime, Component("c", {"x": int}), name="boss")
    ask(orchestrator, "c", "x")
    states = orchestrator.ask(GetAgents(), timeout=None).result(10)
    assert set(states) == {agent.name for agent in runtime.agents()}
    assert states["boss"].state in {"busy", "waiting"}
    assert sum(each.handled for each in states.values()) >= 1


def test_an_operation_can_ask_another_component(runtime: Runtime) -> None:
    def outer() -> Any:
        serving = current_request()
        assert serving is not None
        return serving.ask("inner", "double", number=serving.request.arguments.get("number", 4)).result(10).value

    double = Component("inner", {"double": lambda number: 2 * number})
    orchestrator = start(runtime, Component("outer", {"go": outer}), double)
    assert ask(orchestrator, "outer", "go") == 8
    assert current_request() is None


def test_a_status_has_figures(runtime: Runtime) -> None:
    bell = threading.Event()
    with (
        ProcessingEngine(threads=Bounds(1, 1)) as engine,
        World({"lake": 1}) as world,
        ActionSystem(apply=WorldFeedback(world)) as actions,
        TieredMemory(MemoryConfig()) as memory,
    ):
        orchestrator = start(
            runtime,
            processing_component(engine, {"wait": lambda: bell.wait(20)}),
            environment_component(world, actions),
            memory_component(memory),
            Component("odd", {}, metrics=lambda: {"x": 1 / 0}),
        )
        replies = [orchestrator.ask(ComponentRequest("processing", "wait")) for _ in range(3)]
        eventually(lambda: engine.metrics().totals.queued == 2)
        figures = status(orchestrator, "processing").metrics
        assert (figures["queued"], figures["running"], figures["utilisation"]) == (2, 1, 1.0)
        assert status(orchestrator, "environment").metrics["keys"] == 1
        assert "stores" in status(orchestrator, "memory").metrics
        assert status(orchestrator, "odd").metrics == {}
        assert "ZeroDivisionError" in status(orchestrator, "odd").last_error
        assert ask(orchestrator, "environment", "metrics")["world.keys"] == 1
        bell.set()
        assert all(reply.result(10).value for reply in replies)


def test_hung_workers_are_seen_and_replaced(runtime: Runtime, clock: ManualClock) -> None:
    bell = threading.Event()
    with ProcessingEngine(threads=Bounds(1, 1), clock=clock) as engine:
        functions: dict[str, Any] = {"hang": lambda: bell.wait(20), "well": int}
        orchestrator = start(
            runtime, processing_component(engine, functions, stalled_after=10.0), check_every=1.0, check_timeout=1_000.0
        )
        hung = orchestrator.ask(ComponentRequest("processing", "hang"), timeout=None)
        eventually(lambda: engine.metrics().totals.running == 1)
        waiting = orchestrator.ask(ComponentRequest("processing", "well"), timeout=None)
        eventually(lambda: engine.metrics().totals.queued == 1)
        clock.advance(10.0)

        def passes(condition: Callable[[], bool]) -> bool:
            # A check that is due while another runs is left out, so time must go on. Checks take real time, on a thread, so
            # their limit by this clock is long.
            clock.advance(1.0)
            return condition()

        eventually(lambda: passes(lambda: status(orchestrator, "processing").restarts == 1))
        for reply in (hung, waiting):
            with pytest.raises(HandlerFailed):
                reply.result(10)
        eventually(lambda: passes(lambda: status(orchestrator, "processing").state is ComponentState.HEALTHY))
        assert ask(orchestrator, "processing", "well") == 0
        bell.set()


def test_a_tier_that_is_gone_is_seen(runtime: Runtime, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with TieredMemory(MemoryConfig()) as memory:
        orchestrator = start(runtime, memory_component(memory), check_every=1.0)
        eventually(lambda: status(orchestrator, "memory").state is ComponentState.HEALTHY)

        def gone(*_: object) -> None:
            raise TierUnavailable("redis", "connection refused")

        monkeypatch.setattr(memory, "get", gone)
        clock.advance(1.0)
        eventually(lambda: status(orchestrator, "memory").state is ComponentState.DOWN)
        assert "connection refused" in status(orchestrator, "memory").last_error
        monkeypatch.undo()
        eventually(lambda: (clock.advance(1.0), status(orchestrator, "memory").state)[1] is ComponentState.HEALTHY)


def test_the_memory_component_does_what_memories_and_minds_can_do(runtime: Runtime) -> None:
    with TieredMemory(MemoryConfig()) as memory:
        orchestrator = start(runtime, memory_component(memory))
        id_ = ask(orchestrator, "memory", "remember", agent="ada", value={"content": "Bob lent me 5 coins"}, importance=0.6)
        assert [each.id for each in ask(orchestrator, "memory", "recall", agent="ada", question="lent coins", k=3)] == [id_]
        assert len(ask(orchestrator, "memory", "recent_episodes", agent="ada")) == 1
        ask(orchestrator, "memory", "learn", agent="ada", value={"content": "Bob is kind"})
        assert ask(orchestrator, "memory", "stats", agent="ada").episodes == 1
        ask(orchestrator, "memory", "consolidate", agent="ada", force=True)
        ask(orchestrator, "memory", "flush")
        ask(orchestrator, "memory", "maintain")
        assert ask(orchestrator, "memory", "metrics").stores >= 2
        assert ask(orchestrator, "memory", "recent", agent="ada")
        assert ask(orchestrator, "memory", "look_up", agent="ada", id=id_).id == id_
        assert ask(orchestrator, "memory", "explain", agent="ada", id=id_)
        ask(orchestrator, "memory", "share_with", agent="ada", reader="ben")
        assert ask(orchestrator, "memory", "shared_with", agent="ada") == ["ben"]
        found = ask(orchestrator, "memory", "recall_shared", agent="ben", owner="ada", question="lent coins")
        assert id_ in [each.id for each in found]
        ask(orchestrator, "memory", "unshare", agent="ada", reader="ben")
        with pytest.raises(HandlerFailed):
            ask(orchestrator, "memory", "recall_shared", agent="ben", owner="ada", question="lent coins")
        ask(orchestrator, "memory", "invalidate", agent="ada", id=id_)
        assert id_ not in [each.id for each in ask(orchestrator, "memory", "recall", agent="ada", question="lent coins")]
        assert id_ in ask(orchestrator, "memory", "forget", agent="ada", id=id_)


def test_a_check_that_hangs_is_not_called_a_second_time() -> None:
    bell = threading.Event()
    called: list[str] = []

    def hang(what: str) -> Any:
        called.append(what)
        bell.wait(20)
        return {}

    component = Component(
        "c", {}, check=lambda: hang("check"), restart=lambda: hang("restart"), metrics=lambda: hang("metrics")
    )
    with Runtime() as runtime:
        orchestrator = start(runtime, component, check_every=0.02, check_timeout=0.02)
        eventually(lambda: status(orchestrator, "c").checks >= 4)
        assert sorted(called) == ["check", "metrics", "restart"]
        bell.set()
        eventually(lambda: status(orchestrator, "c").state is ComponentState.HEALTHY)
