"""Which operations may run at once: a pure rule over what they touch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coterie.conversation.operations.operation import Effect, Operation, OperationState

EVERYTHING = "*"
"""The resource that stands for all others."""

_ACTIVE = (OperationState.RUNNING, OperationState.CANCELLING)


def touch(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two sets of resources have one in common. ``*`` is every resource that is named."""
    if not one or not other:
        return False
    return EVERYTHING in one or EVERYTHING in other or not set(one).isdisjoint(other)


def conflict(one: Operation, other: Operation) -> bool:
    """Return whether two operations exclude each other: they share a resource, and one of them writes."""
    return Effect.WRITE in (one.effect, other.effect) and touch(one.resources, other.resources)


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


def undecided(operations: Iterable[Operation]) -> list[Operation]:
    """Return the queued operations that cannot begin before somebody says what became of one whose outcome is unknown."""
    known = list(operations)
    in_the_way = [each for each in known if each.state is OperationState.UNKNOWN and each.effect is Effect.WRITE]
    found = []
    for each in queue(known):
        if any(conflict(each, other) for other in in_the_way):
            found.append(each)
            in_the_way.append(each)
    return found


def written(operations: Iterable[Operation], resources: Sequence[str]) -> Operation | None:
    """Return an operation that writes one of these resources right now, or None."""
    for each in operations:
        if each.state in _ACTIVE and each.effect is Effect.WRITE and touch(each.resources, resources):
            return each
    return None
