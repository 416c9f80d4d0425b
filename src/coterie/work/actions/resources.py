"""How many actions may use one resource at once, and how often."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from coterie.concurrency import Rank, Timers, new_lock
from coterie.errors import InvalidSetting
from coterie.kernel import check_number
from coterie.work.jobs import Job, JobState


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """The limits of one resource."""

    at_once: int | None = None
    """Actions that may use it at the same time; None for no limit."""
    rate: float | None = None
    """Actions that may begin in a second, in the long run; None for no limit."""
    burst: int = 1
    """Actions that may begin together after a rest."""

    def __post_init__(self) -> None:
        check_number("ResourceLimits.at_once", self.at_once, least=1, optional=True, whole=True)
        check_number("ResourceLimits.rate", self.rate, above=0, optional=True)
        check_number("ResourceLimits.burst", self.burst, least=1, whole=True)
        if self.at_once is None and self.rate is None:
            raise InvalidSetting("ResourceLimits", self, "at_once, or rate, or both")


class Resource:
    """One resource, and the actions that wait for it, the most urgent first; they hold no worker.

    The rate is kept by the generic cell rate algorithm (ITU-T I.371). An action that was let through has its place until
    it gives it back. Safe from any thread; `_lock` guards all; `enqueue` is called without it.
    """

    def __init__(
        self, limits: ResourceLimits, timers: Timers, enqueue: Callable[[Job[Any]], bool], age_after: float | None
    ) -> None:
        self._limits = limits
        self._timers = timers
        self._enqueue = enqueue
        # A priority is worth so many seconds of waiting: who has waited longer by that comes first.
        self._age_after = age_after if age_after is not None else 1e9
        self._lock = new_lock(Rank.RESOURCE)
        self._waiting: list[tuple[float, int, Job[Any]]] = []
        self._order = itertools.count()
        self._users: set[int] = set()
        self._next = 0.0
        """When the next could begin if there were no bursts."""
        self._alarmed = False

    @property
    def in_use(self) -> int:
        """How many actions have a place."""
        return len(self._users)

    @property
    def waiting(self) -> int:
        """How many actions wait."""
        return sum(entry[2].state is JobState.WAITING for entry in self._waiting.copy())

    def enter(self, action: Job[Any]) -> None:
        """Have an action queued once there is a place for it, and it is its turn."""
        key = self._timers.clock.monotonic() + action.level * self._age_after
        with self._lock:
            heapq.heappush(self._waiting, (key, next(self._order), action))
        self._let_in()

    def leave(self, action: Job[Any]) -> None:
        """Take back the place of an action, if it has one."""
        with self._lock:
            if action.number not in self._users:
                return
            self._users.discard(action.number)
        self._let_in()

    def _let_in(self) -> None:
        while True:
            with self._lock:
                action = self._take()
            if action is None:
                return
            if not self._enqueue(action):
                with self._lock:
                    self._users.discard(action.number)

    def _take(self) -> Job[Any] | None:
        """Return an action whose turn it is, with its place; None if there is none, or none yet. The lock is held."""
        limits = self._limits
        while self._waiting and self._waiting[0][2].state is not JobState.WAITING:
            heapq.heappop(self._waiting)
        if not self._waiting or (limits.at_once is not None and len(self._users) >= limits.at_once):
            return None
        if limits.rate is not None:
            now = self._timers.clock.monotonic()
            interval = 1 / limits.rate
            allowed = self._next - (limits.burst - 1) * interval
            if now < allowed - 1e-9:
                if not self._alarmed:
                    self._alarmed = True
                    self._timers.call_at(allowed, self._sound)
                return None
            self._next = max(now, self._next) + interval
        action = heapq.heappop(self._waiting)[2]
        self._users.add(action.number)
        return action

    def _sound(self) -> None:
        with self._lock:
            self._alarmed = False
        self._let_in()
