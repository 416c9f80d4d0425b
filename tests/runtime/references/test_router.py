"""A router spreads messages, and passes by agents that are down."""

import asyncio
import threading

import pytest

from coterie import Agent, AgentRef, AgentStopped, Message, Request, Runtime, Supervision, on
from coterie.runtime import AgentRouter
from coterie.testing import ManualClock, eventually


class Name(Request[str]):
    pass


class Note(Message):
    pass


class Count(Request[int]):
    pass


class Fail(Message):
    pass


class Hold(Message):
    """Holds the agent until the gate opens."""


GATE = threading.Event()


class Worker(Agent):
    def __init__(self) -> None:
        self.notes = 0

    @on
    def name(self, message: Name) -> str:
        return self.context.self_ref.name

    @on
    def note(self, message: Note) -> None:
        self.notes += 1

    @on
    def fail(self, message: Fail) -> None:
        raise OSError

    @on
    def hold(self, message: Hold) -> None:
        GATE.wait(20)

    @on
    def count(self, message: Count) -> int:
        return self.notes


class Front(Agent):
    def __init__(self, router: AgentRouter) -> None:
        self.router = router

    @on
    async def name(self, message: Name) -> str:
        return await self.router.ask(Name())


def spawn(runtime: Runtime) -> list[AgentRef]:
    return [runtime.spawn(Worker, name=name) for name in "abc"]


def test_messages_go_to_the_agents_in_turn() -> None:
    with Runtime() as runtime:
        agents = spawn(runtime)
        router = AgentRouter(agents)
        assert [router.ask(Name()).result(10) for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]
        for _ in range(4):
            router.tell(Note())
        asyncio.run(router.offer(Note()))
        assert [agent.ask(Count()).result(10) for agent in agents] == [2, 2, 1]
        assert {runtime.spawn(Front, router).ask(Name()).result(10) for _ in range(3)} == {"a", "b", "c"}


def test_agents_that_are_down_are_passed_by() -> None:
    with Runtime() as runtime:
        agents = spawn(runtime)
        router = AgentRouter(agents)
        agents[1].stop().result(10)
        assert sorted(router.ask(Name()).result(10) for _ in range(6)) == ["a", "a", "c", "c", "c", "c"]
        for agent in agents:
            agent.stop().result(10)
        with pytest.raises(AgentStopped, match="all its agents are down: a, b, c"):
            router.ask(Name())
        with pytest.raises(AgentStopped):
            router.tell(Note())


def test_an_agent_that_is_rebuilt_or_about_to_stop_is_passed_by() -> None:
    GATE.clear()
    with Runtime(clock=ManualClock(), supervision=Supervision(backoff=60.0)) as runtime:
        agents = spawn(runtime)
        router = AgentRouter(agents)
        agents[0].tell(Fail())
        agents[1].tell(Hold())
        stopped = agents[1].stop()
        eventually(lambda: runtime.health()["a"].state == "restarting")
        assert {router.ask(Name(), timeout=None).result(10) for _ in range(6)} == {"c"}
        GATE.set()
        stopped.result(10)
        agents[2].stop().result(10)
        # The only one that is left; it answers once it is rebuilt.
        assert not router.ask(Name(), timeout=None).done
        runtime.stop(drain=False)


def test_the_agents_may_be_spawned_as_they_are_listed() -> None:
    with Runtime() as runtime:
        router = AgentRouter(runtime.spawn(Worker, name=name) for name in "abc")
        assert router.ask(Name()).result(10) == "a"


def test_a_router_needs_agents() -> None:
    for wrong in ([], ["a"]):
        with pytest.raises(ValueError, match="references of at least one agent"):
            AgentRouter(wrong)  # type: ignore[arg-type] # on purpose
