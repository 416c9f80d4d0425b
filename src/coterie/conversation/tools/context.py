"""What a tool has of the conversation that called it."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping
from typing import Any, TypeVar

from coterie.conversation.sanitize import plain_text
from coterie.conversation.tools.attempt import ToolAttempt
from coterie.kernel import check_number
from coterie.storage import Pending

T = TypeVar("T")

_LINE = 500
"""Characters of a line of progress that are kept."""


class ToolContext:
    """A tool's way to its operation. Every method may be called from any thread, and from synchronous tools.

    What a method returns can be awaited; a synchronous tool simply does not.
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
        """Which attempt this is, from 1."""
        return self._attempt.operation.attempt

    @property
    def namespace(self) -> tuple[str, ...]:
        """Whose conversation it is."""
        return self._attempt.host.namespace

    @property
    def user(self) -> str:
        """The user, as the conversation was opened for."""
        return self._attempt.host.user

    @property
    def idempotency_key(self) -> str:
        """A text that is the same for every attempt of this operation, also after a crash, and for no other operation.

        With a key of the tool's own making, for every operation that has it.
        """
        return self._attempt.key

    @property
    def values(self) -> Mapping[str, Any]:
        """What tools have noted in this conversation, by `note`."""
        return self._attempt.host.values

    @property
    def cancelled(self) -> bool:
        """Whether the operation was asked to stop, or given up."""
        return self._attempt.cancelled

    @property
    def restored(self) -> Any:
        """What an earlier attempt left by `checkpoint`, or None."""
        return self._attempt.restored

    def use(self, kind: type[T]) -> T:
        """Return what the conversation was given, by `provide`, of this type. Raises `ServiceMissing`."""
        return self._attempt.host.use(kind)

    def progress(self, fraction: float, line: str = "") -> Awaitable[None]:
        """Say how much is done, from 0 to 1, and in a line what is being done. It also extends the idle time-out.

        Raises `OperationStopped` if the operation was asked to stop: let that through. Raises `InvalidSetting`.
        """
        check_number("progress", fraction)
        self._attempt.progress(min(1.0, float(fraction)), plain_text(str(line)[:_LINE]))
        return _Done()

    def checkpoint(self, value: Any) -> Pending[bool]:
        """Keep plain data for a later attempt; await the result, or call ``.result()``, to know that it is on the disk.

        Raises `EncodeFailed` for what has no plain form.
        """
        return self._attempt.keep(value)

    def point_of_no_return(self) -> Awaitable[None]:
        """Say that the effect begins now. From here on a request to cancel comes too late, or has the tool compensated.

        Raises `OperationStopped` if the operation was asked to stop before.
        """
        self._attempt.commit()
        return _Done()

    def note(self, key: str, value: Any) -> Pending[bool]:
        """Keep plain data for all tools of this conversation, as `values`; None deletes. On the disk when awaited.

        Raises `EncodeFailed` for what has no plain form.
        """
        return self._attempt.host.note(key, value)


class _Done:
    """Something to await that is there already."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield
