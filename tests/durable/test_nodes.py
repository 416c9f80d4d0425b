"""Durable agents that live on another node than those who send to them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from coterie import AgentRef, HandlerFailed, Runtime, UnknownAgent
from coterie.errors import InvalidSetting
from coterie.messaging import LocalTransport
from coterie.runtime import DurablePolicy
from coterie.runtime.nodes.wire import DeliverFrame
from coterie.testing import ManualClock, eventually
from coterie.testing.conformance.base import Echo, Recorder
from coterie.testing.conformance.durable_agents import Add, Break, Bump, Count, Counter, Key


class Pair:
    """A store there, and its agents seen from here."""

    def __init__(self, stack: ExitStack, path: Path, **options: Any) -> None:
        wire = LocalTransport()
        self.here = stack.enter_context(Runtime("here", transport=wire))
        self.there = stack.enter_context(Runtime("there", transport=wire, store=path / "agents.db", **options))
        self.there.durable.register(Counter)

    def agent(self, key: str) -> AgentRef:
        """Return an agent there, which this does not activate."""
        return self.here.reference(str(self.there.entity(Counter, key).address))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, tmp_path)


def test_a_message_from_another_node_activates_the_agent(pair: Pair) -> None:
    agent = pair.agent("a key/with: odd characters")
    assert pair.there.durable.active == 0
    assert agent.ask(Add(2)).result(10) == 2
    agent.tell(Bump(3))
    assert agent.ask(Count()).result(10) == 5
    assert agent.ask(Key()).result(10) == "a key/with: odd characters"
    assert agent.is_alive
    agent.stop().result(10)
    assert pair.there.durable.active == 0
    assert agent.ask(Count()).result(10) == 5


def test_messages_from_another_node_meet_no_passivation(tmp_path: Path) -> None:
    clock = ManualClock()
    with ExitStack() as stack:
        pair = Pair(stack, tmp_path, clock=clock, durable=DurablePolicy(idle=10.0))
        agent = pair.agent("a")
        for n in range(1, 6):
            assert agent.ask(Add(1)).result(10) == n
            clock.advance(30.0)
            eventually(lambda: pair.there.durable.active == 0)


def test_an_idempotency_key_holds_over_nodes_and_restarts(pair: Pair, tmp_path: Path) -> None:
    agent = pair.agent("a")
    assert [agent.ask(Add(2), idempotency_key="k").result(10) for _ in range(3)] == [2, 2, 2]
    assert pair.there.entity(Counter, "a").ask(Add(2), idempotency_key="k").result() == 2
    assert agent.ask(Add(2), idempotency_key="other").result(10) == 4
    with pytest.raises(HandlerFailed, match="KeyReused"):
        agent.ask(Add(3), idempotency_key="k").result(10)
    with pytest.raises(HandlerFailed, match="as declared"):
        agent.ask(Break(declared=True), idempotency_key="failed").result(10)
    pair.there.stop()
    with ExitStack() as stack:
        again = Pair(stack, tmp_path).agent("a")
        assert again.ask(Add(2), idempotency_key="k").result(10) == 2
        assert again.ask(Count()).result(10) == 4


def test_an_agent_that_records_no_answers_refuses_a_key(pair: Pair) -> None:
    ordinary = pair.here.reference(pair.there.spawn(Recorder).address)
    with pytest.raises(InvalidSetting, match="not a durable agent"):
        ordinary.ask(Echo(1), idempotency_key="k")
    pair.there.spawn(Recorder, name="looks/durable")
    named = pair.here.reference(f"coterie://{pair.there.node}/looks/durable")
    with pytest.raises(HandlerFailed, match="not a durable agent"):
        named.ask(Echo(1), idempotency_key="k").result(10)
    assert named.ask(Echo(1)).result(10) == 1
    unknown = pair.here.reference(f"coterie://{pair.there.node}/no-such-class/a")
    with pytest.raises(UnknownAgent):
        unknown.ask(Echo(1), idempotency_key="k").result(10)


def test_a_key_that_is_too_long_is_refused_on_both_sides(pair: Pair) -> None:
    agent = pair.agent("a")
    with pytest.raises(InvalidSetting, match="256 characters"):
        agent.ask(Add(1), idempotency_key="k" * 257)
    services = pair.here._services
    answers: list[Any] = []
    services.node_link.expect(pair.there.node, 99, answers.append)
    message = services.codec.pack(Add(1))
    frame = DeliverFrame(agent.address, message, None, 2, 99, idempotency_key="k" * 257)
    services.node_link.send(pair.there.node, frame)
    assert "256 characters" in answers[0].text
    assert agent.ask(Count()).result(10) == 0
