"""Access to one tier, which may be temporarily unavailable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.errors import TierUnavailable
from coterie.kernel import Countdown
from coterie.memory.contract import Backend
from coterie.memory.record import MemoryRecord

T = TypeVar("T")

_PAUSE = 1.0
"""Seconds after a failure in which readers do not try again: each would wait for a timeout."""


class TierAccess:
    """Reads from a backend, counts, and fails fast for a moment after the backend was unavailable.

    Safe from many threads; `_lock` guards the state of failures. The store counts hits and misses under its own lock.
    """

    def __init__(self, name: str, backend: Backend) -> None:
        self.name = name
        self.hits = 0
        self.misses = 0
        self.writes = 0
        self.failures = 0
        """How often it was unavailable."""
        self._backend = backend
        self._lock = new_lock(Rank.RECORDS)
        self._away: TierUnavailable | None = None
        self._pause = Countdown(0.0)

    @property
    def away(self) -> str:
        """The reason why it is unavailable; empty if it is available, as far as is known."""
        return str(self._away) if self._away is not None else ""

    def read(self, what: Callable[[], T]) -> T:
        """Return the result of `what`, which reads from the backend. Raises `TierUnavailable`, at once if it has just failed."""
        away = self._away
        if away is not None and not self._pause.over:
            raise away.with_traceback(None)
        try:
            value = what()
        except TierUnavailable as error:
            self.failed(error)
            raise
        if away is not None:
            self._away = None
        return value

    def read_one(self, key: str) -> MemoryRecord | None:
        """Return one record, as `read` would."""
        if self._away is not None:
            return self.read(lambda: self._backend.get((key,))).get(key)
        try:
            found = self._backend.get((key,))
        except TierUnavailable as error:
            self.failed(error)
            raise
        return found.get(key) if found else None

    def failed(self, error: TierUnavailable) -> None:
        """Record that the tier was unavailable."""
        with self._lock:
            self.failures += 1
            self._away = error
            self._pause = Countdown(_PAUSE)

    def answered(self, writes: int = 0) -> None:
        """Record that the tier answered, and the number of its writes."""
        with self._lock:
            self.writes += writes
            self._away = None
