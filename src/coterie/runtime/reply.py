"""The answer to an ask, before and after it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from coterie.concurrency import Completion, Timer
from coterie.errors import AskCancelled, AskTimeout, WaitCycle, WaitTimeout
from coterie.runtime.activation import CURRENT, Activation

if TYPE_CHECKING:
    from coterie.messaging import Envelope
    from coterie.runtime.port import Port
    from coterie.runtime.services import Services

R_co = TypeVar("R_co", covariant=True)


class Reply(Completion, Generic[R_co]):
    """The answer to one ask. ``await reply`` on any event loop, or block a thread in ``reply.result()``.

    It ends once: with the answer, or with a `DeliveryError`. Waiting for it inside a handler is watched: what would
    wait in a circle raises `WaitCycle` at once. If the await is cancelled, the ask is. Safe from any thread.
    """

    __slots__ = ("_envelope", "_error", "_port", "_services", "_timeout", "_timer", "_value", "correlation")

    def __init__(self, services: Services, port: Port, timeout: float | None) -> None:
        super().__init__()
        self.correlation: int = services.next_correlation()
        """The number of this ask, unique in the asker's runtime."""
        self._services = services
        self._port = port
        self._timeout = timeout
        self._timer: Timer | None = None
        self._envelope: Envelope | None = None
        self._value: Any = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        state = "pending" if not self._done else "failed" if self._error is not None else "answered"
        return f"<Reply {self.correlation} from {self._port.address.name}: {state}>"

    def result(self, timeout: float | None = None) -> R_co:
        """Block until the answer is there and return it, or raise the error that the ask ended with.

        Raises `WaitTimeout` after `timeout` seconds of real time; the ask itself goes on.
        """
        if not self._done:
            self._block(timeout)
        if self._error is not None:
            raise self._error
        return cast("R_co", self._value)

    def __await__(self) -> Generator[Any, None, R_co]:
        if not self._done:
            yield from self._suspend()
        if self._error is not None:
            raise self._error
        return cast("R_co", self._value)

    def exception(self) -> BaseException | None:
        """Return the error that the ask ended with; None if it was answered, or has not ended yet."""
        return self._error

    def cancel(self, reason: str = "the asker took it back") -> bool:
        """End the ask, and cancel an ``async`` handler that works on it. Return False if it had ended already."""
        agent, message = self._names()
        return self._take_back(AskCancelled(agent, message, reason))

    def succeed(self, value: Any) -> bool:
        """End the ask with an answer. Return whether this was in time to count."""
        self._lock.acquire()
        if self._done:
            self._lock.release()
            return False
        self._value = value
        self._done = True
        self._let_go()
        return True

    def fail(self, error: BaseException) -> bool:
        """End the ask with an error. Return whether this was in time to count."""
        self._lock.acquire()
        if self._done:
            self._lock.release()
            return False
        self._error = error
        self._done = True
        self._let_go()
        return True

    def expects(self, envelope: Envelope) -> None:
        """Begin to wait for the answer to this envelope, until its deadline. Called once, before it is sent."""
        self._envelope = envelope
        if envelope.deadline is not None:
            self._timer = self._services.timers.call_at(envelope.deadline, self.expire)

    def expire(self) -> None:
        """End the ask because its deadline has passed, and cancel an ``async`` handler that works on it."""
        agent, message = self._names()
        self._take_back(AskTimeout(agent, message, self._timeout or 0.0))

    def _let_go(self) -> None:
        """Call the callbacks, and give up what is not needed any more. The lock is held; it is released here."""
        # The envelope refers back to this reply.
        self._envelope = None
        self._finish()
        if self._timer is not None:
            self._timer.cancel()

    def _take_back(self, error: BaseException) -> bool:
        """End the ask from this side. Return whether it had not ended yet."""
        envelope = self._envelope
        first = self.fail(error)
        if first and envelope is not None:
            self._port.cancel(envelope)
        return first

    def _names(self) -> tuple[str, str]:
        message = type(self._envelope.message).__qualname__ if self._envelope is not None else "a message"
        return self._port.address.name, message

    def _block(self, timeout: float | None) -> None:
        activation = CURRENT.get()
        if activation is None or not activation.active:
            if not self.wait(timeout):
                raise WaitTimeout(repr(self), timeout or 0.0)
            return
        if activation.blocks_agent:
            self._enter(activation)
        try:
            with activation.cell.blocked():
                if not self.wait(timeout):
                    raise WaitTimeout(repr(self), timeout or 0.0)
        finally:
            self._services.waits.leave(activation.cell, self)

    def _suspend(self) -> Generator[Any, None, None]:
        activation = CURRENT.get()
        if activation is not None and activation.active and activation.exclusive:
            self._enter(activation)
        try:
            yield from self._services.loops.future(self)
        except asyncio.CancelledError:
            self.cancel("its await was cancelled")
            raise
        finally:
            if activation is not None:
                self._services.waits.leave(activation.cell, self)

    def _enter(self, activation: Activation) -> None:
        """Note who waits for whom. If it closes a circle, end the ask with that."""
        target = self._port.cell
        if target is not None:
            try:
                self._services.waits.enter(activation.cell, target, self)
            except WaitCycle as cycle:
                self._take_back(cycle)
