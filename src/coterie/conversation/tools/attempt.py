"""One attempt of an operation: the state that the conversation and the tool share while it runs."""

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
    """The kind of end of an attempt."""

    RETURNED = "returned"
    RAISED = "raised"
    STOPPED = "stopped"


class AttemptOutcome(msgspec.Struct, frozen=True):
    """The outcome of an attempt."""

    ending: AttemptEnding
    value: Any = None
    """The result as text, or a `Finding` whose value is text."""
    problem: str = ""
    """The reason why its result cannot be stored."""
    error: BaseException | None = None
    """The exception that it raised."""


class AttemptPurpose(enum.StrEnum):
    """The function of a tool that an attempt runs."""

    RUN = "run"
    CHECK = "check"
    COMPENSATE = "compensate"


class ToolHost(Protocol):
    """A conversation, as tools need it. Safe from any thread."""

    namespace: tuple[str, ...]
    user: str

    @property
    def values(self) -> Mapping[str, Any]:
        """The notes of this conversation."""
        ...

    def use(self, kind: type[T]) -> T:
        """Return the provided object of a type."""
        ...

    def note(self, key: str, value: Any) -> Pending[bool]:
        """Store a note."""
        ...

    def keep(self, operation: Operation, value: bytes) -> Pending[bool]:
        """Store a checkpoint."""
        ...


class ToolAttempt:
    """An attempt, shared by the conversation's thread and the tool's thread; `_lock` guards the fields that both change.

    `on_begin` is called from the tool's thread when it begins. `on_progress` is called from the tool's thread at the first progress since `take_progress`. `on_end` is called once.
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
        on_begin: Callable[[ToolAttempt], None],
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
        """True if it was abandoned, so that its outcome does not count. Only the conversation's thread uses it."""
        self.timed_out: str = ""
        """The time limit that it exceeded, as text. Only the conversation's thread uses it."""
        self.waits: Callable[[], float] = float
        """Returns the seconds for which its agent has waited for a thread. Set when the agent starts."""
        self._checkpoint = checkpoint
        self._on_begin = on_begin
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

    def begin(self) -> None:
        """Note that a thread has begun the function."""
        self._on_begin(self)

    @property
    def name(self) -> str:
        """The name of its agent."""
        return f"{self.operation.id}/{self.operation.tool}/{self.purpose}-{self.operation.attempt}"

    @property
    def cancelled(self) -> bool:
        """Return whether it was asked to stop."""
        return self._cancelled

    @property
    def committed(self) -> bool:
        """Return whether it has passed its point of no return."""
        return self._committed

    @property
    def restored(self) -> Any:
        """The checkpoint of an earlier attempt, or None."""
        return None if self._checkpoint is None else Codec().decode(self._checkpoint, Any)

    # For the tool.

    def progress(self, fraction: float, line: str) -> None:
        """Record progress. Raises `OperationStopped` after a cancel request before the point of no return."""
        with self._lock:
            stop = self._cancelled and not self._committed
            self._latest = (fraction, line)
            told, self._has_news = self._has_news, True
        if stop:
            raise OperationStopped(self.operation.id)
        if not told:
            self._on_progress(self)

    def commit(self) -> None:
        """Pass the point of no return. Raises `OperationStopped` after a cancel request."""
        with self._lock:
            if self._cancelled:
                raise OperationStopped(self.operation.id)
            self._committed = True

    def keep(self, value: Any) -> Pending[bool]:
        """Store a checkpoint."""
        return self.host.keep(self.operation, Codec().encode(value))

    def returned(self, value: Any) -> AttemptOutcome:
        """Return the outcome with a result as text. It may be large, so it is encoded here, on the tool's own thread."""
        finding = value if isinstance(value, Finding) else None
        try:
            text = encode_result(value if finding is None else finding.value, self._max_length)
        except Exception as error:  # noqa: BLE001 - encoding runs code of the value
            return AttemptOutcome(AttemptEnding.RETURNED, finding, problem=describe_misfit(value, error))
        return AttemptOutcome(AttemptEnding.RETURNED, text if finding is None else msgspec.structs.replace(finding, value=text))

    def end(self, outcome: AttemptOutcome) -> None:
        """Set the outcome. Only the first call counts."""
        with self._lock:
            first = self.outcome is None
            if first:
                self.outcome = outcome
        if first:
            self._on_end(self)

    # For the conversation.

    def ask_to_stop(self, *, anyway: bool = False) -> bool:
        """Ask it to stop, unless it has passed its point of no return and not `anyway`; return whether it must stop."""
        with self._lock:
            if self._committed and not anyway:
                return False
            self._cancelled = True
            return True

    def take_progress(self) -> tuple[float, str]:
        """Return the latest progress; the next progress calls `on_progress` again."""
        with self._lock:
            self._has_news = False
            return self._latest
