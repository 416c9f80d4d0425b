"""The outcome of each message of an agent, and their counts."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Any, Protocol

from coterie.errors import (
    AgentStopped,
    AskCancelled,
    DeliveryError,
    HandlerFailed,
    MailboxFull,
    Unhandled,
    WaitTimeout,
    describe,
)
from coterie.kernel import Address, Clock
from coterie.messaging import MailboxPolicy, Message, Reason
from coterie.messaging.envelope import Envelope
from coterie.messaging.mailbox import Mailbox
from coterie.messaging.stale import MailboxTaker
from coterie.runtime.cells.metrics import AgentMetrics, Times
from coterie.runtime.cells.stash import Stash
from coterie.runtime.cells.streaming import COPIED
from coterie.runtime.definition.handlers import Handler
from coterie.runtime.definition.spec import AgentSpec
from coterie.runtime.references.logs import AgentLog
from coterie.runtime.references.reply import Reply

_ASKING_ERRORS = (DeliveryError, WaitTimeout)
"""Errors of asks. They fail the message and not the agent."""
_WAIT_FOR_REPLY = Reply._suspend.__code__  # noqa: SLF001 - it is only compared
_COUNTS = ("_times", "cancelled", "dead", "expired", "failed", "handled", "late")


class OutcomeServices(Protocol):
    """The parts of a runtime that record how messages end."""

    def count_refused(self) -> None:
        """Count a message that no mailbox took."""
        ...

    def dead_letter(self, envelope: Envelope, recipient: Address, reason: Reason, detail: str = "") -> None:
        """Record a message that no handler gets."""
        ...

    def stopped_error(self, name: str, message: Message, cause: BaseException | None) -> AgentStopped:
        """Return the error for an ask of an agent that has ended."""
        ...


class FailureCause(Protocol):
    """The part of an agent's life cycle that has the cause of its failure."""

    @property
    def cause(self) -> str:
        """The error for which the agent is down, as text; empty while it runs."""
        ...

    @property
    def error(self) -> BaseException | None:
        """The error with which the agent failed for good."""
        ...


class OutcomesOwner(Protocol):
    """The agent whose messages these are."""

    last_error: str

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def address(self) -> Address:
        """Its address."""
        ...

    @property
    def services(self) -> OutcomeServices:
        """The parts of the runtime."""
        ...

    @property
    def spec(self) -> AgentSpec:
        """Its specification, with its handlers."""
        ...

    @property
    def mailbox(self) -> Mailbox:
        """Its mailbox."""
        ...

    @property
    def stash(self) -> Stash:
        """Its postponed messages."""
        ...

    @property
    def postponed(self) -> int:
        """The number of its postponed messages."""
        ...

    @property
    def life(self) -> FailureCause:
        """Its life cycle."""
        ...

    @property
    def restarts(self) -> int:
        """The number of its restarts."""
        ...

    @property
    def log(self) -> AgentLog:
        """Its log."""
        ...

    def now(self) -> float:
        """Return the runtime's monotonic time."""
        ...


