"""The mailbox against a model of it that is too simple to be wrong."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from coterie.errors import MailboxFull
from coterie.kernel import Address, SystemClock
from coterie.messaging import MailboxPolicy, Message, MessagePriority, Overflow
from coterie.messaging.envelope import Envelope, Reference
from coterie.messaging.mailbox import Mailbox
from coterie.messaging.pending_put import PendingPut
from coterie.testing import ManualClock
from tests.messaging.ends import Ends, Idle


class Note(Message):
    n: int


class Somebody:
    address = Address("node", "somebody")

    def tell(self, message: Message) -> None: ...


SOMEBODY: Reference = Somebody()


class MailboxMachine(RuleBasedStateMachine):
    """Every state a mailbox can get into by one caller after the other."""

    pending_puts = Bundle("pending_puts")

    @initialize(capacity=st.sampled_from([1, 2, 3, 300]), overflow=st.sampled_from(list(Overflow)))
    def make(self, capacity: int, overflow: Overflow) -> None:
        self.capacity = capacity
        self.overflow = overflow
        self.notified = 0
        self.dropped: list[int] = []
        self.refused: list[int] = []
        self.mailbox = Mailbox(
            Address("node", "agent"),
            MailboxPolicy(capacity, overflow),
            SystemClock(),
            taker=self,
            ends=Ends(
                lambda envelope: self.dropped.append(envelope.message.n),  # type: ignore[attr-defined]
                lambda envelope: self.refused.append(envelope.message.n),  # type: ignore[attr-defined]
                lambda _: None,
            ),
        )
        self.model: list[tuple[int, int]] = []
        self.outside: list[tuple[int, int, PendingPut]] = []
        self.gone: list[int] = []
        self.armed = False
        self.closed = False
        self.insiders_only = False
        self.numbers = 0

    def wake(self) -> None:
        self.notified += 1

    def held(self) -> int:
        return len([each for each in self.model if each[0] != MessagePriority.SYSTEM])

    @rule(target=pending_puts, priority=st.sampled_from(list(MessagePriority)), insider=st.booleans())
    def put(self, priority: MessagePriority, insider: bool) -> PendingPut | None:
        self.numbers += 1
        n = self.numbers
        envelope = Envelope(Note(n), sender=SOMEBODY if insider else None, priority=priority)
        notified, dropped, refused = self.notified, len(self.dropped), len(self.refused)
        shut = self.closed or (self.insiders_only and not insider and priority != MessagePriority.SYSTEM)
        full = priority != MessagePriority.SYSTEM and (self.held() >= self.capacity or bool(self.outside))
        if not shut and full and self.overflow is Overflow.REJECT:
            with pytest.raises(MailboxFull):
                self.mailbox.put(envelope)
            return None
        pending = self.mailbox.put(envelope)
        if shut:
            assert (pending, len(self.refused)) == (None, refused + 1)
            return None
        if full and self.overflow is Overflow.WAIT:
            assert pending is not None
            assert not pending.done
            self.outside.append((priority, n, pending))
            return pending
        assert pending is None
        self.model.append((priority, n))
        if full:
            band = max(each[0] for each in self.model)
            victim = next(each for each in self.model if each[0] == band)
            self.model.remove(victim)
            assert self.dropped[dropped:] == [victim[1]]
        assert self.notified == notified + self.armed
        self.armed = False
        return None

    @rule()
    def take(self) -> None:
        envelope = self.mailbox.take()
        if not self.model:
            assert envelope is None
            return
        band = min(each[0] for each in self.model)
        expected = next(each for each in self.model if each[0] == band)
        assert envelope is not None
        assert (envelope.priority, envelope.message) == (expected[0], Note(expected[1]))
        self.model.remove(expected)
        self.let_in()

    def let_in(self) -> None:
        while self.outside and self.held() < self.capacity:
            priority, n, pending = self.outside.pop(0)
            assert pending.done
            assert pending.admitted
            self.model.append((priority, n))

    @rule()
    def take_and_put_back(self) -> None:
        if not self.outside:
            envelope = self.mailbox.take()
            if envelope is not None:
                self.mailbox.put_back(envelope)

    @rule(pending=consumes(pending_puts))
    def withdraw(self, pending: PendingPut | None) -> None:
        if pending is None:
            return
        waiting = [each for each in self.outside if each[2] is pending]
        assert pending.withdraw() == bool(waiting)
        for each in waiting:
            self.outside.remove(each)
            assert pending.withdrawn

    @rule()
    def arm(self) -> None:
        assert self.mailbox.arm() == (not self.model)
        self.armed = not self.model

    @rule()
    def refuse_outsiders(self) -> None:
        self.mailbox.refuse_outsiders()
        self.insiders_only = True

    @rule()
    def close(self) -> None:
        self.mailbox.close()
        self.closed = True
        for _, n, pending in self.outside:
            assert pending.done
            assert not pending.admitted
            assert n in self.refused
        self.outside.clear()

    @rule()
    def empty_when_closed(self) -> None:
        if self.closed:
            left = [(envelope.priority, envelope.message.n) for envelope in self.mailbox.empty()]  # type: ignore[attr-defined]
            assert left == sorted(self.model, key=lambda each: each[0])
            self.model.clear()

    @invariant()
    def shows_what_it_holds(self) -> None:
        if hasattr(self, "mailbox"):
            assert len(self.mailbox) == len(self.model)
            assert self.mailbox.waiting == len(self.outside)
            shown = [(envelope.priority, envelope.message.n) for envelope in self.mailbox.peek(1_000)]  # type: ignore[attr-defined]
            assert shown == sorted(self.model, key=lambda each: each[0])


MailboxMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestMailbox = MailboxMachine.TestCase


def test_an_invalid_policy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"MailboxPolicy\.capacity=0: need a whole number of at least 1"):
        MailboxPolicy(0)
    with pytest.raises(ValueError, match=r"MailboxPolicy\.timeout=-1: need a number of at least 0, or None"):
        MailboxPolicy.wait(timeout=-1)
    with pytest.raises(ValueError, match='overflow=\'explode\': need one of "wait", "reject", "drop-oldest"'):
        MailboxPolicy(3, "explode")  # type: ignore[arg-type] # on purpose
    assert MailboxPolicy(3, "drop_oldest") == MailboxPolicy.drop_oldest(3)  # type: ignore[arg-type] # a name will do


def test_some_messages_are_timed() -> None:
    mailbox = Mailbox(
        Address("n", "a"),
        MailboxPolicy(),
        SystemClock(),
        taker=Idle(),
        ends=Ends(),
    )
    for n in range(160):
        mailbox.put(Envelope(Note(n=n)))
    assert len([envelope for envelope in mailbox.peek(200) if envelope.taken_at]) == 10


def test_a_message_that_waits_is_withdrawn_without_a_look_at_those_before_it() -> None:
    looked = 0

    class Watched(PendingPut):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal looked
            looked += 1
            return self is other

        __hash__ = PendingPut.__hash__

    box = Mailbox(
        Address("node", "owner"),
        MailboxPolicy.wait(capacity=1),
        SystemClock(),
        taker=Idle(),
        ends=Ends(),
    )
    box.put(Envelope(Note(n=0)))
    waiting = [box.put(Envelope(Note(n=n))) for n in range(100)]
    for pending in waiting:
        assert pending is not None
        pending.__class__ = Watched
    looked = 0
    for pending in reversed(waiting):
        assert pending is not None
        assert pending.withdraw()
    assert looked <= 200
    assert box.waiting == 0


class Asker:
    """The receiver of an answer, as far as a mailbox looks at it."""

    correlation = 1

    def __init__(self) -> None:
        self.done = False

    def taken(self) -> bool:
        return not self.done

    def succeed(self, value: object) -> bool:
        return False

    def fail(self, error: BaseException) -> bool:
        return False

    def expire(self) -> None: ...


class Asked:
    """A mailbox with asks in it, and what has become of them."""

    def __init__(self, policy: MailboxPolicy) -> None:
        self.clock = ManualClock()
        self.overdue: list[int] = []
        self.dropped: list[int] = []
        self.notified = 0
        self.mailbox = Mailbox(
            Address("node", "agent"),
            policy,
            self.clock,
            taker=self,
            ends=Ends(
                lambda envelope: self.dropped.append(envelope.message.n),  # type: ignore[attr-defined]
                lambda _: None,
                lambda envelope: self.overdue.append(envelope.message.n),  # type: ignore[attr-defined]
            ),
        )

    def wake(self) -> None:
        self.notified += 1

    def ask(self, n: int, deadline: float | None = None) -> Asker:
        asker = Asker()
        self.mailbox.put(Envelope(Note(n), reply=asker, deadline=deadline))
        return asker

    def end(self, *askers: Asker) -> None:
        for asker in askers:
            asker.done = True
            self.mailbox.ask_ended()

    def queued(self) -> list[int]:
        return [envelope.message.n for envelope in self.mailbox.peek(100_000)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("overflow", list(Overflow))
def test_asks_that_have_ended_give_their_places_away_when_they_are_needed(overflow: Overflow) -> None:
    asked = Asked(MailboxPolicy(3, overflow))
    askers = [asked.ask(n) for n in range(3)]
    asked.end(askers[1])
    assert asked.queued() == [0, 1, 2]
    assert asked.mailbox.put(Envelope(Note(3))) is None
    assert asked.queued() == [0, 2, 3]
    assert (asked.mailbox.cancelled, asked.mailbox.expired, asked.mailbox.dropped) == (1, 0, 0)
    assert not asked.overdue


def test_messages_whose_time_is_over_give_their_places_away_too() -> None:
    asked = Asked(MailboxPolicy.reject(3))
    for n in range(3):
        asked.mailbox.put(
            Envelope(Note(n), deadline=1.0 if n else None, priority=MessagePriority.HIGH if n == 2 else MessagePriority.NORMAL)
        )
    with pytest.raises(MailboxFull):
        asked.mailbox.put(Envelope(Note(3)))
    asked.clock.advance(1.0)
    asked.mailbox.put(Envelope(Note(3)))
    assert asked.queued() == [0, 3]
    assert (asked.overdue, asked.mailbox.expired, asked.mailbox.accepted) == ([1, 2], 2, 2)


def test_a_message_that_waits_outside_comes_in_when_an_ask_ends() -> None:
    asked = Asked(MailboxPolicy.wait(2))
    first, _ = asked.ask(0), asked.ask(1)
    pending = asked.mailbox.put(Envelope(Note(2)))
    assert pending is not None
    asked.end(first)
    assert pending.admitted
    assert asked.queued() == [1, 2]


def test_a_waiting_taker_is_notified_of_a_message_that_enters_when_an_ask_ends() -> None:
    asked = Asked(MailboxPolicy.wait(1))
    first = asked.ask(0)
    pending = asked.mailbox.put(Envelope(Note(1)))
    assert pending is not None
    asked.mailbox._armed = True  # as if the taker had found it empty between the removal and the admission
    asked.end(first)
    assert asked.notified == 1


def test_a_large_mailbox_is_looked_through_for_a_fair_share_only() -> None:
    asked = Asked(MailboxPolicy.reject(10_000))
    askers = [asked.ask(n) for n in range(10_000)]
    with pytest.raises(MailboxFull):
        asked.mailbox.put(Envelope(Note(-1)))
    stale = asked.mailbox._stale
    assert stale is not None
    looked = stale._looked_at
    asked.end(askers[0])
    with pytest.raises(MailboxFull):
        asked.mailbox.put(Envelope(Note(-1)))
    asked.clock.advance(0.2)
    asked.mailbox.put(Envelope(Note(-1)))
    assert stale._looked_at > looked
    asked.end(*askers[5_000:])
    for n in range(4_000):
        asked.mailbox.put(Envelope(Note(-2 - n)))
    assert asked.queued()[:4_999] == list(range(1, 5_000))
    assert asked.queued()[-4_000:] == [-2 - n for n in range(4_000)]


def test_a_queued_message_of_an_ended_ask_counts_as_cancelled() -> None:
    asked = Asked(MailboxPolicy.wait(1))
    asked.mailbox.put(Envelope(Note(0)))
    asker = Asker()
    pending = asked.mailbox.put(Envelope(Note(1), reply=asker))
    assert pending is not None
    asker.done = True
    assert pending.withdraw()
    assert (asked.mailbox.cancelled, asked.mailbox.rejected) == (1, 0)
