"""The mailbox of one agent: bounded, in three bands, with an overflow policy."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque

from coterie.concurrency import Rank, new_lock
from coterie.concurrency.threads import defer
from coterie.errors import MailboxFull
from coterie.kernel import Address, Clock
from coterie.kernel.address import DURABLE_NODE
from coterie.messaging.envelope import Envelope, MessagePriority
from coterie.messaging.pending_put import PendingPut
from coterie.messaging.policy import MailboxPolicy, Overflow
from coterie.messaging.stale import MailboxEnds, MailboxTaker, StaleMessages

_SYSTEM = int(MessagePriority.SYSTEM)
_NORMAL = int(MessagePriority.NORMAL)
_SAMPLE = 15
"""A message is timed when the count of messages before it has none of these bits: about one in sixteen."""
_MARGIN = 256
"""A mailbox counts exactly, under its lock, when fewer places than this are free. It must be more than there are
threads that can be in the middle of `put` at once."""
_LOCK_FREE = bool(getattr(sys, "_is_gil_enabled", lambda: True)())
"""True if the interpreter runs one bytecode at a time, over all threads. The path without a lock in `put` needs that."""


class Mailbox:
    """The messages of one agent that are not handled yet.

    Many threads put; one at a time takes: the one that holds the agent.

    While the mailbox is open, not nearly full, and has only ever held messages of the band normal, it is `_plain`, and
    `put` takes no lock: it appends, which is atomic, and then checks `_plain` again. A thread that ends the plain state does so
    before it acts on that, so a sender that appended too late sees the change at its second check, and takes its message back.
    The taker arms the notification before its last look at the queue, and the sender appends before it reads the notification
    flag, so at least one of them sees the other. All other steps hold `_lock`. Popping at the left end is atomic too; the taker
    does it, and, under the lock, a sender that drops the oldest message.

    `taker` is woken when a message arrives after it called `arm`: once a burst, not once a message. `ends` gets
    the messages that no taker gets. Both are called without the lock, by the thread that causes the call. A message whose ask has ended, or whose time is over, keeps its place until a sender needs it.
    """

    __slots__ = (
        "_armed",
        "_clock",
        "_closed",
        "_ends",
        "_lock",
        "_no_outsiders",
        "_normal",
        "_plain",
        "_roomy",
        "_sample",
        "_stale",
        "_urgent",
        "_waiting",
        "cancelled",
        "dropped",
        "expired",
        "owner",
        "policy",
        "rejected",
        "taken",
        "taker",
    )

    def __init__(
        self,
        owner: Address,
        policy: MailboxPolicy,
        clock: Clock,
        *,
        taker: MailboxTaker,
        ends: MailboxEnds,
    ) -> None:
        self.owner = owner
        self.policy = policy
        self.taken = 0
        """Messages taken so far. Written by the taker alone."""
        self.rejected = 0
        """Messages refused for want of room so far."""
        self.expired = 0
        """Messages that expired before they got a place, or whose place was needed after they had expired, so far."""
        self.cancelled = 0
        """Messages whose place was needed after their ask had ended, so far."""
        self.dropped = 0
        """Messages taken in, and then dropped to make room, so far."""
        self._clock = clock
        self.taker = taker
        self._ends = ends
        self._lock = new_lock(Rank.MAILBOX)
        self._normal: deque[Envelope] = deque()
        self._urgent: tuple[deque[Envelope], deque[Envelope]] | None = None
        self._waiting: OrderedDict[PendingPut, None] | None = None
        self._closed = False
        self._no_outsiders = False
        self._plain = _LOCK_FREE
        self._roomy = policy.capacity - _MARGIN
        self._sample = 0
        self._armed = False
        self._stale: StaleMessages | None = None

    def __len__(self) -> int:
        """Return the number of queued messages, without those that wait outside."""
        return len(self._normal) + (sum(map(len, self._urgent)) if self._urgent is not None else 0)

    @property
    def accepted(self) -> int:
        """Messages taken in so far; exact when nothing moves."""
        return self.taken + self.dropped + len(self)

    @property
    def waiting(self) -> int:
        """The number of messages that wait outside for room."""
        return len(self._waiting) if self._waiting else 0

    def put(self, envelope: Envelope) -> PendingPut | None:
        """Take a message in and return None, or return a pending put for it if it has to wait for room. Never blocks.

        A closed mailbox has its `ends` refuse it. Raises `MailboxFull` if the policy is to reject.
        """
        normal = self._normal
        if not self._plain or envelope.priority != _NORMAL or len(normal) >= self._roomy:
            return self._put_carefully(envelope)
        # Two senders may count one for two: it is only there to pick some.
        self._sample = sample = self._sample + 1
        if not sample & _SAMPLE:
            envelope.taken_at = self._clock.monotonic()
        normal.append(envelope)
        # Type checkers assume that no other thread can have changed it since.
        if not self._plain:
            self._look_again(envelope)  # type: ignore[unreachable]
        if self._armed:
            self._notify_taker()
        return None

    def take(self) -> Envelope | None:
        """Return the next message, or None if the mailbox is empty. Only for the thread that holds the agent."""
        band = self._normal
        if self._urgent is not None:
            band = self._urgent[0] or self._urgent[1] or band
        try:
            envelope = band.popleft()
        except IndexError:
            # It is empty, perhaps because a sender has just dropped its last message to make room.
            return self.take() if band is not self._normal else None
        self.taken += 1
        if self._waiting:
            self._admit()
        return envelope

    def put_back(self, envelope: Envelope) -> None:
        """Return a taken message to the queue, before all others of its band. Only for the taker."""
        with self._lock:
            self._band(envelope.priority).appendleft(envelope)
            self.taken -= 1

    def ask_ended(self) -> None:
        """Note that an ask has ended whose message may be queued. From any thread."""
        stale = self._stale
        if stale is None:
            # Two threads may each make one, and one of the two counts is lost; it is a hint.
            stale = self._stale = StaleMessages()
        stale.ended_asks += 1
        if self._waiting:
            self._admit()

    def arm(self) -> bool:
        """Request a notification of the next message. Return False, and do nothing, if a message is queued already."""
        self._armed = True
        if not self._normal and (self._urgent is None or not any(self._urgent)):
            return True
        with self._lock:
            # A sender that has seen the flag by now notifies. That does no harm.
            self._armed = False
        return False

    def refuse_outsiders(self) -> None:
        """From now on accept messages only from agents of the same node and from the runtime."""
        with self._lock:
            self._no_outsiders = True
            self._plain = False

    @property
    def closing(self) -> bool:
        """True if it refuses all messages, or those from outside."""
        return self._closed or self._no_outsiders

    @property
    def closed(self) -> bool:
        """True if it refuses all messages."""
        return self._closed

    def close(self) -> None:
        """Accept no more messages. Queued messages stay; waiting messages are refused."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(self.close)
            return
        with self._lock:
            self._closed = True
            self._plain = False
            turned_away, self._waiting = self._waiting, None
        for pending in turned_away or ():
            self._ends.refuse(pending.envelope)
            pending.end()

    def after_fork_in_child(self) -> None:
        """Refuse all messages in a forked process, where no thread takes them."""
        self._lock = new_lock(Rank.MAILBOX)
        self._closed = True
        self._plain = False

    def empty(self) -> list[Envelope]:
        """Remove and return all queued messages, most urgent first. Only for the taker, or when no thread takes."""
        left: list[Envelope] = []
        with self._lock:
            for band in (*(self._urgent or ()), self._normal):
                while band:
                    left.append(band.popleft())
            self.taken += len(left)
        return left

    def peek(self, max_count: int) -> list[Envelope]:
        """Return up to `max_count` of the queued messages in the order in which they will be taken, and leave them."""
        with self._lock:
            bands = [band.copy() for band in (*(self._urgent or ()), self._normal)]
        return [envelope for band in bands for envelope in band][:max_count]

    def _put_carefully(self, envelope: Envelope) -> PendingPut | None:
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self._put_later(envelope))
            return None
        overdue: list[Envelope] = []
        pending = dropped = None
        try:
            with self._lock:
                shut_out = self._shuts_out(envelope)
                if not shut_out:
                    pending, dropped = self._take_in(envelope, overdue)
        finally:
            for each in overdue:
                self._ends.expire_outside(each)
        if shut_out:
            self._ends.refuse(envelope)
            return None
        if pending is not None:
            # The taker may have made room, and looked for waiting messages, just before this one began to wait.
            self._admit()
        if self._armed:
            self._notify_taker()
        if dropped is not None:
            self._ends.make_room(dropped)
        return pending

    def _take_in(self, envelope: Envelope, overdue: list[Envelope]) -> tuple[PendingPut | None, Envelope | None]:
        """Queue a message, or let it wait outside. Return its pending put, and the message that was dropped for it."""
        band = self._band(envelope.priority)
        if envelope.priority == _SYSTEM or not self._is_full(overdue):
            band.append(envelope)
            return None, None
        if self.policy.overflow is Overflow.WAIT:
            return self._queue_outside(envelope), None
        if self.policy.overflow is Overflow.REJECT:
            self.rejected += 1
            kind = type(envelope.message).__qualname__
            raise MailboxFull(self.owner.name, kind, self.policy.capacity, "and its policy is to reject what is more")
        band.append(envelope)
        return None, self._drop_oldest()

    def _put_later(self, envelope: Envelope) -> None:
        """Accept a message whose sender had interrupted the owner of the lock, so the sender gets no result."""
        try:
            self._put_carefully(envelope)
        except MailboxFull:
            self._ends.make_room(envelope)

    def _look_again(self, envelope: Envelope) -> None:
        """Take a message back that came in by the quick way while the mailbox was being closed to it."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self._look_again(envelope))
            return
        with self._lock:
            if not self._shuts_out(envelope):
                return
            try:
                self._normal.remove(envelope)
            except ValueError:
                # The taker, or the thread that emptied the mailbox, has it.
                return
        self._ends.refuse(envelope)

    def _notify_taker(self) -> None:
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(self._notify_taker)
            return
        with self._lock:
            armed, self._armed = self._armed, False
        if armed:
            self.taker.wake()

    def _shuts_out(self, envelope: Envelope) -> bool:
        if self._closed or not self._no_outsiders or envelope.priority == _SYSTEM:
            return self._closed
        sender = envelope.sender
        return sender is None or sender.address.node not in (self.owner.node, DURABLE_NODE)

    def _band(self, priority: int) -> deque[Envelope]:
        if priority == _NORMAL:
            return self._normal
        if self._urgent is None:
            self._plain = False
            self._urgent = (deque(), deque())
        return self._urgent[0 if priority == _SYSTEM else 1]

    def _is_full(self, overdue: list[Envelope]) -> bool:
        """Return whether a message has to wait outside; add those that were removed to make room to `overdue`."""
        if not self._waiting and self._held() < self.policy.capacity:
            return False
        overdue += self._remove_stale()
        # Messages that wait outside came first: none may overtake them through a gap that has just opened.
        return bool(self._waiting) or self._held() >= self.policy.capacity

    def _remove_stale(self) -> list[Envelope]:
        """Remove some of the messages whose ask has ended or whose time is over; return those whose time is over."""
        bands = (self._normal, *(self._urgent or ())[1:])
        if self._stale is None:
            self._stale = StaleMessages()
        overdue, ended = self._stale.remove(bands, self._held(), self._clock.monotonic())
        self.expired += len(overdue)
        self.cancelled += ended
        return overdue

    def _held(self) -> int:
        return len(self._normal) + (len(self._urgent[1]) if self._urgent is not None else 0)

    def _queue_outside(self, envelope: Envelope) -> PendingPut:
        self._plain = False
        pending = PendingPut(envelope, self._withdraw)
        if self._waiting is None:
            self._waiting = OrderedDict()
        # In order, and yet each is withdrawn in one step: nothing under the lock grows with the number that waits.
        self._waiting[pending] = None
        return pending

    def _drop_oldest(self) -> Envelope | None:
        for band in (self._normal, *(self._urgent or ())[1:]):
            try:
                dropped = band.popleft() if self._held() > self.policy.capacity else None
            except IndexError:
                # The taker was quicker, and has made room.
                continue
            self.dropped += dropped is not None
            return dropped
        return None

    def _admit(self) -> None:
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(self._admit)
            return
        admitted = []
        with self._lock:
            overdue = self._remove_stale() if self._waiting and self._held() >= self.policy.capacity else []
            while self._waiting and self._held() < self.policy.capacity:
                pending, _ = self._waiting.popitem(last=False)
                self._band(pending.envelope.priority).append(pending.envelope)
                admitted.append(pending)
            self._become_plain()
        if self._armed and admitted:
            self._notify_taker()
        for each in overdue:
            self._ends.expire_outside(each)
        for pending in admitted:
            pending.end(admitted=True)

    def _become_plain(self) -> None:
        self._plain = _LOCK_FREE and not (self._waiting or self._urgent or self._closed or self._no_outsiders)

    def _withdraw(self, pending: PendingPut) -> bool:
        with self._lock:
            if not self._waiting or pending not in self._waiting:
                return False
            del self._waiting[pending]
            deadline = pending.envelope.deadline
            pending.expired = deadline is not None and deadline <= self._clock.monotonic()
            if pending.expired:
                self.expired += 1
            elif pending.envelope.reply is not None and pending.envelope.reply.done:
                self.cancelled += 1
            else:
                self.rejected += 1
            self._become_plain()
            return True
