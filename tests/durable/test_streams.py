"""Streams of durable agents: their handlers read, and change nothing."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from coterie import Dedicated, HandlerFailed, Leased, Message, Runtime, Stream, on
from coterie.errors import InvalidMessage
from coterie.errors.durable import ChangeInStream
from coterie.runtime import Dispatcher
from coterie.testing.conformance.durable_agents import Add, Bump, Count, Counter, Deposit, Deposited, Ledger
from coterie.testing.waiting import eventually


class Digits(Stream[int]):
    """Asks for the digits of the count, or for numbers without end."""

    endless: bool = False


class Meddle(Stream[int]):
    """Asks for an item, and then for a change of some kind."""

    how: str


class Streaming(Counter):
    stored_name = "streaming-counter"

    @on
    async def digits(self, message: Digits) -> AsyncIterator[int]:
        for digit in str(self.count):
            yield int(digit)
        while message.endless:
            yield 0

    @on
    async def meddle(self, message: Meddle) -> AsyncIterator[int]:
        yield self.count
        ways: dict[str, Callable[[], Any]] = {
            "count": lambda: setattr(self, "count", self.count + 1),
            "tell": lambda: self.context.runtime.entity(Streaming, "other").tell(Bump(1)),
            "remind": lambda: self.context.remind(0.0, Bump(1)),
            "subscribe": lambda: self.context.subscribe("news"),
        }
        ways[message.how]()
        yield self.count


class StreamingLedger(Ledger):
    stored_name = "streaming-ledger"

    @on
    async def meddle(self, message: Meddle) -> AsyncIterator[int]:
        yield 1
        self.context.record(Deposited(1))


both = pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])


@both
def test_a_durable_agent_streams_what_it_reads(tmp_path: Path, dispatcher: Dispatcher) -> None:
    with Runtime(store=tmp_path / "agents.db", dispatcher=dispatcher) as runtime:
        agent = runtime.entity(Streaming, "a")
        agent.ask(Add(123)).result()
        assert list(agent.stream(Digits())) == [1, 2, 3]
        for count, _ in enumerate(agent.stream(Digits(endless=True), ahead=2)):
            if count == 10:
                break
        assert agent.ask(Add(1)).result(10) == 124


@both
@pytest.mark.parametrize("how", ["count", "tell", "remind", "subscribe"])
def test_a_change_by_a_handler_of_a_stream_is_undone(tmp_path: Path, dispatcher: Dispatcher, how: str) -> None:
    with Runtime(store=tmp_path / "agents.db", dispatcher=dispatcher) as runtime:
        agent, other = runtime.entity(Streaming, "a"), runtime.entity(Streaming, "other")
        agent.ask(Add(1)).result()
        items = iter(agent.stream(Meddle(how)))
        assert next(items) == 1
        with pytest.raises(HandlerFailed, match="such a handler only reads") as caught:
            list(items)
        assert isinstance(caught.value.__cause__, ChangeInStream)
        runtime.publish("news", Bump(100))
        assert agent.ask(Count()).result(10) == 1
        assert other.ask(Count()).result(10) == 0


def test_an_event_that_a_handler_of_a_stream_records_is_undone(tmp_path: Path) -> None:
    with Runtime(store=tmp_path / "agents.db") as runtime:
        agent = runtime.entity(StreamingLedger, "a")
        agent.ask(Deposit(5)).result()
        with pytest.raises(HandlerFailed, match="such a handler only reads"):
            list(agent.stream(Meddle("record")))
        assert len(list(runtime.history(StreamingLedger, "a"))) == 1
        assert agent.ask(Deposit(1)).result(10) == 6


def test_a_stored_request_for_a_stream_is_handled_and_gone(tmp_path: Path) -> None:
    class Sender(Counter):
        stored_name = "sending-counter"

        @on
        def send(self, message: Send) -> None:
            self.context.runtime.entity(Streaming, "a").tell(Digits())

    with Runtime(store=tmp_path / "agents.db") as runtime:
        runtime.entity(Streaming, "a").ask(Add(1)).result()
        runtime.entity(Sender, "b").tell(Send())
        eventually(lambda: runtime.metrics().totals.handled == 3)
        eventually(lambda: runtime.durable.undelivered == 0)
        assert runtime.durable.dead_letters() == []


def test_a_stream_has_no_idempotency_key(tmp_path: Path) -> None:
    with Runtime(store=tmp_path / "agents.db") as runtime:
        untyped: Any = runtime.entity(Streaming, "a")
        with pytest.raises(InvalidMessage, match=r"stream\(\)"):
            untyped.ask(Digits(), idempotency_key="k")


class Send(Message):
    pass
