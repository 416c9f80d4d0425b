"""Worker threads that read and write for event loops, by priority."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from coterie.concurrency import PROCESS_THREADS, AutoResetEvent, Rank, Thread, new_lock, start_thread
from coterie.concurrency.machine import Machine
from coterie.errors import MemoryClosed
from coterie.memory.writing.pending import MemoryPriority

T = TypeVar("T")


_IDLE_AFTER = 5.0
"""Seconds after which a thread without work ends, but for the last."""


class MemorySizing(Protocol):
    """A sizing, as far as a memory needs it: `coterie.work.Sizing` is one."""

    @property
    def machine(self) -> Machine:
        """The machine."""
        ...


class PriorityWorkers:
    """Up to `max_threads` threads, started on demand, and a queue by priority and then by arrival.

    With a `group_limit`, these and other pools of the process together stay within it; one thread may always run. Safe from many
    threads; `_lock` guards the queue and the threads.
    """

    def __init__(self, name: str, max_threads: int, group_limit: int | None = None) -> None:
        self._name = name
        self._max_threads = max_threads
        self._group_limit = group_limit or max_threads
        self._share = PROCESS_THREADS.join(grouped=group_limit is not None, reserves=False)
        self._lock = new_lock(Rank.LANE)
        self._queue: list[tuple[int, int, Future[Any], Callable[[], Any]]] = []
        self._order = itertools.count()
        self._numbers = itertools.count(1)
        self._idle: list[AutoResetEvent] = []
        self._threads: list[Thread] = []
        self._running = 0
        """Threads that were started and have not ended, or are about to be."""
        self._closed = False

    @classmethod
    def sized(cls, name: str, max_threads: int | None, sizing: MemorySizing | None) -> PriorityWorkers:
        """Return workers for a machine; `max_threads` replaces their number."""
        machine = sizing.machine if sizing is not None else Machine.detect()
        return cls(name, max_threads or machine.mixed, max(machine.max_threads, max_threads or 0))

    def __len__(self) -> int:
        """Return the number of queued jobs."""
        return len(self._queue)

    def submit(self, work: Callable[[], T], priority: MemoryPriority = MemoryPriority.NORMAL) -> Future[T]:
        """Queue `work`, and return its future."""
        future: Future[T] = Future()
        event = None
        grow = False
        with self._lock:
            if self._closed:
                raise MemoryClosed
            heapq.heappush(self._queue, (int(priority), next(self._order), future, work))
            if self._idle:
                event = self._idle.pop()
            else:
                grow = self._may_grow()
        if event is not None:
            event.set()
        if grow:
            self._grow()
        return future

    def close(self, timeout: float) -> None:
        """Finish the queued jobs, accept no more, and end the threads."""
        with self._lock:
            self._closed = True
            threads, events, self._idle = list(self._threads), self._idle, []
        for event in events:
            event.set()
        for thread in threads:
            thread.join(timeout)
        PROCESS_THREADS.leave(self._share)

    def _may_grow(self) -> bool:
        """Count one more thread if there may be one. The lock is held."""
        limit = self._group_limit
        if self._running >= self._max_threads or not PROCESS_THREADS.take(self._share, limit, 2 * limit):
            return False
        self._running += 1
        return True

    def _grow(self) -> None:
        name = f"{self._name}-{next(self._numbers)}"
        try:
            thread = start_thread(self._run, name, part=self._name, needed=self._running <= 1)
        except RuntimeError:
            # None is left. Other threads do the work; without any, the caller must know.
            with self._lock:
                self._end_one()
                if not self._running:
                    raise
            return
        with self._lock:
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]

    def _end_one(self) -> None:
        self._running -= 1
        if not self._share.left:
            PROCESS_THREADS.give(self._share, 1)

    def _run(self) -> None:
        event = AutoResetEvent()
        while True:
            with self._lock:
                job = heapq.heappop(self._queue) if self._queue else None
                if job is None:
                    if self._closed:
                        self._end_one()
                        return
                    self._idle.append(event)
            if job is None:
                if not self._rest(event):
                    return
                continue
            _, _, future, work = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:  # noqa: BLE001 - the future raises it
                    future.set_exception(error)

    def _rest(self, event: AutoResetEvent) -> bool:
        """Wait for work. Return False if the thread is to end."""
        if event.wait(_IDLE_AFTER if self._running > 1 else None):
            return True
        with self._lock:
            if event in self._idle and self._running > 1:
                self._idle.remove(event)
                self._end_one()
                return False
            if event in self._idle:
                self._idle.remove(event)
                return True
        # It is about to be woken.
        return event.wait()
