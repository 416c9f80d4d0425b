"""The result of a write, before and after it is there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from typing import Any, Generic, TypeVar, cast

from coterie.concurrency import Completion
from coterie.errors import WaitTimeout, WriteInsideWrite, describe

T_co = TypeVar("T_co", covariant=True)

_log = logging.getLogger(__name__)


class Pending(Completion, Generic[T_co]):
    """What one write will have returned. ``await pending`` on any event loop, or block a thread in ``pending.result()``.

    It ends once: with the result, when that is committed, or with the error for which it is not. To cancel an await
    stops only the waiting. A write that fails and whose outcome nobody ever asks for is logged. Safe from any thread.
    """

    __slots__ = ("_asked", "_error", "_value", "_where", "_writer")

    def __init__(self, where: str, writer: int = 0) -> None:
        super().__init__()
        self._where = where
        self._writer = writer
        self._value: Any = None
        self._error: BaseException | None = None
        self._asked = False

    def __repr__(self) -> str:
        state = "pending" if not self._done else "failed" if self._error is not None else "committed"
        return f"<write to {self._where}: {state}>"

    def __del__(self) -> None:
        # A constructor that raised leaves half of one behind.
        error = getattr(self, "_error", None)
        if error is not None and not self._asked:
            _log.error("a write to %s failed, and nobody asked for its outcome: %s", self._where, describe(error))

    def result(self, timeout: float | None = None) -> T_co:
        """Block until the write is committed and return what it returned, or raise the error with which it failed.

        Raises `WaitTimeout` after `timeout` seconds of real time; the write itself goes on. Raises `WriteInsideWrite`
        where it would wait for itself.
        """
        if not self._done:
            self._refuse_to_wait_for_itself()
            if not self.wait(timeout):
                raise WaitTimeout(repr(self), timeout or 0.0)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, T_co]:
        if not self._done:
            self._refuse_to_wait_for_itself()
            yield from self.suspend()
        return self._outcome()

    def exception(self) -> BaseException | None:
        """Return the error with which the write failed; None if it was committed, or has not ended yet."""
        self._asked = True
        return self._error

    def succeed(self, value: Any) -> None:
        """End with a result. Only the writer calls this, once."""
        self._lock.acquire()
        self._value = value
        self._done = True
        self._finish()

    def fail(self, error: BaseException) -> None:
        """End with an error. Only the writer calls this, once."""
        self._lock.acquire()
        self._error = error
        self._done = True
        self._finish()

    def _outcome(self) -> T_co:
        self._asked = True
        if self._error is not None:
            raise self._error
        return cast("T_co", self._value)

    def _refuse_to_wait_for_itself(self) -> None:
        if threading.get_ident() == self._writer:
            raise WriteInsideWrite(self._where)
