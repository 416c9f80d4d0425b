"""An operation: one call of a tool, and what became of it. Plain frozen values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec


class Effect(enum.StrEnum):
    """Whether a tool changes anything."""

    READ = "read"
    """It changes nothing. Reads of one resource run side by side."""
    WRITE = "write"
    """It may. While it runs, nothing else touches its resources."""


class OperationState(enum.StrEnum):
    """Where an operation is. The last five are ends, and each operation reaches exactly one of them."""

    QUEUED = "queued"
    """Its intent is written; it waits for its resources, or for its next attempt."""
    RUNNING = "running"
    CANCELLING = "cancelling"
    """It was asked to stop and has not ended yet, or what it did is being undone."""
    UNKNOWN = "unknown"
    """The process died while it ran, and nothing could tell yet whether it took effect."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """It was stopped before it took effect."""
    COMPENSATED = "compensated"
    """It was cancelled, and what it had done was undone."""
    TIMED_OUT = "timed out"

    @property
    def ended(self) -> bool:
        """Whether it is an end."""
        return self in _ENDS


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
    """What a request to cancel comes to."""

    STOPPED = "stopped before effect"
    TOO_LATE = "too late"
    """It has ended, has passed its point of no return, or did not stop."""
    COMPENSATING = "compensating"
    """It had begun to take effect; that is being undone."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a tool at one moment."""

    number: int
    """Counted from 1 in each conversation."""
    tool: str
    arguments: Mapping[str, Any]
    """As they were checked, in plain values."""
    effect: Effect = Effect.WRITE
    resources: tuple[str, ...] = ()
    """What it touches; ``*`` is everything."""
    key: str = ""
    """Its idempotency key. Two operations of one conversation with the same key are one."""
    turn: int = 0
    """The turn in which it was called for."""
    call: str = ""
    """The id of the model's call, in the log."""
    state: OperationState = OperationState.QUEUED
    epoch: int = 0
    """Grows with every transition. Who knows an older one writes too late, and is refused."""
    attempt: int = 0
    """Attempts that were begun."""
    place: int = 0
    """Its place in the queue of its conversation: the smaller goes first."""
    background: bool = False
    """Whether its outcome is delivered by itself, because the turn that called for it did not wait."""
    fraction: float = 0.0
    """How much is done, from 0 to 1, as the tool said last."""
    line: str = ""
    """What the tool said last of what it does."""
    estimate: float | None = None
    """Seconds that it was expected to run, when it was called for; None if nothing is known of its tool."""
    stopping: bool = False
    """Whether it was asked to stop."""
    content: str = ""
    """What it returned, as the model reads it; or what went wrong."""
    detail: str = ""
    """What else is to be known of how it ended, for people."""
    created_at: float = 0.0
    """Wall time in seconds, as the two below."""
    started_at: float | None = None
    """When its latest attempt began."""
    ended_at: float | None = None
    reported: bool = False
    """Whether the user was told that its outcome is unknown."""
    delivered: bool = False
    """Whether its outcome has been delivered, in a turn or by itself."""

    @property
    def id(self) -> str:
        """What people and models call it, such as ``op-3``: one of its kind in its conversation."""
        return f"op-{self.number}"

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self.state.ended
