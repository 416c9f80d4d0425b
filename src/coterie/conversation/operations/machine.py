"""The pure state machine of operations, and the rules for running several at once. No thread, no clock, no store.

Each transition increments the epoch. A writer must know the epoch before, so of two writers only the first succeeds, and
a late one is refused (see `ledger`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from coterie.conversation.operations.operation import Effect, Operation, OperationState
from coterie.errors.conversation import TransitionRefused

_S = OperationState
TRANSITIONS: Mapping[OperationState, frozenset[OperationState]] = MappingProxyType(
    {
        _S.AWAITING_APPROVAL: frozenset({_S.QUEUED, _S.CANCELLED}),
        _S.QUEUED: frozenset({_S.RUNNING, _S.CANCELLED, _S.CANCELLING, _S.FAILED}),
        _S.RUNNING: frozenset({_S.SUCCEEDED, _S.FAILED, _S.TIMED_OUT, _S.CANCELLED, _S.CANCELLING, _S.UNKNOWN, _S.QUEUED}),
        _S.CANCELLING: frozenset({_S.CANCELLED, _S.COMPENSATED, _S.SUCCEEDED, _S.FAILED, _S.TIMED_OUT, _S.UNKNOWN}),
        _S.UNKNOWN: frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.CANCELLING, _S.QUEUED}),
    }
)
"""The allowed transitions from each state. End states have none."""


def change(operation: Operation, **changes: Any) -> Operation:
    """Return the operation with changed fields in the same state, at the next epoch."""
    return msgspec.structs.replace(operation, epoch=operation.epoch + 1, **changes)


def move(operation: Operation, state: OperationState, **changes: Any) -> Operation:
    """Return the operation in another state, at the next epoch. Raises `TransitionRefused` if that is not allowed."""
    if state not in TRANSITIONS.get(operation.state, ()):
        raise TransitionRefused(operation.id, operation.state, state)
    return change(operation, state=state, **changes)


def begin(operation: Operation, now: float) -> Operation:
    """Return the operation with its next attempt started."""
    fresh = {"fraction": 0.0, "line": "", "content": "", "detail": "", "halted": False, "draining": False}
    return move(operation, _S.RUNNING, started_at=now, attempt=operation.attempt + 1, **fresh)


def approve(operation: Operation, approver: str, *, background: bool, **changes: Any) -> Operation:
    """Return an approved operation, queued. Raises `TransitionRefused` unless it awaits approval."""
    return move(operation, _S.QUEUED, approver=approver, background=background, **changes)


def requeue(operation: Operation, reason: str) -> Operation:
    """Return the operation queued for another attempt, after a failure or a crash."""
    return move(operation, _S.QUEUED, detail=reason)


def ask_to_stop(operation: Operation) -> Operation:
    """Return the operation with a cancel request."""
    return move(operation, _S.CANCELLING, stopping=True)


def mark_halted(operation: Operation, reason: str) -> Operation:
    """Return a running operation whose attempt the process stopped itself; the tool's `check` decides at the next opening."""
    return change(operation, halted=True, detail=reason)


def mark_unknown(operation: Operation, detail: str = "the process ended while it ran") -> Operation:
    """Return the operation with unknown outcome, in the background."""
    return move(operation, _S.UNKNOWN, background=True, detail=detail)


def end(operation: Operation, state: OperationState, now: float, content: str = "", detail: str = "") -> Operation:
    """Return the operation in an end state. Raises `TransitionRefused`."""
    if not state.ended:
        raise TransitionRefused(operation.id, operation.state, state, "that is not an end state")
    done = {"fraction": 1.0} if state is _S.SUCCEEDED else {}
    return move(operation, state, ended_at=now, content=content, detail=detail, **done)


EVERYTHING = "*"
"""The resource that conflicts with all others."""

_ACTIVE = (OperationState.RUNNING, OperationState.CANCELLING)


def overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two sets share a resource. ``*`` matches every resource."""
    if not one or not other:
        return False
    return EVERYTHING in one or EVERYTHING in other or not set(one).isdisjoint(other)


def conflict(one: Operation, other: Operation) -> bool:
    """Return whether two operations conflict: they share a resource, and at least one writes."""
    return Effect.WRITE in (one.effect, other.effect) and overlap(one.resources, other.resources)


def queue(operations: Iterable[Operation]) -> list[Operation]:
    """Return the queued operations in order."""
    return sorted(
        (each for each in operations if each.state is OperationState.QUEUED), key=lambda each: (each.place, each.number)
    )


def runnable(operations: Iterable[Operation], held: Iterable[Operation] = (), waiting: Iterable[int] = ()) -> list[Operation]:
    """Return the queued operations that can start now, in order.

    An operation can start if it conflicts with no running one, with no earlier one in the queue, and with none of `held`:
    abandoned attempts that still run, and operations of unknown outcome. `waiting` are the numbers of operations whose
    retry delay has not passed.
    """
    known = list(operations)
    in_the_way = [each for each in known if each.state in _ACTIVE] + list(held)
    not_yet = set(waiting)
    ready = []
    for each in queue(known):
        if each.number not in not_yet and not any(conflict(each, other) for other in in_the_way):
            ready.append(each)
        in_the_way.append(each)
    return ready


def blocked_by_unknown(operations: Iterable[Operation]) -> list[Operation]:
    """Return the queued operations that cannot start before an operation of unknown outcome is resolved."""
    known = list(operations)
    in_the_way = [each for each in known if each.state is OperationState.UNKNOWN and each.effect is Effect.WRITE]
    found = []
    for each in queue(known):
        if any(conflict(each, other) for other in in_the_way):
            found.append(each)
            in_the_way.append(each)
    return found


def active_writer(operations: Iterable[Operation], resources: Sequence[str]) -> Operation | None:
    """Return a running operation that writes one of these resources, or None."""
    for each in operations:
        if each.state in _ACTIVE and each.effect is Effect.WRITE and overlap(each.resources, resources):
            return each
    return None
