"""The context of a running tool."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping
from typing import Any, TypeVar

from coterie.conversation.sanitize import plain_text
from coterie.conversation.tools.attempt import ToolAttempt
from coterie.kernel import check_number
from coterie.storage import Pending

T = TypeVar("T")

_LINE = 500
"""Maximum characters of a progress line."""


class ToolContext:
    """A tool's access to its operation. Safe from any thread, also in synchronous tools.

    The results of methods can be awaited; a synchronous tool need not await them.
    """

    __slots__ = ("_attempt",)

    def __init__(self, attempt: ToolAttempt) -> None:
        self._attempt = attempt

    @property
    def operation(self) -> str:
        """The id of the operation, such as ``op-3``."""
        return self._attempt.operation.id

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._attempt.operation.attempt

    @property
    def namespace(self) -> tuple[str, ...]:
        """The namespace of the conversation."""
        return self._attempt.host.namespace

    @property
    def user(self) -> str:
        """The user for whom the conversation was opened."""
        return self._attempt.host.user

    @property
    def idempotency_key(self) -> str:
        """A text that is the same for every attempt of this operation, also after a crash, and unique to it.

        If the tool has an `idempotency_key` function, the text is derived from its key instead.
        """
        return self._attempt.key

    @property
    def values(self) -> Mapping[str, Any]:
        """The notes of tools in this conversation, written by `note`."""
        return self._attempt.host.values

    @property
    def cancelled(self) -> bool:
        """Return whether the operation was asked to stop or abandoned."""
        return self._attempt.cancelled

    @property
    def restored(self) -> Any:
        """The checkpoint of an earlier attempt, or None."""
        return self._attempt.restored

    def use(self, kind: type[T]) -> T:
        """Return the object of this type from the host's `provide`. Raises `ServiceMissing`."""
        return self._attempt.host.use(kind)

    def progress(self, fraction: float, line: str = "") -> Awaitable[None]:
        """Report progress from 0 to 1, with a line of text, and return a complete awaitable. It restarts the idle time-out.

        Raises `OperationStopped` after a cancel request: do not catch it. Raises `InvalidSetting`.
        """
        check_number("progress", fraction)
        self._attempt.progress(min(1.0, float(fraction)), plain_text(str(line)[:_LINE]))
        return _Done()

    def checkpoint(self, value: Any) -> Pending[bool]:
        """Store plain data for a later attempt; await the result, or call ``.result()``, to wait for the commit.

        Raises `EncodeFailed` for data that cannot be encoded.
        """
        return self._attempt.keep(value)

    def point_of_no_return(self) -> Awaitable[None]:
        """Declare that the effect starts now, and return a complete awaitable.

        A later cancel request comes too late, or compensates the tool. Raises `OperationStopped` if the operation was asked to
        stop before.
        """
        self._attempt.commit()
        return _Done()

    def note(self, key: str, value: Any) -> Pending[bool]:
        """Store plain data for all tools of this conversation, and return the pending result, to await the commit.

        `values` has the stored data; None deletes. Raises `EncodeFailed` for data that cannot be encoded.
        """
        return self._attempt.host.note(key, value)


class _Done:
    """An awaitable that is already complete."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield
