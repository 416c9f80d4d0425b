"""Timers: one heap of deadlines for a whole runtime, and periodic jobs."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable

from coterie.concurrency.events import AutoResetEvent
from coterie.concurrency.frames import calls_out
from coterie.concurrency.locks import Rank, new_lock
from coterie.concurrency.threads import CONTAINED, Thread, defer, start_thread
from coterie.kernel import Clock
from coterie.kernel.clock import DrivenClock

_log = logging.getLogger(__name__)

_COMPACT_ABOVE = 512
"""The heap is compacted when it holds more cancelled entries than this and they are the majority."""


class Timer:
    """One deadline. `cancel` can be called from any thread, at any time, more than once."""

    __slots__ = ("_timers", "callback", "when")

    def __init__(self, when: float, callback: Callable[[], object], timers: Timers) -> None:
        self.when = when
        self.callback: Callable[[], object] | None = callback
        self._timers = timers

    def cancel(self) -> None:
        """Prevent the call of the callback, unless it is already running."""
        # Two threads may count one for two, or two for one: the count only tells when to compact the heap. Objects of the
        # callback may have finalizers, so no lock is held.
        if self.callback is not None:
            self.callback = None
            self._timers._count_cancelled()  # noqa: SLF001 - the two are one thing


class Timers:
    """Runs callbacks at given times of a clock.

    On the clock of the system, a thread waits for the next deadline. A `DrivenClock` needs no such thread: the caller that
    moves the clock runs the due callbacks. Callbacks run one after another, outside of any lock; they must be short and
    must not block. Their errors are logged.

    Safe from any thread. `_lock` guards the heap; `_cancelled` is a hint. A cancelled timer stays in the heap until its time, or until cancelled
    timers are the majority, so that `cancel` is cheap.
    """

    def __init__(self, clock: Clock, name: str = "coterie") -> None:
        self.clock = clock
        self._name = name
        self._lock = new_lock(Rank.TIMERS)
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._cancelled = 0
        self._closed = False
        self._doorbell = AutoResetEvent()
        self._thread: Thread | None = None
        self._driven = isinstance(clock, DrivenClock)
        if isinstance(clock, DrivenClock):
            clock.attach(self)

    @property
    def threads(self) -> int:
        """The number of threads: 0 before the first timer and on a driven clock, else 1."""
        return int(self._thread is not None)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` when the monotonic clock reaches `when`, and return its timer. After `close` it is never called."""
        timer = Timer(when, callback, self)
        self._push((when, next(self._order), timer))
        return timer

    def _push(self, entry: tuple[float, int, Timer]) -> None:
        lock = self._lock
        if lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self._push(entry))
            return
        lock.acquire()
        try:
            heapq.heappush(self._heap, entry)
            ring = self._heap[0] is entry and not self._driven and not self._closed
            if ring and self._thread is None:
                self._thread = start_thread(self._run, f"{self._name}-timers", part=self._name)
        finally:
            lock.release()
        if ring:
            self._doorbell.set()

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` in `delay` seconds, and return its timer."""
        return self.call_at(self.clock.monotonic() + delay, callback)

    def next_deadline(self) -> float | None:
        """Return the earliest deadline, or None without timers."""
        with self._lock:
            while self._heap and self._heap[0][2].callback is None:
                heapq.heappop(self._heap)
                self._cancelled -= 1
            return self._heap[0][0] if self._heap else None

    @calls_out
    def run_due(self) -> None:
        """Run all due callbacks."""
        while True:
            with self._lock:
                if not self._heap:
                    self._cancelled = 0
                if self._closed or not self._heap or self._heap[0][0] > self.clock.monotonic():
                    return
                timer = heapq.heappop(self._heap)[2]
                callback, timer.callback = timer.callback, None
                if callback is None:
                    self._cancelled -= 1
                    continue
            try:
                callback()
            except CONTAINED:
                _log.exception("a timer's callback raised")

    def after_fork_in_child(self) -> None:
        """Stop all callbacks: this is a copy in a forked child, without the thread."""
        self._lock = new_lock(Rank.TIMERS)
        self._closed = True

    def close(self, timeout: float = 5.0) -> None:
        """Stop all callbacks and end the thread, waiting up to `timeout` seconds for it."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if isinstance(self.clock, DrivenClock):
            self.clock.detach(self)
        if thread is not None and thread is not threading.current_thread():
            self._doorbell.set()
            thread.join(timeout)

    def _count_cancelled(self) -> None:
        self._cancelled = cancelled = self._cancelled + 1
        if cancelled > _COMPACT_ABOVE and cancelled * 2 > len(self._heap):
            self._compact()

    def _compact(self) -> None:
        """Remove the cancelled timers from the heap."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(self._compact)
            return
        with self._lock:
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def _run(self) -> None:
        while not self._closed:
            deadline = self.next_deadline()
            if deadline is None:
                self._doorbell.wait()
            else:
                delay = deadline - self.clock.monotonic()
                if delay > 0:
                    self._doorbell.wait(delay)
            self.run_due()


class PeriodicJob:
    """Calls `work` every `interval` seconds of the timers' clock, on the timers' thread, until it is closed.

    `work` must be short. Each interval begins when the previous call has ended, so slow calls never pile up. An error of
    `work` is logged, and the job goes on. Safe from any thread; `_lock` guards the timer.
    """

    def __init__(self, timers: Timers, interval: float, work: Callable[[], object], name: str) -> None:
        self.interval = interval
        self.name = name
        self._timers = timers
        self._work = work
        self._lock = new_lock(Rank.RECORDS)
        self._closed = False
        self._timer: Timer | None = None
        self._plan()

    def close(self) -> None:
        """Stop the job."""
        with self._lock:
            self._closed = True
            timer = self._timer
        if timer is not None:
            timer.cancel()

    def _plan(self) -> None:
        timer = self._timers.call_later(self.interval, self._run)
        with self._lock:
            self._timer = timer
            closed = self._closed
        if closed:
            timer.cancel()

    @calls_out
    def _run(self) -> None:
        try:
            self._work()
        except CONTAINED:
            _log.exception("the periodic job %s raised", self.name)
        self._plan()
