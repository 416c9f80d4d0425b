"""Maintenance of a world: the keys that expire, and periodic jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from weakref import WeakMethod, finalize

from coterie.concurrency import PeriodicJob, Timers
from coterie.concurrency.exits import end_dropped
from coterie.kernel import Clock, check_number
from coterie.world.state.view import View


class ExpiryQueue:
    """The keys that expire, soonest first. Not safe from several threads: the world guards it."""

    def __init__(self, view: View) -> None:
        self._heap = [(when, key) for key, when in view.deadlines_map.items()]
        heapify(self._heap)

    def add(self, expires: Mapping[str, float]) -> None:
        """Add keys and the times at which they expire."""
        for key, when in expires.items():
            heappush(self._heap, (when, key))

    def due(self, view: View, now: float) -> list[str]:
        """Return the keys of `view` that have expired by `now`, sorted. They stay in the queue until they are gone."""
        found: set[str] = set()
        while self._heap and self._heap[0][0] <= now:
            when, key = heappop(self._heap)
            # Another time, or none: the key was set again or removed.
            if view.expiry(key) == when:
                found.add(key)
        for key in found:
            heappush(self._heap, (view.deadlines_map[key], key))
        return sorted(found)


def _weakly(method: Callable[[], object]) -> Callable[[], object]:
    """Return a function that calls a method while its object is alive."""
    weak = WeakMethod(method)

    def call() -> None:
        alive = weak()
        if alive is not None:
            alive()

    return call


class WorldMaintenance:
    """The periodic jobs of one world, on a clock. It starts no thread without a job.

    The jobs do not keep the world alive, whose methods `expire` and `snapshot` are. `expire_every` and `snapshot_seconds` are intervals in seconds; None disables the job.
    """

    def __init__(
        self,
        world: object,
        clock: Clock,
        expire: Callable[[], object],
        expire_every: float | None,
        snapshot: Callable[[], object],
        snapshot_seconds: float | None,
    ) -> None:
        check_number("World.expire_every", expire_every, above=0, optional=True)
        check_number("World.snapshot_seconds", snapshot_seconds, above=0, optional=True)
        self._jobs: list[PeriodicJob] = []
        self._timers: Timers | None = None
        self._closed = False
        if expire_every is None and snapshot_seconds is None:
            return
        self._timers = Timers(clock, "world")
        finalize(world, self.dropped).atexit = False
        if expire_every is not None:
            self._jobs.append(PeriodicJob(self._timers, expire_every, _weakly(expire), "the expiry of a world"))
        if snapshot_seconds is not None:
            self._jobs.append(PeriodicJob(self._timers, snapshot_seconds, _weakly(snapshot), "the snapshots of a world"))

    def dropped(self) -> None:
        """Stop the jobs of a world that was dropped while it was open; do not make the caller wait."""
        if self._timers is not None and not self._closed:
            end_dropped("a world", self.close)

    def close(self) -> None:
        """Stop the jobs."""
        self._closed = True
        for job in self._jobs:
            job.close()
        if self._timers is not None:
            self._timers.close()
