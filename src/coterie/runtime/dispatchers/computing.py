"""Which threads compute, and whether the machine has more threads that want to than processors.

A thread that waits for the interpreter's lock, or for a processor, looks like a blocked one at any single moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from coterie.kernel import SystemClock

_STARVED = 0.1
"""The share of the time that threads wait for a processor on a crowded machine, above which it gives them too few."""
_COMPARABLE = 0.1
"""Seconds after which a measurement is too old to tell what the machine does now."""


class MeasuredWorker(Protocol):
    """A worker thread, as far as its use of the processor is concerned."""

    @property
    def holds(self) -> object | None:
        """The lease that it runs."""
        ...

    native: int
    serial: int
    computed: float
    measured: int
    computed_at: float


def idle_times(workers: Iterable[MeasuredWorker]) -> list[float]:
    """Return the seconds for which each worker that holds a lease has not computed.

    A call finds out whether they have computed since the call before.
    """
    now = SystemClock.monotonic()
    holding = [worker for worker in workers if worker.holds is not None and worker.native]
    for worker in holding:
        computed = SystemClock.thread_of(worker.native)
        if computed > worker.computed or worker.serial != worker.measured:
            worker.computed, worker.measured, worker.computed_at = computed, worker.serial, now
    return [now - worker.computed_at for worker in holding]


class ThreadUsage(NamedTuple):
    """What the system says about one thread."""

    waited: float
    """Seconds for which it waited for a processor. A wait counts when it has ended."""
    computed: float
    """Seconds of processor time."""
    runnable: bool
    """True if it has a processor now, or waits for one."""

    def wait_since(self, earlier: ThreadUsage, seconds: float) -> float:
        """Return for how many of the seconds since an earlier usage the thread waited for a processor."""
        waits = self.waited - earlier.waited
        return waits + seconds if self.runnable and self.computed == earlier.computed else waits


def usage_of(thread: int) -> ThreadUsage | None:
    """Return the usage of a thread of this process, given by its number in the system; None if the system does not tell."""
    folder = Path(f"/proc/self/task/{thread}")
    try:
        waited = int((folder / "schedstat").read_text(encoding="ascii").split()[1]) / 1e9
        state = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, ValueError, IndexError):
        return None
    return ThreadUsage(waited, SystemClock.thread_of(thread), state == "R")


class Starvation:
    """Finds out whether the machine gives this process few processors: its threads then use little, and are not blocked.

    Belongs to one thread.
    """

    def __init__(self) -> None:
        self._at = float("-inf")
        self._usages: dict[int, ThreadUsage] = {}

    def found(self, threads: Iterable[int]) -> bool:
        """Return whether threads wait much for a processor, given by their numbers in the system.

        The first call of several in short order on a crowded machine cannot know. It returns True, and the next one tells.
        """
        if not crowded():
            return False
        earlier, before = self._usages, self._at
        self._at = SystemClock.monotonic()
        self._usages = {thread: usage for thread in threads if (usage := usage_of(thread)) is not None}
        seconds = self._at - before
        if seconds > _COMPARABLE:
            return True
        waits = sum(usage.wait_since(earlier[thread], seconds) for thread, usage in self._usages.items() if thread in earlier)
        return waits > _STARVED * seconds


def crowded() -> bool:
    """Return whether more threads of the machine want to run now than it has processors."""
    processors = os.cpu_count() or 1
    try:
        running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return hasattr(os, "getloadavg") and os.getloadavg()[0] > processors
    return running > processors
