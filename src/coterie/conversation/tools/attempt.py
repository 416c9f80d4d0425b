"""One attempt at an operation: what the conversation and the tool share while it runs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.conversation.operations.operation import Operation
from coterie.conversation.tools.function import ToolFunction
from coterie.conversation.tools.results import Finding, describe_misfit, encode_result
from coterie.errors import OperationStopped
from coterie.kernel import Codec
from coterie.storage import Pending

T = TypeVar("T")


class AttemptEnding(enum.Enum):
    """How an attempt ended."""

    RETURNED = "returned"
    RAISED = "raised"
    STOPPED = "stopped"


class AttemptOutcome(msgspec.Struct, frozen=True):
    """What came of an attempt."""

    ending: AttemptEnding
    value: Any = None
    """What it returned: a text, or a `Finding` whose value is one."""
    problem: str = ""
    """Why what it returned cannot be written down."""
    error: BaseException | None = None
    """What it raised."""


class AttemptPurpose(enum.StrEnum):
    """Which of a tool's functions an attempt runs."""

    RUN = "run"
    CHECK = "check"
    COMPENSATE = "compensate"


class ToolHost(Protocol):
    """What tools get from the conversation. Safe from any thread."""

    namespace: tuple[str, ...]
    user: str

    @property
    def values(self) -> Mapping[str, Any]:
        """The notes of this conversation."""
        ...

    def use(self, kind: type[T]) -> T:
        """Return what was provided of a type."""
        ...

    def note(self, key: str, value: Any) -> Pending[bool]:
        """Keep a note."""
        ...

    def keep(self, operation: Operation, value: bytes) -> Pending[bool]:
        """Keep a checkpoint."""
        ...


class ToolAttempt:
    """Shared by the conversation's thread and the tool's; `_lock` guards what both change.

    `on_progress` is called, from the tool's thread, when there is news that nobody has looked at yet. `on_end` is called
    once.
    """

    def __init__(
        self,
        operation: Operation,
        purpose: AttemptPurpose,
        callee: ToolFunction,
        arguments: Mapping[str, Any],
        host: ToolHost,
        *,
        key: str,
        checkpoint: bytes | None,
        on_progress: Callable[[ToolAttempt], None],
        on_end: Callable[[ToolAttempt], None],
        max_length: int = 0,
    ) -> None:
        self.operation = operation
        self.purpose = purpose
        self.callee = callee
        self.arguments = arguments
        self.host = host
        self.key = key
        self.outcome: AttemptOutcome | None = None
        self.given_up = False
        """Whether its outcome does not count any more. Only the conversation's thread touches it."""
        self.timed_out: str = ""
        """Why it was stopped for taking too long; only the conversation's thread touches it."""
        self._checkpoint = checkpoint
        self._on_progress = on_progress
        self._on_end = on_end
        self._lock = new_lock(Rank.RECORDS)
        self._cancelled = False
        self._committed = False
        self._has_news = False
        self._latest = (0.0, "")
        self._max_length = max_length

    def __deepcopy__(self, memo: object) -> ToolAttempt:
        return self

    @property
    def name(self) -> str:
        """What its agent is called after."""
        return f"{self.operation.id}/{self.operation.tool}/{self.purpose}-{self.operation.attempt}"

    @property
    def cancelled(self) -> bool:
        """Whether it is to stop."""
        return self._cancelled

    @property
    def committed(self) -> bool:
        """Whether it has passed its point of no return."""
        return self._committed

    @property
    def restored(self) -> Any:
        """What an earlier attempt left."""
        return None if self._checkpoint is None else Codec().decode(self._checkpoint, Any)

    # For the tool.

    def progress(self, fraction: float, line: str) -> None:
        """Note how far it is. Raises `OperationStopped` if it is to stop and may."""
        with self._lock:
            stop = self._cancelled and not self._committed
            self._latest = (fraction, line)
            told, self._has_news = self._has_news, True
        if stop:
            raise OperationStopped(self.operation.id)
        if not told:
            self._on_progress(self)

    def commit(self) -> None:
        """Pass the point of no return. Raises `OperationStopped` if it is to stop."""
        with self._lock:
            if self._cancelled:
                raise OperationStopped(self.operation.id)
            self._committed = True

    def keep(self, value: Any) -> Pending[bool]:
        """Keep a checkpoint."""
        return self.host.keep(self.operation, Codec().encode(value))

    def returned(self, value: Any) -> AttemptOutcome:
        """Return the outcome of what a function returned, written out here, on the tool's own thread: it may be large."""
        finding = value if isinstance(value, Finding) else None
        try:
            text = encode_result(value if finding is None else finding.value, self._max_length)
        except Exception as error:  # noqa: BLE001 - whatever the value does when it is looked at
            return AttemptOutcome(AttemptEnding.RETURNED, finding, problem=describe_misfit(value, error))
        return AttemptOutcome(AttemptEnding.RETURNED, text if finding is None else msgspec.structs.replace(finding, value=text))

    def end(self, outcome: AttemptOutcome) -> None:
        """Be told by its agent what came of it. Only the first counts."""
        with self._lock:
            first = self.outcome is None
            if first:
                self.outcome = outcome
        if first:
            self._on_end(self)

    # For the conversation.

    def ask_to_stop(self, *, anyway: bool = False) -> bool:
        """Have it stop, unless it has passed its point of no return, or `anyway`; return whether it is to stop now."""
        with self._lock:
            if self._committed and not anyway:
                return False
            self._cancelled = True
            return True

    def take_progress(self) -> tuple[float, str]:
        """Return the latest progress; news after this are told anew."""
        with self._lock:
            self._has_news = False
            return self._latest
