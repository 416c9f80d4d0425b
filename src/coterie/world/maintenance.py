"""Periodic maintenance of a world: expiry and snapshots."""

from __future__ import annotations

from collections.abc import Callable

from coterie.concurrency import PeriodicJob, Timers
from coterie.kernel import Clock, check_number


class WorldMaintenance:
    """The periodic jobs of one world, on a clock. It starts no thread without a job.

    `expire_every` and `snapshot_seconds` are intervals in seconds; None disables the job.
    """

    def __init__(
        self,
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
        if expire_every is None and snapshot_seconds is None:
            return
        self._timers = Timers(clock, "world")
        if expire_every is not None:
            self._jobs.append(PeriodicJob(self._timers, expire_every, expire, "the expiry of a world"))
        if snapshot_seconds is not None:
            self._jobs.append(PeriodicJob(self._timers, snapshot_seconds, snapshot, "the snapshots of a world"))

    def close(self) -> None:
        """Stop the jobs."""
        for job in self._jobs:
            job.close()
        if self._timers is not None:
            self._timers.close()
