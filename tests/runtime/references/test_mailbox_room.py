"""Messages for full mailboxes that nobody waits for on a thread: published, posted, asked from an event loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from coterie import Agent, AgentRef, AskCancelled, MailboxFull, MailboxPolicy, Message, Request, Runtime, on
from coterie.messaging import Overflow, Reason
from coterie.runtime import Publication
from coterie.runtime.references.invocation import CURRENT
from coterie.testing import ManualClock, eventually


class Block(Message):
    pass


class News(Message):
    n: int


class Get(Request[int]):
    n: int


class Reader(Agent):
    def __init__(self, gate: list[threading.Event]) -> None:
        self.begun, self.free = gate
        self.context.subscribe("news")

    @on
    def block(self, message: Block) -> None:
        self.begun.set()
        self.free.wait(20)

    @on
    def news(self, message: News) -> None: ...

    @on
    def get(self, message: Get) -> int:
        return message.n


@contextmanager
def blocked(runtime: Runtime, policy: MailboxPolicy | None = None) -> Iterator[AgentRef]:
    """An agent that handles nothing until the end of the block."""
    gate = [threading.Event(), threading.Event()]
    reader = runtime.spawn(Reader, gate, mailbox=policy)
    reader.tell(Block())
    assert gate[0].wait(20)
    try:
        yield reader
    finally:
        gate[1].set()


def test_published_messages_wait_for_room_within_a_bound() -> None:
    with Runtime() as runtime, blocked(runtime, MailboxPolicy.wait(capacity=10)) as reader:
        results = [runtime.publish("news", News(n)) for n in range(120)]
        assert [len(each.refused) for each in results] == [0] * 110 + [1] * 10
        assert results[-1] == 1
        assert results[-1].refused == (reader,)
        counts = runtime.metrics().agents[reader.name]
        assert (counts.queued, counts.waiting, counts.rejected) == (10, 100, 10)
        assert runtime.dead_letters.counts == {Reason.FULL: 10}
        reader.post(News(99))
        assert isinstance(runtime.broadcast(News(100)), Publication)
        assert runtime.dead_letters.counts == {Reason.FULL: 12}


def test_publishers_get_the_agents_that_refused() -> None:
    with (
        Runtime() as runtime,
        blocked(runtime, MailboxPolicy.reject(capacity=1)) as refuses,
        blocked(runtime, MailboxPolicy.drop_oldest(capacity=1)),
    ):
        assert runtime.publish("news", News(1)).refused == ()
        second = runtime.publish("news", News(2))
        assert (second, second.refused) == (2, (refuses,))


def test_asks_from_an_event_loop_wait_for_room_within_a_bound() -> None:
    async def main() -> None:
        async with Runtime() as runtime:
            with blocked(runtime, MailboxPolicy.wait(capacity=10, timeout=None)) as reader:
                replies = [reader.ask(Get(n), timeout=None) for n in range(1_020)]
                assert [reply.done for reply in replies] == [False] * 1_010 + [True] * 10
                assert runtime.metrics().agents[reader.name].waiting == 1_000
                with pytest.raises(MailboxFull, match="as many messages wait for room as may"):
                    await replies[-1]
                for reply in replies[10:1_010]:
                    reply.cancel()
                counts = runtime.metrics().agents[reader.name]
                assert (counts.waiting, counts.cancelled) == (0, 1_000)
            assert await asyncio.gather(*replies[:10]) == list(range(10))

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("overflow", list(Overflow))
def test_asks_that_time_out_at_a_stuck_agent_do_not_fill_its_mailbox(overflow: Overflow) -> None:
    clock = ManualClock()
    with Runtime(clock=clock) as runtime, blocked(runtime, MailboxPolicy(10, overflow)) as reader:
        for _ in range(5):
            replies = [reader.ask(Get(n), timeout=1) for n in range(10)]
            assert not any(reply.done for reply in replies)
            clock.advance(1)
            assert all(reply.done for reply in replies)
        counts = runtime.metrics().agents[reader.name]
        assert counts.sent == counts.queued + counts.expired + 1
        assert runtime.metrics().dead_letters.get("full", 0) == 0
        waiting = reader.ask(Get(7), timeout=None)
    assert waiting.result(20) == 7
    totals = runtime.metrics().totals
    assert (totals.sent, totals.expired, totals.handled) == (52, 50, 2)


class Hasty(Request[int]):
    pass


class Hurried(Agent):
    """Its handler is left by its asker just as its coroutine begins."""

    def __init__(self) -> None:
        self.cancelled = False

    @on
    def hasty(self, message: Hasty) -> object:
        envelope: Any = self.context._in_hand(CURRENT.get())
        envelope.reply.cancel()
        return self._work()

    async def _work(self) -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return 1

    @on
    def get(self, message: Get) -> int:
        return int(self.cancelled)


def test_a_handler_whose_asker_leaves_as_it_begins_is_cancelled() -> None:
    with Runtime() as runtime:
        agent = runtime.spawn(Hurried)
        with pytest.raises(AskCancelled):
            agent.ask(Hasty()).result(20)
        # It was cancelled before its first step.
        assert agent.ask(Get(0)).result(20) == 0
        eventually(lambda: runtime.metrics().totals.cancelled == 1)
