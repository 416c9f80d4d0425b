"""A message that an agent sends itself later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from coterie.concurrency import Timer
from coterie.errors import InvalidMessage, MailboxFull
from coterie.kernel import check_number
from coterie.messaging import Message, MessagePriority
from coterie.messaging.envelope import Envelope
from coterie.messaging.mailbox import PendingPut
from coterie.runtime.references import mailbox_room
from coterie.runtime.references.logs import AgentLog
from coterie.runtime.references.mailbox_room import MailboxOwner, WaitServices
from coterie.runtime.references.reference import AgentRef


class TimerOwner(MailboxOwner, Protocol):
    """The agent that gets the message."""

    @property
    def services(self) -> WaitServices:
        """The runtime's clock and timers."""
        ...

    @property
    def reference(self) -> AgentRef:
        """The sender of the message."""
        ...

    @property
    def deliver(self) -> Callable[[Envelope], PendingPut | None]:
        """The function that puts an envelope into the mailbox."""
        ...

    @property
    def log(self) -> AgentLog:
        """The agent's log."""
        ...


class AgentTimer:
    """A message of an agent to itself, sent once or repeatedly. It ends with the incarnation that asked for it.

    `cancel` may be called from any thread. The timers' thread puts a message that is due into the mailbox, and never
    waits for room: the message waits by itself. `active` holds the timers of the incarnation; a timer adds and removes
    itself by single operations of the set.
    """

    __slots__ = ("_active", "_cancelled", "_message", "_owner", "_priority", "_repeat", "_seconds", "_timer")

    def __init__(
        self,
        owner: TimerOwner,
        active: set[AgentTimer],
        message: Message,
        priority: MessagePriority,
        seconds: float,
        *,
        repeat: bool,
    ) -> None:
        if not isinstance(message, Message):
            raise InvalidMessage(message, owner.name)
        check_number("every" if repeat else "after", seconds, above=0 if repeat else None)
        self._owner = owner
        self._active = active
        self._message = message
        self._priority = priority
        self._seconds = seconds
        self._repeat = repeat
        self._cancelled = False
        self._timer: Timer | None = None
        active.add(self)
        self._plan(owner.services.clock.monotonic() + seconds)

    def cancel(self) -> None:
        """Send no further message."""
        self._cancelled = True
        self._active.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _plan(self, when: float) -> None:
        # Each time counts from when the last was due, so that the rhythm does not drift.
        self._timer = self._owner.services.timers.call_at(when, lambda: self._due(when))
        if self._cancelled:
            self._timer.cancel()

    def _due(self, when: float) -> None:
        if self._cancelled:
            return
        if self._repeat:
            self._plan(when + self._seconds)
        else:
            self._active.discard(self)
        owner = self._owner
        envelope = Envelope(self._message, owner.reference, None, None, self._priority)

        def rejected(full: MailboxFull) -> None:
            owner.log.warning("the message of a timer was lost: %s", full)

        try:
            pending = owner.deliver(envelope)
        except MailboxFull as full:
            rejected(full)
            return
        if pending is not None:
            mailbox_room.attend(owner.services, owner, pending, rejected)
