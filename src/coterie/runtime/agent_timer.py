"""A message that an agent sends itself later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coterie.concurrency import Timer
from coterie.errors import InvalidMessage, MailboxFull
from coterie.kernel import check_number
from coterie.messaging import Envelope, Message, MessagePriority
from coterie.runtime import admission

if TYPE_CHECKING:
    from coterie.runtime.incarnation import Incarnation


class AgentTimer:
    """A message to oneself, once or again and again. It ends with the life of the agent that asked for it.

    `cancel` may be called from any thread. What is due is put into the agent's mailbox by the timers' thread, which
    never waits for room: the message does, by itself.
    """

    __slots__ = ("_cancelled", "_incarnation", "_message", "_priority", "_repeat", "_seconds", "_timer")

    def __init__(
        self, incarnation: Incarnation, message: Message, priority: MessagePriority, seconds: float, *, repeat: bool
    ) -> None:
        if not isinstance(message, Message):
            raise InvalidMessage(message, incarnation.cell.name)
        check_number("every" if repeat else "after", seconds, above=0 if repeat else None)
        self._incarnation = incarnation
        self._message = message
        self._priority = priority
        self._seconds = seconds
        self._repeat = repeat
        self._cancelled = False
        self._timer: Timer | None = None
        incarnation.reminders.add(self)
        self._plan(incarnation.cell.now() + seconds)

    def cancel(self) -> None:
        """Do not send it any more."""
        self._cancelled = True
        self._incarnation.reminders.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _plan(self, when: float) -> None:
        # Each time counts from when the last was due, so that the rhythm does not drift.
        self._timer = self._incarnation.cell.services.timers.call_at(when, lambda: self._due(when))
        if self._cancelled:
            self._timer.cancel()

    def _due(self, when: float) -> None:
        if self._cancelled:
            return
        if self._repeat:
            self._plan(when + self._seconds)
        else:
            self._incarnation.reminders.discard(self)
        cell = self._incarnation.cell
        envelope = Envelope(self._message, cell.reference, None, None, self._priority)

        def rejected(full: MailboxFull) -> None:
            cell.log.warning("a timed message was lost: %s", full)

        try:
            pending = cell.admit(envelope)
        except MailboxFull as full:
            rejected(full)
            return
        if pending is not None:
            admission.attend(cell.services, cell, pending, rejected)
