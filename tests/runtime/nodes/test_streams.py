"""Streams between two nodes: credit, lost frames, lost nodes, and frames that make no sense."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from coterie import AgentRef, AgentStopped, AskCancelled, AskTimeout, HandlerFailed, Runtime, Stream, UnknownAgent, on
from coterie.messaging import LocalTransport
from coterie.runtime.nodes.wire import DeliverFrame, EndFrame, ItemFrame
from coterie.testing import LossyTransport, ManualClock, eventually, wait_until_idle
from coterie.testing.conformance.base import Recorder


class Numbers(Stream[int]):
    end: int = -1


class Left(Stream[float]):
    """Asks for the seconds that the handler has."""


class Source(Recorder):
    @on
    async def numbers(self, message: Numbers) -> AsyncIterator[int]:
        for n in range(message.end) if message.end >= 0 else itertools.count():
            self.notes.append(n)
            yield n

    @on
    async def left(self, message: Left) -> AsyncIterator[float]:
        deadline = self.context.deadline
        yield -1.0 if deadline is None else deadline - self.context.runtime.clock.monotonic()
        await asyncio.Event().wait()


class Tapped(LocalTransport):
    """Counts the frames by their kinds, and drops those that a test chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.drop: Callable[[dict[str, Any]], bool] = lambda _: False

    def send(self, source: str, target: str, frame: bytes) -> None:
        _, number, payload = msgspec.msgpack.decode(frame)
        if number:
            content = msgspec.msgpack.decode(payload)
            self.counts[content["type"]] += 1
            if self.drop(content):
                return
        super().send(source, target, frame)


class Pair:
    """An agent there, seen from here."""

    def __init__(self, stack: ExitStack, wire: Any) -> None:
        self.clock = ManualClock()
        self.wire = wire
        options: dict[str, Any] = {"transport": wire, "clock": self.clock, "ask_timeout": None}
        self.here = stack.enter_context(Runtime("here", **options))
        self.there = stack.enter_context(Runtime("there", **options))
        agent = self.there.spawn(Source, name="source")
        self.agent: AgentRef = self.here.reference(agent.address)
        wait_until_idle(self.there)

    def rest(self) -> None:
        wait_until_idle(self.there)
        wait_until_idle(self.here)

    @property
    def cancelled(self) -> int:
        return self.there.metrics().totals.cancelled


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, Tapped())


def test_the_items_under_way_are_bounded_by_credit(pair: Pair) -> None:
    numbers = iter(pair.agent.stream(Numbers(), ahead=8))
    pair.rest()
    assert pair.wire.counts["item"] == 8
    assert [next(numbers) for _ in range(3)] == [0, 1, 2]
    pair.rest()
    assert pair.wire.counts["item"] == 8
    assert [next(numbers) for _ in range(97)] == list(range(3, 100))
    pair.rest()
    assert pair.wire.counts["item"] == 108
    assert pair.wire.counts["credit"] == 25
    del numbers
    eventually(lambda: pair.cancelled == 1)
    assert pair.wire.counts["withdraw"] == 1


@pytest.mark.parametrize("ahead", [1, 2, 16])
def test_a_stream_over_nodes_ends(pair: Pair, ahead: int) -> None:
    assert list(pair.agent.stream(Numbers(50), ahead=ahead)) == list(range(50))
    assert list(pair.agent.stream(Numbers(0), ahead=ahead)) == []
    eventually(lambda: pair.there.metrics().totals.handled == 2)


def test_the_limit_for_all_of_a_stream_is_the_deadline_there(pair: Pair) -> None:
    assert next(iter(pair.agent.stream(Left(), within=7.0))) == pytest.approx(7.0)
    assert next(iter(pair.agent.stream(Left()))) == -1.0


def test_a_lost_item_ends_the_stream_with_an_error() -> None:
    wire = Tapped()
    wire.drop = lambda frame: frame["type"] == "item" and frame["number"] == 3
    with ExitStack() as stack:
        pair = Pair(stack, wire)
        stream = pair.agent.stream(Numbers(6))
        pair.rest()
        pair.clock.advance(1.0)  # longer than the link waits for a frame that is missing
        with pytest.raises(AskCancelled, match="1 of its items were lost on the way"):
            list(stream)


def test_a_lost_last_item_ends_the_stream_with_an_error() -> None:
    wire = Tapped()
    wire.drop = lambda frame: frame["type"] == "item" and frame["number"] == 6
    with ExitStack() as stack:
        pair = Pair(stack, wire)
        stream = pair.agent.stream(Numbers(6))
        pair.rest()
        pair.clock.advance(1.0)
        with pytest.raises(AskCancelled, match="1 of its items were lost on the way"):
            list(stream)


