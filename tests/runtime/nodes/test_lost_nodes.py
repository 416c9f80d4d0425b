"""A node that is not heard any more: its agents count as down, and what waits for them ends."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from msgspec.msgpack import encode
from msgspec.structs import replace

from coterie import Agent, AgentDown, AgentRef, AskCancelled, Request, Runtime, UnknownAgent, on
from coterie.kernel import Address
from coterie.messaging import LocalTransport
from coterie.runtime.nodes.wire import WatchFrame
from coterie.testing import LossyTransport, ManualClock, eventually
from coterie.testing.conformance.base import Echo, Recorder, Sleep


class Watch(Request[None]):
    agent: AgentRef


class Downs(Request[list[str]]):
    pass


class Watcher(Agent):
    def __init__(self) -> None:
        self.downs: list[str] = []

    @on
    def watch(self, message: Watch) -> None:
        self.context.watch(message.agent)

    @on
    def down(self, message: AgentDown) -> None:
        self.downs.append(f"{message.agent.name}: {message.reason}: {message.error}")

    @on
    def read(self, message: Downs) -> list[str]:
        return self.downs


class Pair:
    """Two runtimes, here and there; `clock` moves their heartbeats."""

    def __init__(self, stack: ExitStack, wire: Any) -> None:
        self.clock = ManualClock()
        self.wire = wire
        options: dict[str, Any] = {"transport": wire, "clock": self.clock, "ask_timeout": None}
        self.here = stack.enter_context(Runtime("here", node_timeout=10.0, **options))
        self.there = stack.enter_context(Runtime("there", node_timeout=10.0, **options))
        self.agent = self.here.reference(self.there.spawn(Recorder, name="far").address)
        self.watcher = self.here.spawn(Watcher)
        self.watcher.ask(Watch(agent=self.agent)).result(10)

    def downs(self) -> list[str]:
        return self.watcher.ask(Downs()).result(10)

    def cut(self) -> None:
        if isinstance(self.wire, LossyTransport):
            self.wire.partition([self.here.node], [self.there.node])
        else:
            self.wire.close(self.there.node)


@pytest.fixture(params=[LossyTransport, LocalTransport], ids=["silent", "unreachable"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, request.param())


def test_watchers_are_told_and_asks_end_when_a_node_is_lost(pair: Pair) -> None:
    reply = pair.agent.ask(Sleep(3600.0, 1))
    stopped = pair.there.spawn(Recorder, name="other")
    pair.cut()
    stop = pair.here.reference(stopped.address).stop()
    pair.clock.advance(15.0)
    with pytest.raises(AskCancelled, match=r"node there-\w+ is lost: .*whether the request was handled is unknown"):
        reply.result(10)
    eventually(lambda: pair.downs() != [])
    (down,) = pair.downs()
    assert down.startswith("far: lost: ")
    assert not pair.agent.is_alive
    with pytest.raises((AskCancelled, UnknownAgent), match=r"is lost|no node"):
        stop.result(10)


def test_what_a_lost_node_has_asked_is_cancelled() -> None:
    with ExitStack() as stack:
        pair = Pair(stack, LossyTransport())
        asked = pair.there.reference(pair.here.spawn(Recorder, name="asked").address)
        asked.ask(Sleep(3600.0, 1))
        eventually(lambda: pair.here.inspect("asked").handling != [])
        pair.cut()
        pair.clock.advance(15.0)
        eventually(lambda: pair.here.metrics().agents["asked"].cancelled == 1)


def test_a_node_that_is_heard_again_is_alive_again() -> None:
    with ExitStack() as stack:
        pair = Pair(stack, LossyTransport())
        pair.cut()
        pair.clock.advance(15.0)
        assert not pair.agent.is_alive
        pair.wire.heal()
        assert pair.agent.ask(Echo(7)).result(10) == 7
        assert pair.agent.is_alive


def test_nodes_that_have_nothing_to_say_are_not_lost(pair: Pair) -> None:
    for _ in range(100):
        pair.clock.advance(1.0)
    assert pair.agent.is_alive
    assert pair.downs() == []
    assert pair.agent.ask(Echo(7)).result(10) == 7


def test_who_watches_an_agent_of_a_node_that_cannot_be_reached_is_told_at_once() -> None:
    with ExitStack() as stack:
        pair = Pair(stack, LocalTransport())
        pair.cut()
        other = pair.here.reference(f"coterie://{pair.there.node}/other")
        pair.watcher.ask(Watch(agent=other)).result(10)
        (down,) = pair.downs()
        assert down.startswith("other: lost: no node there-")
        with pytest.raises(UnknownAgent, match="no node"):
            other.stop().result(10)


def test_an_agent_keeps_no_watcher_of_a_thousand_programs_that_were_lost() -> None:
    with ExitStack() as stack:
        pair = Pair(stack, LossyTransport())
        watched = pair.there.spawn(Recorder, name="watched")
        registry = pair.there._services.registry
        frame = WatchFrame(watched.address, Address("", ""), on=True)
        for start in range(0, 1_000, 250):
            for number in range(start, start + 250):
                node = f"program-{number}"
                payload = encode(replace(frame, watcher=Address(node, "watcher", 1)))
                pair.wire.send(node, pair.there.node, encode([node, 1, payload]))
            assert len(registry._watchers[watched.address.number]) == 250
            # They answer no heartbeat: the transport does not know them.
            pair.clock.advance(3.0)
            eventually(lambda: not registry._watchers[watched.address.number])
        assert watched.is_alive


def test_a_watcher_that_is_heard_again_hears_of_the_end() -> None:
    with ExitStack() as stack:
        pair = Pair(stack, LossyTransport())
        watched = pair.here.reference(pair.there.spawn(Recorder, name="watched").address)
        pair.watcher.ask(Watch(agent=watched)).result(10)
        registry = pair.there._services.registry
        eventually(lambda: len(registry._watchers.get(watched.address.number, {})) == 1)
        pair.cut()
        pair.clock.advance(15.0)
        eventually(lambda: not registry._watchers[watched.address.number])
        pair.wire.heal()
        assert watched.ask(Echo(7)).result(10) == 7
        assert len(registry._watchers[watched.address.number]) == 1
        pair.there.find("watched").stop().result(10)  # type: ignore[union-attr] # it is there
        eventually(lambda: any(down.startswith("watched: stopped") for down in pair.downs()))
