"""The reply to an ask."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from coterie.concurrency import Completion, Timer
from coterie.concurrency.threads import defer
from coterie.errors import AskCancelled, AskTimeout, WaitCycle, WaitTimeout
from coterie.kernel import Address
from coterie.messaging.envelope import Envelope, ReplyPort
from coterie.runtime.dispatchers.loops import running_loop
from coterie.runtime.references.invocation import CURRENT, Invocation
from coterie.runtime.references.mailbox_room import WaitServices
from coterie.runtime.references.waits import Waiter

R_co = TypeVar("R_co", covariant=True)

_OF_FUTURES = frozenset({"_condition", "add_done_callback", "close", "get_loop", "remove_done_callback", "send", "throw"})
"""Attributes by which a reply is taken for a future or a coroutine."""


class AskServices(WaitServices, Protocol):
    """The parts of a runtime that an ask needs."""

    def next_correlation(self) -> int:
        """Return a number for an ask that no other ask of the runtime has."""
        ...


class Addressee(Protocol):
    """The endpoint that the request of an ask goes to."""

    @property
    def address(self) -> Address:
        """The address of the agent that was asked."""
        ...

    @property
    def local(self) -> Waiter | None:
        """The agent itself if it lives in this runtime."""
        ...

    def cancel(self, envelope: Envelope) -> None:
        """Stop working on an envelope whose ask has ended."""
        ...


class Reply(Completion, Generic[R_co]):
    """The answer to one ask. ``await reply`` on any event loop, or block a thread in ``reply.result()``.

    It is awaitable, and neither a coroutine nor a future of asyncio: `future` returns one for `asyncio.wait` and the like.
    Under another framework, such as trio, call `result` on a helper thread.

    It ends once: with the answer, or with a `DeliveryError`. A wait inside a handler that would close a cycle of waiting
    agents raises `WaitCycle` at once. Cancelling the await cancels the ask. Safe from any thread.
    """

    __slots__ = ("_endpoint", "_envelope", "_error", "_services", "_timeout", "_timer", "_value", "correlation")

    def __init__(self, services: AskServices, endpoint: Addressee, timeout: float | None) -> None:
        super().__init__()
        self.correlation: int = services.next_correlation()
        """The number of this ask, unique in the asker's runtime."""
        self._services = services
        self._endpoint = endpoint
        self._timeout = timeout
        self._timer: Timer | None = None
        self._envelope: Envelope | None = None
        self._value: Any = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        state = "pending" if not self._done else "failed" if self._error is not None else "answered"
        return f"<Reply {self.correlation} from {self._endpoint.address.name}: {state}>"

    def result(self, timeout: float | None = None) -> R_co:
        """Block until the answer arrives and return it, or raise the error with which the ask ended.

        Raises `WaitTimeout` after `timeout` seconds of real time; the ask itself goes on.
        """
        if not self._done:
            self._block(timeout)
        if self._error is not None:
            raise self._error.with_traceback(None)
        value: R_co = self._value
        return value

    def __await__(self) -> Generator[Any, None, R_co]:
        if not self._done:
            yield from self._suspend()
        if self._error is not None:
            # Without the frames of earlier readers, which would grow with each.
            raise self._error.with_traceback(None)
        value: R_co = self._value
        return value

    def future(self) -> asyncio.Future[R_co]:
        """Return a future of the running event loop, for `asyncio.wait` and the like. Cancelling it cancels the ask."""
        running_loop()
        return asyncio.ensure_future(self)

    if not TYPE_CHECKING:
        # Type checkers would take any attribute for one that exists.

        def __getattr__(self, name: str) -> NoReturn:
            use = "; it is awaitable, but no future: use reply.future()" if name in _OF_FUTURES else ""
            raise AttributeError(f"'Reply' object has no attribute {name!r}{use}", name=name, obj=self)

    def exception(self) -> BaseException | None:
        """Return the error with which the ask ended; None if it was answered, or has not ended yet."""
        return self._error

    def cancel(self, reason: str = "the asker took it back") -> bool:
        """End the ask, and cancel an ``async`` handler that works on it. Return False if it had ended already."""
        agent, message = self._names()
        return self._withdraw(AskCancelled(agent, message, reason))

    def taken(self) -> bool:
        """Record that the agent takes the request. Return False if the ask has ended: then it need not be handled."""
        return not self._done

    def succeed(self, value: Any) -> bool:
        """End the ask with an answer. Return whether this was in time to count."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self.succeed(value))
            return not self._done
        self._lock.acquire()
        if self._done:
            self._lock.release()
            return False
        self._value = value
        self._done = True
        self._finish_once()
        return True

    def fail(self, error: BaseException) -> bool:
        """End the ask with an error. Return whether this was in time to count."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self.fail(error))
            return not self._done
        self._lock.acquire()
        if self._done:
            self._lock.release()
            return False
        self._error = error
        self._done = True
        self._finish_once()
        return True

    def pass_on(self, asked: ReplyPort) -> None:
        """Answer another ask as this one is answered, and end this one if that one ends before."""

        def answered() -> None:
            if self._error is not None:
                asked.fail(self._error)
            else:
                asked.succeed(self._value)

        outcome = getattr(asked, "inner", asked)
        if isinstance(outcome, Completion):
            self._follow(outcome)
        at_end = getattr(outcome, "add_callback", None)
        if at_end is not None:
            at_end(lambda: self.cancel("the ask that it was passed on for has ended"))
        self.add_callback(answered)

    def _follow(self, outcome: Completion) -> None:
        """Let the wait graph know that another outcome depends on this one. If that closes a circle, fail this one."""
        target, waits = self._endpoint.local, self._services.waits
        if target is None or self._done:
            return
        try:
            waits.pass_on(outcome, self, target)
        except WaitCycle as cycle:
            self._withdraw(cycle)
        outcome.add_callback(lambda: waits.forget(outcome))

    def expects(self, envelope: Envelope) -> None:
        """Begin to wait for the answer to this envelope, until its deadline. Called once, before it is sent."""
        self._envelope = envelope
        if envelope.deadline is not None:
            self._timer = self._services.timers.call_at(envelope.deadline, self.expire)

    def expire(self) -> None:
        """End the ask because its deadline has passed, and cancel an ``async`` handler that works on it."""
        agent, message = self._names()
        self._withdraw(AskTimeout(agent, message, self._timeout or 0.0))

    def _finish_once(self) -> None:
        """Call the callbacks, and release the envelope and the timer. The lock is held; it is released here."""
        # The envelope refers back to this reply.
        self._envelope = None
        self._finish()
        if self._timer is not None:
            self._timer.cancel()

    def _withdraw(self, error: BaseException) -> bool:
        """End the ask from the asker's side. Return whether it had not ended yet."""
        envelope = self._envelope
        first = self.fail(error)
        if first and envelope is not None:
            self._endpoint.cancel(envelope)
        return first

    def _names(self) -> tuple[str, str]:
        message = type(self._envelope.message).__qualname__ if self._envelope is not None else "a message"
        return self._endpoint.address.name, message

    def _block(self, timeout: float | None) -> None:
        self._services.loops.warn_if_blocked(f"result() of an ask of {self._endpoint.address.name}", "await the reply")
        invocation = CURRENT.get()
        if invocation is None or not invocation.active:
            if not self.wait(timeout):
                raise WaitTimeout(repr(self), timeout or 0.0)
            return
        if invocation.blocks_agent:
            self._enter(invocation)
        try:
            with invocation.cell.blocked():
                if not self.wait(timeout):
                    raise WaitTimeout(repr(self), timeout or 0.0)
        finally:
            self._services.waits.leave(invocation.cell, self)

    def _suspend(self) -> Generator[Any, None, None]:
        invocation = CURRENT.get()
        if invocation is not None and invocation.active and invocation.exclusive:
            self._enter(invocation)
        try:
            yield from self._services.loops.future(self)
        except asyncio.CancelledError:
            self.cancel("its await was cancelled")
            raise
        finally:
            if invocation is not None:
                self._services.waits.leave(invocation.cell, self)

    def _enter(self, invocation: Invocation) -> None:
        """Add an edge to the wait graph. If it closes a circle, end the ask with `WaitCycle`."""
        target = self._endpoint.local
        if target is not None:
            try:
                self._services.waits.enter(invocation.cell, target, self, invocation)
            except WaitCycle as cycle:
                self._withdraw(cycle)