class Outcomes:
    """Ends messages: answers asks, counts, and records unhandled messages as dead letters.

    The counts are written by the agent's thread alone; `refuse` and `make_room`, which other threads call, count
    elsewhere.
    """

    __slots__ = ("_cell", "_times", "cancelled", "dead", "expired", "failed", "handled", "late")

    def __init__(self, cell: OutcomesOwner) -> None:
        self._cell = cell
        self._times: Times | None = None
        self.handled = 0
        self.failed = 0
        self.cancelled = 0
        self.expired = 0
        self.dead = 0
        """Messages that were taken in, but never given to a handler: there was none, or the agent ended before."""
        self.late = 0
        """Answers that came after their ask had ended. Those messages count as handled."""

    def mailbox(self, policy: MailboxPolicy, clock: Clock, taker: MailboxTaker) -> Mailbox:
        """Return a mailbox for the agent, whose messages end here where no handler gets them."""
        return Mailbox(self._cell.address, policy, clock, taker=taker, ends=self)

    def metrics(self) -> AgentMetrics:
        """Return the counts. From any thread."""
        mailbox = self._cell.mailbox
        return AgentMetrics(
            sent=mailbox.accepted + mailbox.rejected + mailbox.expired + mailbox.cancelled,
            handled=self.handled,
            failed=self.failed,
            cancelled=self.cancelled + mailbox.cancelled,
            expired=self.expired + mailbox.expired,
            rejected=mailbox.rejected,
            dead=self.dead + mailbox.dropped,
            queued=len(mailbox) + self._cell.postponed,
            waiting=mailbox.waiting,
            restarts=self._cell.restarts,
            late=self.late,
            latencies=self._times.latencies() if self._times is not None else None,
        )

    def closed(self, cancelled: int) -> ClosedOutcomes:
        """Return a frozen copy of the counts, with `cancelled` more cancelled messages."""
        closed = ClosedOutcomes(self._cell)
        for name in _COUNTS:
            setattr(closed, name, getattr(self, name))
        closed.cancelled += cancelled
        return closed

    def take_over(self, stuck: Outcomes) -> None:
        """Continue the counts of a stuck agent. Its messages in hand, which will never be counted otherwise, were cancelled."""
        for name in _COUNTS:
            setattr(self, name, getattr(stuck, name))
        ended = self.handled + self.failed + self.cancelled + self.expired + self.dead
        # All that the mailbox gave out, but for what has ended or is postponed, is in hand.
        self.cancelled += self._cell.mailbox.taken - ended - self._cell.postponed

    def record_times(self, waited: float, took: float) -> None:
        """Record how long a message waited, and how long its handler took, in seconds."""
        if self._times is None:
            self._times = Times()
        self._times.add(waited, took)

    def returned(self, envelope: Envelope, value: Any) -> None:
        """End a message whose handler returned."""
        self.handled += 1
        reply = envelope.reply
        if reply is None:
            return
        kind = value.__class__
        if kind in COPIED:
            # The asker may change its answer, and the agent goes on to change its state.
            value = value.copy()
        elif kind is Reply:
            # The handler passes the request on: the other agent's answer is the answer.
            value.pass_on(reply)
            return
        if not reply.succeed(value):
            self.late += 1

    def raised(self, handler: Handler, envelope: Envelope, error: BaseException, *, cancelled: bool) -> bool:
        """End a message whose handler raised, or put it back to be tried again. Return whether the agent has failed."""
        cell = self._cell
        kind = type(envelope.message).__qualname__
        if cancelled and isinstance(error, asyncio.CancelledError):
            self.cancelled += 1
            if envelope.reply is not None:
                why = f", for the agent failed: {cell.life.cause}" if cell.life.cause else ""
                envelope.reply.fail(AskCancelled(cell.name, kind, f"its handler was cancelled{why}"))
            return False
        fatal = not concerns_message(error, handler.raises)
        envelope.attempts += 1
        if fatal and envelope.attempts < handler.attempts:
            cell.mailbox.put_back(envelope)
            return True
        self.failed += 1
        cell.last_error = describe(error)
        if envelope.reply is not None:
            failure = HandlerFailed(cell.name, kind, describe(error))
            failure.__cause__ = error
            envelope.reply.fail(failure)
        elif not fatal:
            cell.log.limited(logging.WARNING, "%s was not handled: %s", kind, describe(error))
        if fatal and handler.attempts > 1:
            cell.services.dead_letter(envelope, cell.address, Reason.POISON, describe(error))
        return fatal

    def end_if_stale(self, envelope: Envelope) -> bool:
        """End a message whose time is over or whose ask has ended, and return True; return False for any other."""
        reply = envelope.reply
        if envelope.deadline is not None and envelope.deadline <= self._cell.now():
            self.expired += 1
            if reply is not None:
                reply.expire()
            self._cell.services.dead_letter(envelope, self._cell.address, Reason.EXPIRED)
            return True
        if reply is not None and not reply.taken():
            self.cancelled += 1
            return True
        return False

    def unhandled(self, envelope: Envelope) -> None:
        """End a message without a handler."""
        self.dead += 1
        cell = self._cell
        kind = type(envelope.message)
        handled = cell.spec.handlers
        same = [each for each in handled if (each.__module__, each.__qualname__) == (kind.__module__, kind.__qualname__)]
        detail = "only for an earlier or later definition of its class" if same else ""
        cell.services.dead_letter(envelope, cell.address, Reason.UNHANDLED, detail)
        if envelope.reply is not None:
            known = sorted(_name(each, kind) for each in handled)
            envelope.reply.fail(Unhandled(cell.name, kind.__qualname__, known, redefined=bool(same)))

    def count_leftovers(self) -> list[Envelope]:
        """Empty the mailbox and the stash of an agent that has ended, count its messages, and return those that become dead letters."""
        left = self._cell.stash.empty() + self._cell.mailbox.empty()
        dead = [envelope for envelope in left if envelope.reply is None or not envelope.reply.done]
        self.cancelled += len(left) - len(dead)
        self.dead += len(dead)
        return dead

    def abandoned(self, envelope: Envelope, error: DeliveryError) -> None:
        """End a message that a stuck agent had in hand. It has been counted. From any thread."""
        if envelope.reply is not None:
            envelope.reply.fail(error)

    def refuse(self, envelope: Envelope) -> None:
        """End a message that came to a closed mailbox. From any thread."""
        self._cell.services.count_refused()
        self.dead_letter(envelope)

    def expire_outside(self, envelope: Envelope) -> None:
        """End a message whose time was over before there was room for it, or when its place was needed.

        Its mailbox has counted it. From any thread.
        """
        self._cell.services.dead_letter(envelope, self._cell.address, Reason.EXPIRED)
        if envelope.reply is not None:
            envelope.reply.expire()

    def make_room(self, envelope: Envelope) -> None:
        """End a message that was dropped to make room for another. From any thread."""
        cell = self._cell
        cell.services.dead_letter(envelope, cell.address, Reason.FULL)
        if envelope.reply is not None:
            kind = type(envelope.message).__qualname__
            why = "and its policy is to drop the oldest"
            envelope.reply.fail(MailboxFull(cell.name, kind, cell.mailbox.policy.capacity, why))

    def dead_letter(self, envelope: Envelope) -> None:
        """Record a message whose agent has ended as a dead letter, and fail its ask. From any thread."""
        cell = self._cell
        cell.services.dead_letter(envelope, cell.address, Reason.STOPPED)
        if envelope.reply is not None:
            envelope.reply.fail(cell.services.stopped_error(cell.name, envelope.message, cell.life.error))


