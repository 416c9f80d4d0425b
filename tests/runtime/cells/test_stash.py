"""Messages that an agent postpones."""

import asyncio
from typing import Any

import pytest

from coterie import Agent, AgentRef, AgentStopped, HandlerFailed, MailboxPolicy, Message, Request, Runtime, Supervision, on
from coterie.messaging import Reason
from coterie.testing import ManualClock, eventually


class Open(Message):
    pass


class Get(Request[int]):
    n: int


class Note(Message):
    n: int


class Seen(Request[list[str]]):
    pass


class Fail(Message):
    pass


class Door(Agent):
    """Postpones all that comes before it is open."""

    def __init__(self) -> None:
        self.is_open = False
        self.seen: list[str] = []

    @on
    def open(self, message: Open) -> None:
        self.is_open = True
        self.context.unstash_all()

    @on
    def get(self, message: Get) -> int:
        if not self.is_open:
            self.context.stash()
            return -1
        self.seen.append(f"get {message.n}")
        return message.n

    @on
    def note(self, message: Note) -> None:
        if not self.is_open:
            self.context.stash()
            return
        sender = self.context.sender
        self.seen.append(f"note {message.n} from {sender.name if sender is not None else 'outside'}")

    @on
    def what(self, message: Seen) -> list[str]:
        return self.seen

    @on
    def fail(self, message: Fail) -> None:
        raise ValueError("broken")


class AsyncDoor(Door):
    async def get(self, message: Get) -> int:  # type: ignore[override] # a handler may be either
        await asyncio.sleep(0)
        if not self.is_open:
            self.context.stash()
            await asyncio.sleep(0)
            return -1
        self.seen.append(f"get {message.n}")
        return message.n


class InterleavedDoor(AsyncDoor):
    @on(interleave=True)
    async def get(self, message: Get) -> int:  # type: ignore[override] # as above
        return await super().get(message)


class Sender(Agent):
    def __init__(self, to: AgentRef) -> None:
        to.tell(Note(2))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kind", [Door, AsyncDoor, InterleavedDoor])
def test_a_postponed_message_keeps_its_asker_its_sender_and_its_place(kind: type[Door], strict: bool) -> None:
    with Runtime(strict=strict) as runtime:
        door = runtime.spawn(kind)
        first = door.ask(Get(1))
        assert door.ask(Seen()).result(10) == []
        runtime.spawn(Sender, door, name="sender")
        eventually(lambda: runtime.metrics().agents[door.name].queued == 2)
        second = door.ask(Get(3))
        assert door.ask(Seen()).result(10) == []
        assert not first.done
        eventually(lambda: runtime.metrics().agents[door.name].queued == 3)
        door.tell(Open())
        assert (first.result(10), second.result(10)) == (1, 3)
        seen = door.ask(Seen()).result(10)
        in_order = ["get 1", "note 2 from sender", "get 3"]
        # Handlers that overlap end in an order of their own.
        assert seen == in_order or (kind is InterleavedDoor and sorted(seen) == sorted(in_order))
        totals = runtime.metrics().agents[door.name]
    assert (totals.sent, totals.handled, totals.queued) == (7, 7, 0)


def test_a_postponed_message_ends_with_its_asker() -> None:
    clock = ManualClock()
    with Runtime(clock=clock) as runtime:
        door = runtime.spawn(Door)
        reply = door.ask(Get(1), timeout=1)
        assert door.ask(Seen()).result(10) == []
        clock.advance(1)
        door.tell(Open())
        assert door.ask(Seen()).result(10) == []
        assert "did not answer" in str(reply.exception())


def test_a_rebuilt_agent_gets_its_postponed_messages_again() -> None:
    with Runtime(supervision=Supervision(backoff=0.001)) as runtime:
        door = runtime.spawn(Door)
        reply = door.ask(Get(1))
        door.tell(Fail())
        door.tell(Open())
        assert reply.result(10) == 1


def test_postponed_messages_become_dead_letters_at_the_end() -> None:
    with Runtime() as runtime:
        door = runtime.spawn(Door)
        reply = door.ask(Get(1))
        door.stop().result(10)
        with pytest.raises(AgentStopped):
            reply.result(10)
        assert [letter.reason for letter in runtime.dead_letters] == [Reason.STOPPED]
        totals = runtime.metrics().totals
    assert (totals.sent, totals.dead, totals.queued) == (1, 1, 0)


def test_as_many_messages_may_be_postponed_as_the_mailbox_may_hold() -> None:
    with Runtime() as runtime:
        door = runtime.spawn(Door, mailbox=MailboxPolicy(capacity=3))
        replies = [door.ask(Get(n)) for n in range(4)]
        with pytest.raises(HandlerFailed, match="all of them postponed; put them back by unstash_all"):
            replies[3].result(10)
        door.tell(Open())
        assert [reply.result(10) for reply in replies[:3]] == [0, 1, 2]


def test_postponed_asks_that_have_ended_give_their_places_away() -> None:
    clock = ManualClock()
    with Runtime(clock=clock) as runtime:
        door = runtime.spawn(Door, mailbox=MailboxPolicy(capacity=2))
        for _ in range(3):
            late = [door.ask(Get(n), timeout=1) for n in range(2)]
            assert door.ask(Seen()).result(10) == []
            clock.advance(1)
            assert all(reply.done for reply in late)
        reply = door.ask(Get(7), timeout=None)
        door.tell(Open())
        assert reply.result(10) == 7
        totals = runtime.metrics().totals
        assert (totals.sent, totals.handled, totals.expired) == (11, 5, 6)


class Odd(Agent):
    def on_start(self) -> None:
        self.context.stash()


class Torn(Agent):
    @on
    def get(self, message: Get) -> int:
        self.context.stash()
        raise ValueError("broken")


def test_a_message_whose_handler_raises_is_not_postponed() -> None:
    with Runtime(supervision=Supervision(backoff=0.001)) as runtime:
        torn = runtime.spawn(Torn)
        with pytest.raises(HandlerFailed, match="broken"):
            torn.ask(Get(1)).result(10)
    totals = runtime.metrics().totals
    assert (totals.sent, totals.failed, totals.queued) == (1, 1, 0)


def test_only_a_message_in_hand_can_be_postponed() -> None:
    errors: list[Any] = []

    class Curious(Odd):
        def on_failure(self, error: BaseException) -> None:
            errors.append(type(error))

    with Runtime(supervision=Supervision(max_restarts=0)) as runtime:
        curious = runtime.spawn(Curious)
        eventually(lambda: not curious.is_alive)
    assert len(runtime.health()) == 1
    assert "a message to postpone exists only while the agent runs" in next(iter(runtime.health().values())).last_error
