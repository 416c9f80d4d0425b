"""The mailbox under every interleaving of its callers that chance can find."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from coterie.errors import MailboxFull
from coterie.kernel import Address, SystemClock
from coterie.messaging import MailboxPolicy, Message
from coterie.messaging.envelope import Envelope
from coterie.messaging.mailbox import Mailbox
from coterie.messaging.pending_put import PendingPut
from coterie.testing import Interleaver
from tests.messaging.ends import Ends
from tests.runs import runs

pytestmark = pytest.mark.stress

TRACED: list[Callable[..., Any]] = [
    Mailbox.put,
    Mailbox._put_carefully,
    Mailbox._look_again,
    Mailbox._notify_taker,
    Mailbox._admit,
    Mailbox._become_plain,
    Mailbox._queue_outside,
    Mailbox._drop_oldest,
    Mailbox._withdraw,
    Mailbox.take,
    Mailbox.arm,
    Mailbox.close,
    Mailbox.empty,
    Mailbox.refuse_outsiders,
]


class Note(Message):
    n: int


class World:
    """A mailbox, and what has become of the messages that were sent to it."""

    def __init__(self, policy: MailboxPolicy) -> None:
        self.notified = 0
        self.dropped: list[int] = []
        self.refused: list[int] = []
        self.rejected: list[int] = []
        self.taken: list[int] = []
        self.left: list[int] = []
        self.pending_puts: list[PendingPut] = []
        self.mailbox = Mailbox(
            Address("node", "agent"),
            policy,
            SystemClock(),
            taker=self,
            ends=Ends(
                lambda envelope: self.dropped.append(number(envelope)),
                lambda envelope: self.refused.append(number(envelope)),
                lambda _: None,
            ),
        )

    def wake(self) -> None:
        self.notified += 1

    def send(self, *numbers: int) -> None:
        for n in numbers:
            try:
                pending = self.mailbox.put(Envelope(Note(n)))
            except MailboxFull:
                self.rejected.append(n)
            else:
                if pending is not None:
                    self.pending_puts.append(pending)

    def take(self, most: int) -> None:
        for _ in range(most):
            envelope = self.mailbox.take()
            if envelope is not None:
                self.taken.append(number(envelope))

    def close(self) -> None:
        self.mailbox.close()
        self.left += map(number, self.mailbox.empty())

    def finish(self) -> None:
        self.take(1_000)
        self.close()

    def ends(self) -> list[int]:
        withdrawn = [number(pending.envelope) for pending in self.pending_puts if pending.withdrawn]
        return sorted(self.taken + self.left + self.dropped + self.refused + self.rejected + withdrawn)


def number(envelope: Envelope) -> int:
    assert isinstance(envelope.message, Note)
    return envelope.message.n


@pytest.mark.parametrize(
    "policy",
    [MailboxPolicy.wait(1_000), MailboxPolicy.wait(1), MailboxPolicy.reject(2), MailboxPolicy.drop_oldest(2)],
    ids=["roomy", "wait", "reject", "drop"],
)
@pytest.mark.parametrize("opcodes", [False, True], ids=["lines", "opcodes"])
def test_every_message_ends_once_however_senders_taker_and_close_interleave(policy: MailboxPolicy, opcodes: bool) -> None:
    threads = Interleaver(TRACED, opcodes=opcodes)
    for seed in runs(20 if opcodes else 100):
        with threads.locks():
            world = World(policy)
        threads.run(
            [
                lambda: world.send(1, 2, 3),
                lambda: world.send(11, 12),
                lambda: (world.take(3), world.close()),
            ],
            Random(seed),
        )
        world.finish()
        assert world.ends() == [1, 2, 3, 11, 12]
        assert all(pending.done for pending in world.pending_puts)


@pytest.mark.parametrize("policy", [MailboxPolicy.wait(1_000), MailboxPolicy.wait(1)], ids=["roomy", "wait"])
def test_each_sender_keeps_its_order(policy: MailboxPolicy) -> None:
    threads = Interleaver(TRACED)
    for seed in runs(100):
        with threads.locks():
            world = World(policy)
        threads.run([lambda: world.send(1, 2, 3), lambda: world.send(11, 12, 13), lambda: world.take(4)], Random(seed))
        world.take(10)
        assert [n for n in world.taken if n < 10] == [1, 2, 3]
        assert [n for n in world.taken if n > 10] == [11, 12, 13]


def test_an_idle_taker_is_always_notified_of_a_new_message() -> None:
    threads = Interleaver(TRACED)
    for seed in runs(100):
        with threads.locks():
            world = World(MailboxPolicy())
        resting: list[bool] = []

        def take_all(world: World = world, resting: list[bool] = resting) -> None:
            while True:
                world.take(10)
                if world.mailbox.arm():
                    resting.append(True)
                    return

        threads.run([take_all, lambda: world.send(1), lambda: world.send(2)], Random(seed))
        assert resting
        # What came after the taker went to rest is still there, and the taker has been told.
        assert len(world.mailbox) == 0 or world.notified >= 1
        assert world.notified <= 2


def test_no_outsider_gets_in_once_they_are_refused() -> None:
    threads = Interleaver(TRACED)
    for seed in runs(100):
        with threads.locks():
            world = World(MailboxPolicy())
        seen: list[int] = []

        def shut(world: World = world, seen: list[int] = seen) -> None:
            world.mailbox.refuse_outsiders()
            seen.append(len(world.mailbox))

        threads.run([lambda: world.send(1, 2), shut], Random(seed))
        world.take(10)
        assert len(world.taken) + len(world.refused) == 2
        world.send(3)
        assert 3 in world.refused


def test_a_withdrawn_message_is_either_taken_or_given_back() -> None:
    threads = Interleaver(TRACED)
    for seed in runs(100):
        with threads.locks():
            world = World(MailboxPolicy.wait(1))
            world.send(1, 2)
        pending = world.pending_puts[0]
        outcome: list[bool] = []
        threads.run([lambda: outcome.append(pending.withdraw()), lambda: world.take(1)], Random(seed))
        world.take(5)
        assert world.taken == ([1] if outcome == [True] else [1, 2])
        assert pending.done
        assert pending.admitted is not outcome[0]
