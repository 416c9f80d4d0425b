"""Limits on concurrent actions and on their rate, per resource."""

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
    """The limits of one resource. Raises `InvalidSetting` without a limit, and for an invalid one."""

    at_once: int | None = None
    """Maximum number of actions that use it at the same time; None for no limit."""
    rate: float | None = None
    """Average number of actions that may begin per second; None for no limit."""
    burst: int = 1
    """Actions that may begin together after a pause."""

    def __post_init__(self) -> None:
        check_number("ResourceLimits.at_once", self.at_once, least=1, optional=True, whole=True)
        check_number("ResourceLimits.rate", self.rate, above=0, optional=True)
        check_number("ResourceLimits.burst", self.burst, least=1, whole=True)
        if self.at_once is None and self.rate is None:
            raise InvalidSetting("ResourceLimits", self, "at_once, or rate, or both")


class Resource:
    """One limited resource and the actions that wait for it, the most urgent first. They hold no worker.

    The generic cell rate algorithm (ITU-T I.371) enforces the rate. An action uses the resource until `leave`. Safe from
    any thread; `_lock` guards all fields; `enqueue` is called without it.
    """

    def __init__(
        self, limits: ResourceLimits, timers: Timers, enqueue: Callable[[Job[Any]], bool], age_after: float | None
    ) -> None:
        self._limits = limits
        self._timers = timers
        self._enqueue = enqueue
        # One priority level equals this many seconds of waiting.
        self._age_after = age_after if age_after is not None else 1e9
        self._lock = new_lock(Rank.RESOURCE)
        self._waiting: list[tuple[float, int, Job[Any]]] = []
        self._order = itertools.count()
        self._users: set[int] = set()
        self._next = 0.0
        """The earliest time of the next action, without bursts."""
        self._alarmed = False

    @property
    def in_use(self) -> int:
        """Return the number of actions that use it."""
        return len(self._users)

    @property
    def waiting(self) -> int:
        """Return the number of waiting actions."""
        return sum(entry[2].state is JobState.WAITING for entry in self._waiting.copy())

    def enter(self, action: Job[Any]) -> None:
        """Queue an action when the limits allow it and its turn has come."""
        key = self._timers.clock.monotonic() + action.level * self._age_after
        with self._lock:
            heapq.heappush(self._waiting, (key, next(self._order), action))
        self._start_next()

    def leave(self, action: Job[Any]) -> None:
        """End the use of the resource by an action, if it uses it."""
        with self._lock:
            if action.number not in self._users:
                return
            self._users.discard(action.number)
        self._start_next()

    def _start_next(self) -> None:
        while True:
            with self._lock:
                action = self._take()
            if action is None:
                return
            if not self._enqueue(action):
                with self._lock:
                    self._users.discard(action.number)

    def _take(self) -> Job[Any] | None:
        """Return the next action that may use the resource now, or None. The lock is held."""
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
                    self._timers.call_at(allowed, self._on_alarm)
                return None
            self._next = max(now, self._next) + interval
        action = heapq.heappop(self._waiting)[2]
        self._users.add(action.number)
        return action

    def _on_alarm(self) -> None:
        with self._lock:
            self._alarmed = False
        self._start_next()
