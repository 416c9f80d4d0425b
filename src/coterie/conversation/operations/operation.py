"""An operation: one tool call and its outcome, as frozen values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec


class Effect(enum.StrEnum):
    """The effect of a tool: it reads or writes."""

    READ = "read"
    """It changes nothing. Reads of one resource run at the same time."""
    WRITE = "write"
    """It may change its resources, so it runs alone on them."""


class ResourceScope(enum.StrEnum):
    """The scope of the names of a tool's resources."""

    CONVERSATION = "conversation"
    """A name means something within one conversation only."""
    USER = "user"
    """A name means the same thing in all conversations of one user."""
    ALL = "all"
    """A name means the same thing for everyone, such as a room or a stock of goods."""


class OperationState(enum.StrEnum):
    """The state of an operation. The last five are end states; each operation reaches exactly one of them."""

    AWAITING_APPROVAL = "awaiting approval"
    """It is written to the ledger and starts once a person has approved it."""
    QUEUED = "queued"
    """It is written to the ledger and waits for its resources or its next attempt."""
    RUNNING = "running"
    CANCELLING = "cancelling"
    """It was asked to stop and has not ended yet, or is being compensated."""
    UNKNOWN = "unknown"
    """It is not known yet whether it took effect: the process, or the program that did the work, ended while it ran."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """It was stopped before it took effect."""
    COMPENSATED = "compensated"
    """It was cancelled, and its effect was undone."""
    TIMED_OUT = "timed out"

    @property
    def ended(self) -> bool:
        """Return whether it is an end state."""
        return self in _ENDS

    @property
    def needs_person(self) -> bool:
        """Return whether only a person can move it on: to approve it, or to say what became of it."""
        return self in (OperationState.AWAITING_APPROVAL, OperationState.UNKNOWN)


_ENDS = frozenset(
    {
        OperationState.SUCCEEDED,
        OperationState.FAILED,
        OperationState.CANCELLED,
        OperationState.COMPENSATED,
        OperationState.TIMED_OUT,
    }
)


class CancelAnswer(enum.StrEnum):
    """The answer to a cancel request."""

    STOPPED = "stopped before effect"
    TOO_LATE = "too late"
    """It has ended, has passed its point of no return, or did not stop."""
    COMPENSATING = "compensating"
    """It had started to take effect, which is being undone."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call at one moment."""

    number: int
    """Counted from 1 in each conversation."""
    tool: str
    arguments: Mapping[str, Any]
    """Validated arguments as plain values."""
    effect: Effect = Effect.WRITE
    resources: tuple[str, ...] = ()
    """The resources that it uses; ``*`` is all of them."""
    scope: ResourceScope = ResourceScope.CONVERSATION
    """How far the names of its resources reach."""
    key: str = ""
    """Its idempotency key. Two calls of one conversation with the same key are one operation."""
    turn: int = 0
    """The turn of the call."""
    call: str = ""
    """The id of the model's call, in the log."""
    state: OperationState = OperationState.QUEUED
    epoch: int = 0
    """Increases with every transition. The ledger refuses a write with an older epoch."""
    attempt: int = 0
    """Number of started attempts."""
    place: int = 0
    """Its place in the queue of its conversation; smaller places start first."""
    background: bool = False
    """True if its turn did not wait, so that its outcome is delivered between turns."""
    fraction: float = 0.0
    """Progress from 0 to 1, as the tool last reported."""
    line: str = ""
    """The line of the latest progress report."""
    estimate: float | None = None
    """Expected run time in seconds at the time of the call; None if unknown."""
    stopping: bool = False
    """True after a cancel request."""
    halted: bool = False
    """True if the process, at an orderly end of its own, stopped the latest attempt before its point of no return."""
    draining: bool = False
    """True if the process had begun an orderly end while the latest attempt ran."""
    interrupted: int = 0
    """Number of attempts during which a process ended without an orderly end."""
    content: str = ""
    """Its result as text for the model, or the error."""
    detail: str = ""
    """Details of its end, for people."""
    created_at: float = 0.0
    """Wall time in seconds, as `started_at` and `ended_at`."""
    started_at: float | None = None
    """Start of its latest attempt."""
    ended_at: float | None = None
    question: str = ""
    """The question whose answer it awaits, or awaited."""
    consent: int = 0
    """The number of the latest request for approval, from 1; 0 if it needs none. Each change of its arguments is a new one."""
    expires_at: float | None = None
    """Wall time in seconds when the request for approval lapses; None for never."""
    approver: str = ""
    """The person who approved it."""
    elsewhere: bool = False
    """True if the user of the conversation may not approve it, but others may."""
    reported: bool = False
    """True once the user was told that its outcome is unknown."""
    delivered: bool = False
    """True once its outcome was delivered, in a turn or between turns."""

    @property
    def id(self) -> str:
        """Its unique id in its conversation, such as ``op-3``."""
        return f"op-{self.number}"

    @property
    def ended(self) -> bool:
        """Return whether it has ended."""
        return self.state.ended
