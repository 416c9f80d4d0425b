"""The locks of Coterie and the order in which threads take them.

Nearly every lock is a leaf: its holder takes no other lock and calls no foreign code. Where locks nest, a thread takes
the lock of the smaller rank first; `Rank` lists all of them. This order excludes deadlocks between locks.
`coterie.testing.checked_locks` checks the rule while tests run.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

_TRIES = 16
"""How often a thread yields before it blocks at a lock."""


class Rank(enum.IntEnum):
    """The order of locks, outer before inner. Each line names what the lock guards."""

    CONSOLE = 2
    """The world of one run, while a page of the console reads it."""
    STARTING = 3
    """The environment of this process, while a worker process starts and inherits it."""
    DATABASE = 4
    """One database file, while it is being opened or closed."""
    DATABASES = 5
    """The table of the database files that this process has open."""
    CONVERSATION = 7
    """Whether the agent of one conversation is active, and its unanswered asks."""
    CONVERSATIONS = 8
    """The open conversations of one host."""
    LINK = 10
    """The received messages of one link, while it delivers them in order."""
    ENTITY = 15
    """The activation of one durable agent, and the messages that wait for it."""
    ENTITIES = 16
    """The durable agents of one runtime: their classes and endpoints, and the timer of their reminders."""
    ACTIVE_ENTITIES = 17
    """The activations of the durable agents of one runtime."""
    ENTITY_INBOX = 18
    """The stored messages of one durable agent that are in its mailbox."""
    FAMILY = 20
    """The children of one supervisor, and a restart of several of them."""
    WAITS = 30
    """The graph of waiting agents of one runtime."""
    REGISTRY = 40
    """The agents of a runtime by name and number, its topics and watchers."""
    MAINTENANCE = 41
    """The maintenance run of a memory store; one runs at a time."""
    MIND = 42
    """The counts of one agent's memories, and the running consolidation."""
    MEMORY = 44
    """The versions of one store's memories, and the moves between tiers."""
    LANE = 45
    """The queued writes of one tier."""
    BACKEND = 46
    """The in-process records of one tier."""
    CACHE = 48
    """One shard of a cache."""
    WORLD = 49
    """The newest view of one world, its history, and the queue of commits."""
    MAILBOX = 50
    """One mailbox: queued messages, pending puts, and whether its agent is to be scheduled."""
    SEAT = 60
    """Whether one agent is running, queued, or idle."""
    DISPATCHER = 70
    """The ready agents and the idle threads."""
    WORK = 72
    """The jobs of one pool and its workers."""
    BACKGROUND_WRITES = 73
    """The changes of durable agents that will be written together."""
    WRITES = 74
    """The queued writes of a database."""
    READERS = 75
    """The free read connections of a database, and the threads that wait for one."""
    RESOURCE = 78
    """The users and waiters of one resource of an action system; one circuit breaker."""
    STREAM = 79
    """The delivered and unread parts of a model's stream."""
    COMPLETION = 80
    """One completion and its callbacks."""
    TIMERS = 90
    """The heap of deadlines."""
    OUTGOING = 95
    """The number of the next frame to one node, while it is queued."""
    RECORDS = 100
    """Counters and bounded records: dead letters, statistics."""


class Lock(Protocol):
    """The type of the locks of `new_lock`: a `threading.RLock`, or an object that behaves as one.

    It knows its owner. No section enters a lock that its own thread holds: signal handlers and finalizers may run inside
    any section, so the code that they call checks `_is_owned` first, and defers its step (`defer`).
    """

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...  # noqa: D102, FBT001, FBT002
    def release(self) -> None: ...  # noqa: D102
    def _is_owned(self) -> bool: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None, /
    ) -> None: ...


# The function of the threading module that makes them looks first whether there is one in C. Its stubs do not know `_is_owned`,
# which `threading.Condition` uses too.
_rlock: Callable[[], Any] = type(threading.RLock())


class _Making:
    """The factory of locks. Only a test may replace it."""

    watched: Callable[[Rank], Lock] | None = None


def new_lock(rank: Rank) -> Lock:
    """Return a new lock of that rank."""
    watched = _Making.watched
    if watched is not None:
        return watched(rank)
    lock: Lock = _rlock()
    return lock


def acquire_in_turn(lock: Lock) -> None:
    """Acquire a lock that many threads take often and hold for microseconds; the caller releases it.

    A thread that blocks at a lock receives it with the wake-up, before it has the interpreter's own lock. Until it runs,
    other threads block at the lock too, and then every step costs a thread switch (a convoy: "The Convoy Phenomenon",
    M. Blasgen et al., 1979). A thread that yields and tries again holds the lock only while it runs.
    """
    if lock.acquire(blocking=False):
        return
    for _ in range(_TRIES):
        time.sleep(0)
        if lock.acquire(blocking=False):
            return
    lock.acquire()


def replace_making(make: Callable[[Rank], Lock]) -> AbstractContextManager[None]:
    """Return a context manager in which `new_lock` calls `make`. For tests only: it acts on the whole process."""
    return _Replaced(make)


class _Replaced(AbstractContextManager[None]):
    def __init__(self, make: Callable[[Rank], Lock]) -> None:
        self._make = make
        self._before = _Making.watched

    def __enter__(self) -> None:
        _Making.watched = self._make

    def __exit__(self, *exc_info: object) -> None:
        _Making.watched = self._before
