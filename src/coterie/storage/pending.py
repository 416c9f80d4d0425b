"""Pending results of writes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from typing import Any, Generic, TypeVar, cast

from coterie.concurrency import Completion
from coterie.errors import WaitTimeout, describe
from coterie.errors.storage import WriteInsideWrite

T_co = TypeVar("T_co", covariant=True)

_log = logging.getLogger(__name__)


class Pending(Completion, Generic[T_co]):
    """The pending result of one write. ``await pending`` on any event loop, or call ``pending.result()`` on a thread.

    It completes once: with the result, when that is committed, or with an error. Cancelling an await ends only the
    waiting. A failed write whose outcome is never read is logged. Safe from any thread.
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
        # A constructor that raised leaves an incomplete object.
        error = getattr(self, "_error", None)
        if error is not None and not self._asked:
            _log.error("a write to %s failed, and its outcome was never read: %s", self._where, describe(error))

    def result(self, timeout: float | None = None) -> T_co:
        """Block until the write is committed and return its result, or raise its error.

        Raises `WaitTimeout` after `timeout` seconds of real time; the write goes on. Raises `WriteInsideWrite` on the
        writer's own thread.
        """
        if not self._done:
            self._check_not_writer()
            if not self.wait(timeout):
                raise WaitTimeout(repr(self), timeout or 0.0)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, T_co]:
        if not self._done:
            self._check_not_writer()
            yield from self.suspend()
        return self._outcome()

    def exception(self) -> BaseException | None:
        """Return the error of the write; None if it was committed or has not ended."""
        self._asked = True
        return self._error

    def succeed(self, value: Any) -> None:
        """Complete with a result. Only the writer calls this, once."""
        self._lock.acquire()
        self._value = value
        self._done = True
        self._finish()

    def fail(self, error: BaseException) -> None:
        """Complete with an error. Only the writer calls this, once."""
        self._lock.acquire()
        self._error = error
        self._done = True
        self._finish()

    def _outcome(self) -> T_co:
        self._asked = True
        if self._error is not None:
            raise self._error
        return cast("T_co", self._value)

    def _check_not_writer(self) -> None:
        if threading.get_ident() == self._writer:
            raise WriteInsideWrite(self._where)
