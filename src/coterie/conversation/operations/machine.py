"""The life of an operation as a pure machine: from a value to the next one, or an error. No thread, no clock, no store.

Each transition raises the epoch by one. Whoever wants to write a transition must know the epoch before it, so of two
writers only the first succeeds, and one that comes late is refused (see `ledger`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from coterie.conversation.operations.operation import Operation, OperationState
from coterie.errors import TransitionRefused

_S = OperationState
WAYS: Mapping[OperationState, frozenset[OperationState]] = MappingProxyType(
    {
        _S.QUEUED: frozenset({_S.RUNNING, _S.CANCELLED, _S.CANCELLING, _S.FAILED}),
        _S.RUNNING: frozenset({_S.SUCCEEDED, _S.FAILED, _S.TIMED_OUT, _S.CANCELLING, _S.UNKNOWN, _S.QUEUED}),
        _S.CANCELLING: frozenset({_S.CANCELLED, _S.COMPENSATED, _S.SUCCEEDED, _S.FAILED, _S.TIMED_OUT, _S.UNKNOWN}),
        _S.UNKNOWN: frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.CANCELLING, _S.QUEUED}),
    }
)
"""Where an operation may go from each state that is no end. From an end there is no way."""


def change(operation: Operation, **changes: Any) -> Operation:
    """Return the operation with other facts in the same state, at the next epoch."""
    return msgspec.structs.replace(operation, epoch=operation.epoch + 1, **changes)


def move(operation: Operation, state: OperationState, **changes: Any) -> Operation:
    """Return the operation in another state, at the next epoch. Raises `TransitionRefused` if there is no such way."""
    if state not in WAYS.get(operation.state, ()):
        raise TransitionRefused(operation.id, operation.state, state)
    return change(operation, state=state, **changes)


def begin(operation: Operation, now: float) -> Operation:
    """Return the operation with its next attempt begun."""
    return move(
        operation, _S.RUNNING, started_at=now, attempt=operation.attempt + 1, fraction=0.0, line="", content="", detail=""
    )


def again(operation: Operation, reason: str) -> Operation:
    """Return the operation waiting for another attempt: it failed, or can go on after a crash."""
    return move(operation, _S.QUEUED, detail=reason)


def ask_to_stop(operation: Operation) -> Operation:
    """Return the operation asked to stop."""
    return move(operation, _S.CANCELLING, stopping=True)


def lose(operation: Operation) -> Operation:
    """Return the operation as it is after nobody has seen it end: of unknown outcome, and to be told of by itself."""
    return move(operation, _S.UNKNOWN, background=True, detail="the process ended while it ran")


def end(operation: Operation, state: OperationState, now: float, content: str = "", detail: str = "") -> Operation:
    """Return the operation at one of its ends."""
    if not state.ended:
        raise TransitionRefused(operation.id, operation.state, state, "that is no end")
    done = {"fraction": 1.0} if state is _S.SUCCEEDED else {}
    return move(operation, state, ended_at=now, content=content, detail=detail, **done)
