"""Copies of the arguments that an agent is spawned with."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import Any

from coterie.errors import DefinitionError, InvalidSetting
from coterie.kernel import check_number
from coterie.kernel.checkpoint import detach

_LOOP_BOUND_REMEDIES = {
    asyncio.Lock: "a threading.Lock for `def` handlers, or let one agent own what it guards",
    asyncio.Event: "a threading.Event for `def` handlers, or send a message",
    asyncio.Condition: "a threading.Condition for `def` handlers, or send a message",
    asyncio.Semaphore: "a threading.Semaphore for `def` handlers, or let one agent do the calls with @on(interleave=2)",
    asyncio.Barrier: "a threading.Barrier for `def` handlers, or send messages",
    asyncio.Queue: "a queue.SimpleQueue, or send messages",
}
"""Classes whose instances serve one event loop, and what to give an agent instead."""
_LOOP_BOUND = tuple(_LOOP_BOUND_REMEDIES)


def copied_argument(where: str, value: Any) -> Any:
    """Return a copy of a spawn argument as `detach` makes it, in which mocks are the same objects.

    Raises `DefinitionError` for an argument that is, or holds, a lock, semaphore, event, condition, barrier or queue of
    asyncio: it serves one event loop and each agent has its own, and a copy of it would guard nothing.
    """
    seen: dict[int, Any] = {}
    result = detach(value, seen)
    # `copy.deepcopy` keeps the objects that it has copied here.
    copied = seen.get(id(seen), ()) if result is not value else (value,)
    for each in reversed(copied):  # the outermost first
        if isinstance(each, _LOOP_BOUND):
            shown = f"an asyncio.{type(each).__name__}"
            problem = f"{shown} serves one event loop, and each agent has a loop of its own"
            remedy = next(remedy for kind, remedy in _LOOP_BOUND_REMEDIES.items() if isinstance(each, kind))
            raise DefinitionError(where, problem, f"make it in the constructor for one agent; to share, give {remedy}")
    mock = getattr(sys.modules.get("unittest.mock"), "NonCallableMock", None)
    mocks = {id(each): each for each in copied if isinstance(each, mock)} if mock is not None else {}
    return detach(value, mocks) if mocks else result


def arguments_of_each(where: str, each: Any) -> list[tuple[Any, ...]]:
    """Return the arguments of each of many agents; a number stands for so many without arguments. Raises `InvalidSetting`."""
    if isinstance(each, int):
        check_number(where, each, whole=True)
        return [()] * each
    need = "a number of agents, or the arguments of each in a sequence of their own, such as [(1,), (2,)]"
    if isinstance(each, str | bytes) or not isinstance(each, Iterable):
        raise InvalidSetting(where, each, need)
    found: list[tuple[Any, ...]] = []
    for args in each:
        if isinstance(args, str | bytes) or not isinstance(args, Iterable):
            raise InvalidSetting(f"{where}[{len(found)}]", args, need)
        found.append(tuple(args))
    return found
