"""A transport that has no room holds its senders back, as a full mailbox does."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from coterie import AgentRef, Runtime
from coterie.concurrency import Completion, Signal
from coterie.errors import EncodeFailed
from coterie.errors.network import MessageTooLarge
from coterie.messaging import LocalTransport
from coterie.testing import Together, eventually
from coterie.testing.conformance.base import Ask, Echo, Note, Notes, Recorder


class Narrow(LocalTransport):
    """Delivers at once; its senders wait while `full` is set to a signal that is not done."""

    def __init__(self) -> None:
        super().__init__()
        self.full: Signal | None = None
        self.limit = 10_000

    def send(self, source: str, target: str, frame: bytes) -> None:
        if len(frame) > self.limit:
            raise MessageTooLarge(target, len(frame), self.limit)
        super().send(source, target, frame)

    def room(self, target: str) -> Completion | None:
        return self.full if target.startswith("there") else None


class Pair:
    def __init__(self, stack: ExitStack) -> None:
        self.wire = Narrow()
        self.here = stack.enter_context(Runtime("here", transport=self.wire))
        self.there = stack.enter_context(Runtime("there", transport=self.wire))
        self.agent: AgentRef = self.here.reference(self.there.spawn(Recorder).address)

    def fill(self) -> Signal:
        self.wire.full = Signal()
        return self.wire.full

    def empty(self) -> None:
        full, self.wire.full = self.wire.full, None
        assert full is not None
        full.set()

    def notes(self) -> list[int]:
        return self.agent.ask(Notes()).result(10)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack)


def test_tell_blocks_its_thread_until_there_is_room(pair: Pair) -> None:
    pair.fill()
    teller = Together(lambda: [pair.agent.tell(Note(n)) for n in range(2)])
    eventually(lambda: pair.there.metrics().totals.handled == 1)
    assert teller.running
    pair.empty()
    teller.join()
    assert pair.notes() == [0, 1]


def test_offer_awaits_room_and_an_ask_on_an_event_loop_does_not_block_it(pair: Pair) -> None:
    pair.fill()

    async def main() -> int:
        offer = asyncio.create_task(pair.agent.offer(Note(1)))
        reply = pair.agent.ask(Echo(7))
        await asyncio.sleep(0)
        assert not offer.done()
        answer = await reply
        pair.empty()
        await offer
        return answer

    assert asyncio.run(main()) == 7
    assert pair.notes() == [1]


def test_post_does_not_wait(pair: Pair) -> None:
    pair.fill()
    pair.agent.post(Note(3))
    pair.empty()
    assert pair.notes() == [3]


def test_an_agent_that_waits_for_room_goes_on_when_there_is_some(pair: Pair) -> None:
    asker = pair.here.spawn(Recorder)
    pair.fill()
    reply = asker.ask(Ask(pair.agent, 5))
    assert reply.result(10) == 5
    pair.empty()


def test_a_message_that_is_too_large_is_refused_and_leaves_no_gap(pair: Pair) -> None:
    pair.wire.limit = 300
    with pytest.raises(EncodeFailed, match=r"cannot encode a Echo: 3\d\d bytes for there-\w+ exceed the limit of 300 bytes"):
        pair.agent.ask(Echo("x" * 150))  # type: ignore[arg-type] # its size matters, not its type
    pair.agent.tell(Note(1))
    assert pair.notes() == [1]
    assert pair.there.metrics().link["lost"] == 0
    assert pair.here._services.node_link._asked == {}
