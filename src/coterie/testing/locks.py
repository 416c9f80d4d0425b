"""Checks of the documented lock order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from coterie.concurrency.locks import Rank, replace_making


class LockOrderViolation(AssertionError):
    """A thread took a lock while it held one of the same or a later rank."""


@contextmanager
def checked_locks() -> Iterator[list[str]]:
    """Return a context that checks the order of all locks made in it, for as long as they live.

    A violation raises `LockOrderViolation` in the thread that takes the lock. The yielded list has a line for each
    violation, because errors of other threads may go unseen.
    """
    violations: list[str] = []
    held = _Held()
    with replace_making(lambda rank: _CheckedLock(rank, held, violations)):
        yield violations


class _Held(threading.local):
    def __init__(self) -> None:
        self.ranks: list[Rank] = []


class _CheckedLock:
    def __init__(self, rank: Rank, held: _Held, violations: list[str]) -> None:
        self._rank = rank
        self._held = held
        self._violations = violations
        self._lock = threading.Lock()
        self._owner: int | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - as threading.Lock
        ranks = self._held.ranks
        if ranks and ranks[-1] >= self._rank:
            line = f"{threading.current_thread().name} took {self._rank.name} while it held {ranks[-1].name}"
            self._violations.append(line)
            raise LockOrderViolation(line)
        taken = self._lock.acquire(blocking, timeout)
        if taken:
            self._owner = threading.get_ident()
            ranks.append(self._rank)
        return taken

    def release(self) -> None:
        self._owner = None
        self._lock.release()
        self._held.ranks.remove(self._rank)

    def _is_owned(self) -> bool:
        return self._owner == threading.get_ident()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()
