"""Which threads compute, and whether the machine has more threads that want to than processors.

A thread that waits for the interpreter's lock, or for a processor, looks like a blocked one at any single moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from coterie.kernel import SystemClock

_STARVED = 0.1
"""The share of the time that threads wait for a processor on a crowded machine, above which it gives them too few."""


class QueuedThread(Protocol):
    """A thread, as far as its waits for a processor are concerned."""

    native: int
    queued: float


class MeasuredWorker(QueuedThread, Protocol):
    """A worker thread, as far as its use of the processor is concerned."""

    @property
    def holds(self) -> object | None:
        """The lease that it runs."""
        ...

    ident: int
    serial: int
    computed: float
    measured: int
    computed_at: float


def idle_times(workers: Iterable[MeasuredWorker]) -> list[float]:
    """Return the seconds for which each worker that holds a lease has not computed. No thread may end meanwhile.

    A call finds out whether they have computed since the call before.
    """
    now = SystemClock.monotonic()
    holding = [worker for worker in workers if worker.holds is not None and worker.ident]
    for worker in holding:
        computed = SystemClock.thread_of(worker.ident)
        if computed > worker.computed or worker.serial != worker.measured:
            worker.computed, worker.measured, worker.computed_at = computed, worker.serial, now
    return [now - worker.computed_at for worker in holding]


def processor_waits(workers: Iterable[QueuedThread]) -> float:
    """Return the seconds for which threads have waited for a processor since the call before; 0 if the system does not tell."""
    waits = 0.0
    for worker in workers:
        try:
            text = Path(f"/proc/self/task/{worker.native}/schedstat").read_text(encoding="ascii")
            queued = int(text.split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            continue
        waits += queued - worker.queued
        worker.queued = queued
    return waits


class Starvation:
    """Finds out whether the machine gives this process few processors: its threads then use little, and are not blocked.

    Belongs to one thread.
    """

    def __init__(self) -> None:
        self._at = 0.0

    def found(self, workers: Iterable[QueuedThread]) -> bool:
        """Return whether the threads have waited much for a processor since the call before. No thread may end meanwhile."""
        if not crowded():
            return False
        before, self._at = self._at, SystemClock.monotonic()
        return processor_waits(workers) > _STARVED * (self._at - before)


def crowded() -> bool:
    """Return whether more threads of the machine want to run than it has processors."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1)