def test_a_lost_end_ends_the_stream_by_its_time(pair: Pair) -> None:
    pair.wire.drop = lambda frame: frame["type"] == "end"
    stream = pair.agent.stream(Numbers(6), within=60.0)
    pair.rest()
    pair.clock.advance(60.0)
    with pytest.raises(AskTimeout):
        list(stream)


def test_lost_credit_is_asked_for(pair: Pair) -> None:
    numbers = iter(pair.agent.stream(Numbers(10), ahead=4))
    pair.wire.drop = lambda frame: frame["type"] == "credit"
    assert [next(numbers) for _ in range(4)] == [0, 1, 2, 3]
    pair.rest()
    pair.wire.drop = lambda _: False
    pair.clock.advance(5.0)
    pair.rest()
    pair.clock.advance(1.0)  # longer than the link waits for the frame that was dropped
    assert list(numbers) == [4, 5, 6, 7, 8, 9]
    assert pair.wire.counts["probe"] == 1


def test_a_lost_withdrawal_does_not_hold_the_agent_for_ever(pair: Pair) -> None:
    pair.wire.drop = lambda frame: frame["type"] == "withdraw"
    stream = pair.agent.stream(Numbers(), ahead=4)
    pair.rest()
    stream.close()
    pair.rest()
    assert pair.cancelled == 0
    pair.wire.drop = lambda _: False
    pair.clock.advance(5.0)
    pair.rest()
    pair.clock.advance(1.0)
    eventually(lambda: pair.cancelled == 1)


def test_a_stream_of_a_lost_node_ends_after_what_has_arrived() -> None:
    with ExitStack() as stack:
        wire = LossyTransport()
        pair = Pair(stack, wire)
        numbers = iter(pair.agent.stream(Numbers(), ahead=4))
        pair.rest()
        wire.partition([pair.here.node], [pair.there.node])
        pair.clock.advance(30.0)
        assert [next(numbers) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(AskCancelled, match="is lost"):
            next(numbers)
        # And there, the asker's node is lost.
        eventually(lambda: pair.cancelled == 1)


def test_a_stream_ends_with_the_runtime_on_either_side(pair: Pair) -> None:
    stream = pair.agent.stream(Numbers(), ahead=4)
    pair.rest()
    pair.there.stop(drain=False)
    numbers = iter(stream)
    assert [next(numbers) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises((AskCancelled, AgentStopped)):
        next(numbers)
    with pytest.raises(UnknownAgent):
        list(pair.agent.stream(Numbers(3)))


def test_an_asker_that_ends_with_its_runtime_frees_the_agent_there(pair: Pair) -> None:
    stream = pair.agent.stream(Numbers(), ahead=4)
    pair.rest()
    pair.here.stop(drain=False)
    with pytest.raises(AgentStopped):
        for _ in stream:
            pass
    pair.clock.advance(30.0)
    eventually(lambda: pair.cancelled == 1)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([(3, b"\x03")], "2 of its items were lost"),
        ([(0, b"\x00")], "counts its items wrongly"),
        ([(number, b"\x00") for number in range(1, 6)], "sent more items than there is room for"),
        ([(1, b"\xa1x")], "is not what can be sent"),
        ([(1, b"\xc1")], "is not what can be sent"),
    ],
)
def test_items_that_make_no_sense_end_the_stream(pair: Pair, frames: list[tuple[int, bytes]], error: str) -> None:
    pair.wire.drop = lambda frame: frame["type"] == "deliver"
    stream = pair.agent.stream(Numbers(), ahead=4)
    for number, body in frames:
        pair.there._services.node_link.send(pair.here.node, ItemFrame(stream.correlation, number, "", body))
    with pytest.raises((AskCancelled, HandlerFailed), match=error):
        list(stream)


def test_items_of_a_node_that_was_not_asked_are_ignored(pair: Pair) -> None:
    with Runtime("third", transport=pair.wire) as third:
        stream = pair.agent.stream(Numbers(2))
        pair.rest()
        third._services.node_link.send(pair.here.node, ItemFrame(stream.correlation, 1, "", b"\x07"))
        third._services.node_link.send(pair.here.node, EndFrame(stream.correlation, 1))
        assert list(stream) == [0, 1]


def test_a_request_for_a_stream_without_credit_is_refused(pair: Pair) -> None:
    services = pair.here._services
    answers: list[Any] = []
    services.node_link.expect(pair.there.node, 99, answers.append)
    message = services.codec.pack(Numbers(3))
    services.node_link.send(pair.there.node, DeliverFrame(pair.agent.address, message, None, 2, 99))
    assert "ahead" in answers[0].text
    assert pair.there.metrics().totals.sent == 0