class ClosedOutcomes(Outcomes):
    """The frozen counts of an abandoned agent: later outcomes of its stuck thread are ignored."""

    __slots__ = ()

    def returned(self, envelope: Envelope, value: Any) -> None:
        """Do nothing: the message has been counted, and its ask has ended."""

    def raised(self, handler: Handler, envelope: Envelope, error: BaseException, *, cancelled: bool) -> bool:  # noqa: ARG002 - as every
        """Only log the error, unless the coroutine of the handler was thrown away."""
        if not isinstance(error, GeneratorExit):
            self._cell.log.error("raised after it had been given up: %s", describe(error), exc_info=error)
        return False


def _name(kind: type, other: type) -> str:
    """Return the name of a class, with its module if only that tells it from another."""
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__qualname__ == other.__qualname__ else kind.__qualname__


def concerns_message(error: BaseException, raises: tuple[type[BaseException], ...] = ()) -> bool:
    """Return whether an error fails the message and not the agent: it came from an ask, or is one of `raises`.

    A group of errors does if each of its errors does.
    """
    if isinstance(error, raises):
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(concerns_message(each, raises) for each in error.exceptions)
    if isinstance(error, TimeoutError) and isinstance(error.__cause__, asyncio.CancelledError):
        # `asyncio.timeout` and `wait_for`: was it an ask that took too long?
        places = traceback.walk_tb(error.__cause__.__traceback__)
        return any(frame.f_code is _WAIT_FOR_REPLY for frame, _ in places)
    return isinstance(error, _ASKING_ERRORS)
