"""The life of an operation as a pure machine: from a value to the next one, or an error. No thread, no clock, no store.

Each transition raises the epoch by one. Whoever wants to write a transition must know the epoch before it, so of two
writers only the first succeeds, and one that comes late is refused (see `ledger`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from coterie.conversation.operations.operation import Effect, Operation, OperationState
from coterie.errors import TransitionRefused

_S = OperationState
TRANSITIONS: Mapping[OperationState, frozenset[OperationState]] = MappingProxyType(
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
    if state not in TRANSITIONS.get(operation.state, ()):
        raise TransitionRefused(operation.id, operation.state, state)
    return change(operation, state=state, **changes)


def begin(operation: Operation, now: float) -> Operation:
    """Return the operation with its next attempt begun."""
    return move(
        operation, _S.RUNNING, started_at=now, attempt=operation.attempt + 1, fraction=0.0, line="", content="", detail=""
    )


def requeue(operation: Operation, reason: str) -> Operation:
    """Return the operation waiting for another attempt: it failed, or can go on after a crash."""
    return move(operation, _S.QUEUED, detail=reason)


def ask_to_stop(operation: Operation) -> Operation:
    """Return the operation asked to stop."""
    return move(operation, _S.CANCELLING, stopping=True)


def mark_unknown(operation: Operation) -> Operation:
    """Return the operation as it is after nobody has seen it end: of unknown outcome, and to be told of by itself."""
    return move(operation, _S.UNKNOWN, background=True, detail="the process ended while it ran")


def end(operation: Operation, state: OperationState, now: float, content: str = "", detail: str = "") -> Operation:
    """Return the operation at one of its ends."""
    if not state.ended:
        raise TransitionRefused(operation.id, operation.state, state, "that is no end")
    done = {"fraction": 1.0} if state is _S.SUCCEEDED else {}
    return move(operation, state, ended_at=now, content=content, detail=detail, **done)


EVERYTHING = "*"
"""The resource that stands for all others."""

_ACTIVE = (OperationState.RUNNING, OperationState.CANCELLING)


def overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two sets of resources have one in common. ``*`` is every resource that is named."""
    if not one or not other:
        return False
    return EVERYTHING in one or EVERYTHING in other or not set(one).isdisjoint(other)


def conflict(one: Operation, other: Operation) -> bool:
    """Return whether two operations exclude each other: they share a resource, and one of them writes."""
    return Effect.WRITE in (one.effect, other.effect) and overlap(one.resources, other.resources)


def queue(operations: Iterable[Operation]) -> list[Operation]:
    """Return those that wait, in the order in which they have their turn."""
    return sorted(
        (each for each in operations if each.state is OperationState.QUEUED), key=lambda each: (each.place, each.number)
    )


def runnable(operations: Iterable[Operation], held: Iterable[Operation] = (), waiting: Iterable[int] = ()) -> list[Operation]:
    """Return the queued operations that may begin now, in their order.

    One begins when it conflicts with none that runs, with none that waits before it, and with none of `held`: attempts
    that were given up and still run, and outcomes that are unknown. `waiting` are the numbers of those whose time for
    another attempt has not come.
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
    """Return the queued operations that cannot begin before somebody says what became of one whose outcome is unknown."""
    known = list(operations)
    in_the_way = [each for each in known if each.state is OperationState.UNKNOWN and each.effect is Effect.WRITE]
    found = []
    for each in queue(known):
        if any(conflict(each, other) for other in in_the_way):
            found.append(each)
            in_the_way.append(each)
    return found


def active_writer(operations: Iterable[Operation], resources: Sequence[str]) -> Operation | None:
    """Return an operation that writes one of these resources right now, or None."""
    for each in operations:
        if each.state in _ACTIVE and each.effect is Effect.WRITE and overlap(each.resources, resources):
            return each
    return None
