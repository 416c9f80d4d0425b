"""The locks of Coterie, and the one order in which they may be taken.

Nearly every lock here is a leaf: whoever holds it takes no other and calls nothing that is not its own. Where locks do
nest, a lock of a smaller rank is taken before one of a greater rank, and `Rank` is the whole list. So no circle of
threads that wait for each other's locks can arise. `coterie.testing.checked_locks` watches the rule while tests run.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, cast

_TRIES = 16
"""How often others are let run before a thread blocks at a lock after all."""


class Rank(enum.IntEnum):
    """The order of locks: outer before inner. Each line says what the lock guards."""

    DATABASE = 4
    """One database file, while it is opened or closed."""
    DATABASES = 5
    """Which database files this process has open."""
    CONVERSATION = 7
    """Whether the agent of one conversation is there or at rest, and the asks of it that have no answer yet."""
    CONVERSATIONS = 8
    """Which conversations one host has open."""
    LINK = 10
    """What one link has heard from one peer, while it hands messages over in their order."""
    FAMILY = 20
    """The children of one supervisor, and the restart that concerns several of them."""
    WAITS = 30
    """Who waits for whom, over all agents of a runtime."""
    REGISTRY = 40
    """The agents of a runtime by name and number, its topics and watchers."""
    MAINTENANCE = 41
    """The one maintenance of a store of memories that may go on at a time."""
    MIND = 42
    """The counts of one agent's memories, and what is being consolidated."""
    MEMORY = 44
    """The memories of one store on their way: versions, and what is moving."""
    LANE = 45
    """What is to be written to one tier."""
    BACKEND = 46
    """The records that one tier holds in process."""
    CACHE = 48
    """One shard of a cache."""
    WORLD = 49
    """The newest moment of one world, its history, and who waits to change it."""
    MAILBOX = 50
    """One mailbox: what is queued, who waits for room, whether its agent wants to be called."""
    SEAT = 60
    """Whether one agent has a thread, is queued for one, or rests."""
    DISPATCHER = 70
    """The agents that are ready and the threads that are idle."""
    WORK = 72
    """The jobs of one pool, and its workers."""
    WRITES = 74
    """The writes that wait for the one writer of a database."""
    READERS = 75
    """The connections of a database that are free, and who waits for one."""
    RESOURCE = 78
    """Who uses one resource of an action system, and who waits for it; one circuit breaker."""
    STREAM = 79
    """What a stream of a model has delivered and nobody has read."""
    COMPLETION = 80
    """One outcome that is awaited."""
    TIMERS = 90
    """The heap of deadlines."""
    RECORDS = 100
    """Counters and bounded records that are only written and read: dead letters, statistics."""


class Lock(Protocol):
    """What `new_lock` returns: a `threading.RLock`, or something that behaves as one.

    It knows its owner. No section enters a lock that its own thread holds: signal handlers and finalizers may run inside
    any section, so what they can call looks at `_is_owned` first, and defers its step (`defer`).
    """

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...  # noqa: D102, FBT001, FBT002
    def release(self) -> None: ...  # noqa: D102
    def _is_owned(self) -> bool: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None, /
    ) -> None: ...


class _Making:
    """How locks are made. A test replaces it for a while; nothing else may."""

    watched: Callable[[Rank], Lock] | None = None


def new_lock(rank: Rank) -> Lock:
    """Return a new lock that has this place in the order."""
    watched = _Making.watched
    if watched is not None:
        return watched(rank)
    # Its stubs do not know `_is_owned`, which `threading.Condition` uses too.
    return cast("Lock", threading.RLock())


def acquire_in_turn(lock: Lock) -> None:
    """Acquire a lock that many threads take often and keep for microseconds; the caller releases it.

    Who blocks at a lock gets it together with the wake-up, and before the interpreter's own lock: whoever runs
    meanwhile then blocks at it too, and from there on every step costs a change of threads (a convoy: "The Convoy
    Phenomenon", M. Blasgen et al., 1979). Who lets others run and tries again has it only while it runs.
    """
    if lock.acquire(blocking=False):
        return
    for _ in range(_TRIES):
        time.sleep(0)
        if lock.acquire(blocking=False):
            return
    lock.acquire()


def replace_making(make: Callable[[Rank], Lock]) -> AbstractContextManager[None]:
    """Return a context in which `new_lock` calls `make`. For tests only: it acts on the whole process."""
    return _Replaced(make)


class _Replaced(AbstractContextManager[None]):
    def __init__(self, make: Callable[[Rank], Lock]) -> None:
        self._make = make
        self._before = _Making.watched

    def __enter__(self) -> None:
        _Making.watched = self._make

    def __exit__(self, *exc_info: object) -> None:
        _Making.watched = self._before
