"""A message that an agent sends itself later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, get_args

from coterie.concurrency import Timer
from coterie.errors import AgentStopped, HandlerFailed, InvalidMessage, InvalidSetting, MailboxFull
from coterie.kernel import check_number
from coterie.messaging import Message, MessagePriority
from coterie.messaging.envelope import Envelope
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.references import mailbox_room
from coterie.runtime.references.invocation import carried
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
    def stopping(self) -> bool:
        """True once the agent, or its runtime, has begun to stop."""
        ...

    @property
    def log(self) -> AgentLog:
        """The agent's log."""
        ...


Rhythm = Literal["fixed-rate", "fixed-delay"]
"""The moment from which the next time of a periodic timer counts."""


class AgentTimer:
    """A message of an agent to itself, sent once or repeatedly. It ends with the incarnation that asked for it.

    A periodic timer ends when its agent or its runtime begins to stop. At most one message of a timer waits in the mailbox. If
    the next is due while one still waits, it is skipped and counted in `missed`, and later messages keep the original rhythm.
    With the rhythm "fixed-delay" the next is due so many seconds after the end of the last handler. A message that still waits
    when the timer is cancelled, or when its incarnation ends, is not handled any more.

    `cancel` may be called from any thread. The timers' thread puts a message that is due into the mailbox, and never
    waits for room: the message waits by itself. `active` holds the timers of the incarnation; a timer adds and removes
    itself by single operations of the set.
    """

    __slots__ = (
        "_active",
        "_cancelled",
        "_context",
        "_fixed_delay",
        "_message",
        "_owner",
        "_priority",
        "_repeat",
        "_seconds",
        "_timer",
        "_waiting",
        "missed",
    )

    def __init__(
        self,
        owner: TimerOwner,
        active: dict[AgentTimer, None],
        message: Message,
        priority: MessagePriority,
        seconds: float,
        *,
        repeat: bool,
        rhythm: Rhythm = "fixed-rate",
    ) -> None:
        if not isinstance(message, Message):
            raise InvalidMessage(message, owner.name)
        check_number("every" if repeat else "after", seconds, above=0 if repeat else None)
        if rhythm not in get_args(Rhythm):
            raise InvalidSetting("rhythm", rhythm, "one of " + ", ".join(map(repr, get_args(Rhythm))))
        self._owner = owner
        self._active = active
        self._message = message
        self._priority = priority
        self._seconds = seconds
        self._repeat = repeat
        self._fixed_delay = rhythm == "fixed-delay"
        self._context = carried()
        self._cancelled = False
        self._waiting: _TimerPort | None = None
        self._timer: Timer | None = None
        self.missed = 0
        """The number of messages that were skipped because the one before still waited, or because there was no room."""
        active[self] = None
        self._plan(owner.services.clock.monotonic() + seconds)

    @property
    def cancelled(self) -> bool:
        """True once no message of it is handled any more."""
        return self._cancelled

    def cancel(self) -> None:
        """Send no further message, and let none that waits be handled."""
        self._cancelled = True
        self._active.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()

    def taken(self, port: _TimerPort) -> bool:
        """Record that the agent takes a message, so that another may wait. Return False if it must not be handled."""
        if self._waiting is port:
            self._waiting = None
        if not self._repeat:
            self._active.pop(self, None)
        return not self._cancelled

    def ended(self, port: _TimerPort) -> None:
        """Handle that a message has been handled, or that it never will be."""
        if self._waiting is port:
            self._waiting = None
        if self._repeat and self._fixed_delay and not self._cancelled:
            self._plan(self._owner.services.clock.monotonic() + self._seconds)

    def failed(self, port: _TimerPort, error: BaseException) -> None:
        """Handle that the handler of a message raised, or that no handler got the message."""
        if isinstance(error, HandlerFailed):
            self._owner.log.warning("the message of a timer was not handled: %s", error)
        elif isinstance(error, AgentStopped):
            self.cancel()
        self.ended(port)

    def _plan(self, when: float) -> None:
        self._timer = self._owner.services.timers.call_at(when, lambda: self._due(when))
        if self._cancelled:
            self._timer.cancel()

    def _due(self, when: float) -> None:
        if self._cancelled:
            return
        if self._repeat and self._owner.stopping:
            # Else the agent would never have handled all its messages.
            self.cancel()
            return
        if self._repeat and not self._fixed_delay:
            # Each time counts from when the last was due, so that the rhythm does not drift. Times that have passed
            # meanwhile are not made up for.
            overdue = max(0, int((self._owner.services.clock.monotonic() - when) / self._seconds))
            self.missed += overdue
            self._plan(when + (1 + overdue) * self._seconds)
        if self._waiting is not None:
            self.missed += 1
            return
        self._waiting = port = _TimerPort(self)
        owner = self._owner
        context = self._context.copy() if self._context is not None else None
        envelope = Envelope(self._message, owner.reference, port, None, self._priority, context=context)

        def rejected(full: MailboxFull) -> None:
            self.missed += 1
            if str(self.missed).strip("0") == "1":
                owner.log.warning("a timer has missed %d messages by now; the latest: %s", self.missed, full)
            self.ended(port)

        try:
            pending = owner.deliver(envelope)
        except MailboxFull as full:
            rejected(full)
            return
        if pending is not None:
            mailbox_room.attend(owner.services, owner, pending, rejected)


class _TimerPort:
    """Reports the end of a message to its timer, as a reply port does to an asker. No code waits for an answer."""

    __slots__ = ("_timer",)

    def __init__(self, timer: AgentTimer) -> None:
        self._timer = timer

    @property
    def correlation(self) -> int:
        """No number: nothing is asked."""
        return 0

    @property
    def done(self) -> bool:
        """True if the message is not to be handled any more."""
        return self._timer.cancelled

    def taken(self) -> bool:
        """Record that the agent takes the message. Return False if it must not be handled any more."""
        return self._timer.taken(self)

    def succeed(self, value: Any) -> bool:  # noqa: ARG002 - as in every reply port
        """Note that the message has been handled."""
        self._timer.ended(self)
        return True

    def fail(self, error: BaseException) -> bool:
        """Note that the message was not handled."""
        self._timer.failed(self, error)
        return True

    def expire(self) -> None:
        """Do nothing: the messages of timers have no deadline."""
