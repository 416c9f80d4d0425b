"""A stream of items: its buffer under every interleaving that chance finds, and agents that hold each other back."""

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import pytest

from coterie import (
    Agent,
    AgentRef,
    AskCancelled,
    Dedicated,
    HandlerFailed,
    Leased,
    MailboxFull,
    MailboxPolicy,
    ReplyStream,
    Request,
    Runtime,
    Stream,
    WaitCycle,
    on,
)
from coterie.concurrency import Completion, Timers
from coterie.kernel import Address
from coterie.runtime import AgentRouter, Dispatcher
from coterie.runtime.dispatchers.loops import LoopInboxes
from coterie.runtime.references.reply_stream import END, NOTHING, ItemBuffer
from coterie.runtime.references.waits import WaitGraph
from coterie.testing import Interleaver, ManualClock, eventually
from coterie.testing.conformance.base import Block, Echo, Gate, Gatekeeper, Recorder
from tests.runs import runs

both = pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])


class FewServices:
    """The parts of a runtime that a stream needs."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.timers = Timers(self.clock, "test")
        self.waits = WaitGraph()
        self.loops = LoopInboxes()
        self.next_correlation: Callable[[], int] = itertools.count(1).__next__


class Nowhere:
    """An endpoint that counts how often it is told to stop working."""

    address = Address("node", "agent")
    local = None

    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self, envelope: Any) -> None:
        self.cancelled += 1


class Sent:
    """Stands for an envelope."""

    deadline = None
    message = Echo(1)


def a_buffer(services: FewServices, ahead: int) -> tuple[ItemBuffer, Nowhere]:
    endpoint = Nowhere()
    buffer = ItemBuffer(services, endpoint, None, None, ahead)
    envelope: Any = Sent()
    buffer.send_request(envelope, lambda _: None, lambda *_: None)
    return buffer, endpoint


TRACED: list[Callable[..., Any]] = [
    ItemBuffer.send,
    ItemBuffer.take,
    ItemBuffer.next_item,
    ItemBuffer._end,
    ItemBuffer.withdraw,
]


@pytest.mark.parametrize("ahead", [1, 3])
@pytest.mark.parametrize("error", [None, ValueError("broken")])
def test_every_item_is_read_once_and_in_order_and_then_the_end(ahead: int, error: Exception | None) -> None:
    services = FewServices()
    threads = Interleaver(TRACED)
    for seed in runs(50):
        with threads.locks():
            buffer, _ = a_buffer(services, ahead)
        rooms: list[Completion] = []
        waits: list[Completion] = []
        read: list[Any] = []

        def produce(buffer: ItemBuffer = buffer, rooms: list[Completion] = rooms) -> None:
            for n in range(4):
                room = buffer.send(n)
                if room is not None:
                    rooms.append(room)
            if error is None:
                buffer.succeed(None)
            else:
                buffer.fail(error)

        def consume(buffer: ItemBuffer = buffer, waits: list[Completion] = waits, read: list[Any] = read) -> None:
            for _ in range(6):
                item = buffer.take()
                if item is NOTHING:
                    waits.append(buffer.next_item())
                elif item is END:
                    return
                else:
                    read.append(item)

        def consume_to_the_error(consume: Callable[[], None] = consume) -> None:
            try:
                consume()
            except ValueError as raised:
                assert raised is error  # noqa: PT017 - it depends on the schedule whether it is reached

        threads.run([produce, consume_to_the_error], Random(seed))
        consume_to_the_error()
        consume_to_the_error()
        assert read == [0, 1, 2, 3]
        assert all(each.done for each in waits), "each wait has ended"
        assert all(each.done for each in rooms), "the sender is not held back any more"


def test_a_sender_and_a_reader_end_whoever_ends_the_stream() -> None:
    services = FewServices()
    threads = Interleaver(TRACED)
    for seed in runs(50):
        with threads.locks():
            buffer, endpoint = a_buffer(services, 1)
        pending: list[Completion] = []

        def produce(buffer: ItemBuffer = buffer, pending: list[Completion] = pending) -> None:
            pending.extend(filter(None, [buffer.send(1), buffer.send(2)]))
            buffer.succeed(None)

        def consume(buffer: ItemBuffer = buffer, pending: list[Completion] = pending) -> None:
            pending.append(buffer.next_item())

        threads.run([produce, consume, buffer.close], Random(seed))
        assert buffer.done
        assert all(each.done for each in pending)
        assert endpoint.cancelled == int(isinstance(buffer.error, AskCancelled))


class Numbers(Stream[int]):
    end: int = -1


class Source(Recorder):
    closed = 0

    @on
    async def numbers(self, message: Numbers) -> AsyncIterator[int]:
        try:
            for n in range(message.end) if message.end >= 0 else itertools.count():
                yield n
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            self.closed += 1


class Meddle(Request[int]):
    of: AgentRef


class Meddler(Agent):
    @on
    async def meddle(self, message: Meddle) -> int:
        total = 0
        async for n in message.of.stream(Numbers(), ahead=2):
            if n == 1:
                total += await message.of.ask(Echo(7))  # its agent handles nothing until this stream is read
        return total


@both
def test_a_reader_that_asks_the_agent_which_it_holds_back_is_told_so(dispatcher: Dispatcher) -> None:
    with Runtime(dispatcher=dispatcher, ask_timeout=None) as runtime:
        source, meddler = runtime.spawn(Source), runtime.spawn(Meddler)
        with pytest.raises(HandlerFailed, match=WaitCycle.__name__):
            meddler.ask(Meddle(source)).result(10)
        assert source.ask(Echo(1)).result(10) == 1


class Beside(Agent):
    """Reads by a task beside its handlers, and asks the same agent meanwhile."""

    @on
    async def meddle(self, message: Meddle) -> int:
        async def read() -> int:
            return sum([n async for n in message.of.stream(Numbers(100), ahead=2)])

        task = self.context.create_task(read())
        await asyncio.sleep(0)
        return await message.of.ask(Echo(7)) + await task


@both
def test_a_task_that_reads_beside_its_handler_is_no_circle(dispatcher: Dispatcher) -> None:
    with Runtime(dispatcher=dispatcher) as runtime:
        source, beside = runtime.spawn(Source), runtime.spawn(Beside)
        for _ in range(5):
            assert beside.ask(Meddle(source)).result(10) == 7 + sum(range(100))


@both
def test_a_generator_that_is_closed_runs_its_finally_block_to_the_end(dispatcher: Dispatcher) -> None:
    with Runtime(dispatcher=dispatcher) as runtime:
        source = runtime.spawn(Source)
        for number in range(1, 20):
            for n in source.stream(Numbers()):
                if n == number:
                    break
            eventually(partial(_shows, runtime, source, "closed", number))


def _shows(runtime: Runtime, agent: AgentRef, name: str, value: int) -> bool:
    return (runtime.inspect(agent).attributes or {}).get(name) == str(value)


def test_a_forgotten_stream_is_collected_and_closed() -> None:
    with Runtime() as runtime:
        source = runtime.spawn(Source)
        stream = source.stream(Numbers())
        cycle: list[Any] = [stream]
        cycle.append(cycle)
        gone = weakref.ref(stream)
        del stream, cycle
        eventually(lambda: gc.collect() >= 0 and gone() is None)
        assert source.ask(Echo(1)).result(10) == 1
        eventually(lambda: runtime.metrics().totals.cancelled == 1)


class Maker(Recorder):
    made = closed = 0

    @on
    async def numbers(self, message: Numbers) -> AsyncIterator[int]:
        self.made = 0
        try:
            while True:
                self.made += 1
                yield self.made
        finally:
            self.closed += 1


@both
def test_a_generator_that_is_held_back_makes_no_item_after_its_asker_has_left(dispatcher: Dispatcher) -> None:
    with Runtime(dispatcher=dispatcher) as runtime:
        maker = runtime.spawn(Maker)
        for number in range(1, 51):
            stream = maker.stream(Numbers(), ahead=1)
            reader = iter(stream)
            assert next(reader) == 1
            eventually(partial(_shows, runtime, maker, "made", 2))
            stream.close()
            eventually(partial(_shows, runtime, maker, "closed", number))
            assert _shows(runtime, maker, "made", 2)


class Stubborn(Recorder):
    @on(shield=True)
    async def numbers(self, message: Numbers) -> AsyncIterator[int]:
        for n in range(message.end):
            yield n
        self.notes.append(message.end)


def test_a_shielded_handler_of_a_stream_runs_to_its_end() -> None:
    with Runtime() as runtime:
        agent = runtime.spawn(Stubborn)
        for n in agent.stream(Numbers(200), ahead=1):
            if n == 3:
                break
        eventually(lambda: runtime.metrics().totals.handled == 1)
        assert runtime.metrics().totals.late == 1


class Postponing(Agent):
    ready = False

    @on
    async def numbers(self, message: Numbers) -> AsyncIterator[int]:
        if not self.ready:
            self.context.stash()
            yield -1
            return
        for n in range(message.end):
            yield n

    @on
    def echo(self, message: Echo) -> int:
        self.ready = True
        self.context.unstash_all()
        return message.n


def test_a_postponed_request_for_a_stream_is_answered_later() -> None:
    with Runtime() as runtime:
        agent = runtime.spawn(Postponing)
        stream = agent.stream(Numbers(3))
        agent.ask(Echo(1)).result(10)
        assert list(stream) == [0, 1, 2]


def test_a_full_mailbox_ends_a_stream_and_does_not_block_its_asker() -> None:
    gate = Gate()
    with Runtime() as runtime:
        rejecting = runtime.spawn(Gatekeeper, gate, mailbox=MailboxPolicy(1, "reject"))
        waiting = runtime.spawn(Gatekeeper, gate, mailbox=MailboxPolicy(1, timeout=None))
        for agent in rejecting, waiting:
            agent.tell(Block())
            gate.wait_for_entry()
            agent.tell(Echo(1))
        with pytest.raises(MailboxFull):
            list(rejecting.stream(Numbers(3)))
        stream = waiting.stream(Numbers(3))
        assert runtime.metrics().agents[waiting.name].waiting == 1
        stream.close()
        assert runtime.metrics().agents[waiting.name].waiting == 0
        gate.open()


def test_a_router_asks_the_next_agent_for_a_stream() -> None:
    with Runtime() as runtime:
        router = AgentRouter([runtime.spawn(Source) for _ in range(2)])
        assert [list(router.stream(Numbers(2))) for _ in range(2)] == [[0, 1]] * 2
        assert [each.handled for each in runtime.metrics().agents.values()] == [1, 1]


def test_a_stream_shows_its_state() -> None:
    def read(stream: ReplyStream[int]) -> Iterator[str]:
        yield repr(stream)
        list(stream)
        yield repr(stream)

    with Runtime() as runtime:
        source = runtime.spawn(Source)
        stream = source.stream(Numbers(3), ahead=1)
        assert list(read(stream)) == [f"<ReplyStream {stream.correlation}: {state}>" for state in ("open", "ended")]
        stream = source.stream(Numbers())
        stream.close()
        assert repr(stream) == f"<ReplyStream {stream.correlation}: failed>"
        assert isinstance(stream.exception(), AskCancelled)
