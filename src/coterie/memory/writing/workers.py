"""Threads that read and write for event loops, most urgent first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from coterie.concurrency import AutoResetEvent, Rank, Thread, new_lock, start_thread
from coterie.errors import MemoryClosed
from coterie.memory.writing.waiting import MemoryPriority

T = TypeVar("T")


class PriorityWorkers:
    """A few threads, started when they are needed, and a queue in order of urgency, then of arrival.

    Safe from many threads; `_lock` guards the queue and the list of threads.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = new_lock(Rank.LANE)
        self._queue: list[tuple[int, int, Future[Any], Callable[[], Any]]] = []
        self._order = itertools.count()
        self._idle: list[AutoResetEvent] = []
        self._threads: list[Thread] = []
        self._closed = False

    def __len__(self) -> int:
        """Return how much waits for a thread."""
        return len(self._queue)

    def submit(self, work: Callable[[], T], urgency: MemoryPriority = MemoryPriority.NORMAL) -> Future[T]:
        """Have `work` done, and return its future."""
        future: Future[T] = Future()
        bell = None
        grow = False
        with self._lock:
            if self._closed:
                raise MemoryClosed
            heapq.heappush(self._queue, (int(urgency), next(self._order), future, work))
            if self._idle:
                bell = self._idle.pop()
            elif len(self._threads) < self._most:
                grow = True
        if bell is not None:
            bell.set()
        if grow:
            self._grow()
        return future

    def close(self, timeout: float) -> None:
        """Do what waits, take no more, and end the threads."""
        with self._lock:
            self._closed = True
            threads, bells, self._idle = list(self._threads), self._idle, []
        for bell in bells:
            bell.set()
        for thread in threads:
            thread.join(timeout)

    def _grow(self) -> None:
        thread = start_thread(self._run, f"{self._name}-{len(self._threads) + 1}")
        with self._lock:
            self._threads.append(thread)

    def _run(self) -> None:
        bell = AutoResetEvent()
        while True:
            with self._lock:
                job = heapq.heappop(self._queue) if self._queue else None
                if job is None:
                    if self._closed:
                        return
                    self._idle.append(bell)
            if job is None:
                bell.wait()
                continue
            _, _, future, work = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:  # noqa: BLE001 - it belongs to the one who waits
                    future.set_exception(error)
