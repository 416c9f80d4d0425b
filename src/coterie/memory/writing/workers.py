"""Worker threads that read and write for event loops, by priority."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from coterie.concurrency import AutoResetEvent, Rank, Thread, new_lock, start_thread
from coterie.errors import MemoryClosed
from coterie.memory.writing.pending import MemoryPriority

T = TypeVar("T")


class PriorityWorkers:
    """Up to `max_threads` threads, started on demand, and a queue by priority and then by arrival.

    Safe from many threads; `_lock` guards the queue and the list of threads.
    """

    def __init__(self, name: str, max_threads: int) -> None:
        self._name = name
        self._max_threads = max_threads
        self._lock = new_lock(Rank.LANE)
        self._queue: list[tuple[int, int, Future[Any], Callable[[], Any]]] = []
        self._order = itertools.count()
        self._idle: list[AutoResetEvent] = []
        self._threads: list[Thread] = []
        self._closed = False

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
            elif len(self._threads) < self._max_threads:
                grow = True
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

    def _grow(self) -> None:
        thread = start_thread(self._run, f"{self._name}-{len(self._threads) + 1}")
        with self._lock:
            self._threads.append(thread)

    def _run(self) -> None:
        event = AutoResetEvent()
        while True:
            with self._lock:
                job = heapq.heappop(self._queue) if self._queue else None
                if job is None:
                    if self._closed:
                        return
                    self._idle.append(event)
            if job is None:
                event.wait()
                continue
            _, _, future, work = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:  # noqa: BLE001 - the future raises it
                    future.set_exception(error)
