"""The threads that are leased to agents, and the rules by which their number changes."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from typing import Protocol

from coterie.concurrency import AutoResetEvent, Rank, Thread, new_lock, start_thread
from coterie.concurrency.budget import PROCESS_THREADS
from coterie.concurrency.threads import defer
from coterie.errors import ProgramEnding, ThreadLimitReached
from coterie.kernel import Countdown, SystemClock
from coterie.runtime.dispatchers.sizing import PoolSize

_log = logging.getLogger(__name__)

_DIRECT = 16
"""How many times in a row a worker goes on directly to what it has just made ready, before others get their turn."""
_TICK = 0.005
"""Seconds between two looks of the watchdog."""
_QUIET_TICKS = 100
"""Looks that find nothing to do before the watchdog itself goes to rest."""


class Lease(Protocol):
    """Something that is ready to run on a thread."""

    def run(self, worker: LeaseWorker) -> None:
        """Run until there is nothing more to do, or it is time to let others. Must not raise."""
        ...


class LeaseWorker:
    """One thread, and the one lease that it will run next because it made it ready itself.

    `slot` is a deque so that taking from it is atomic: its worker takes from it, and so does the watchdog when the
    worker is held up. `holds` and `serial` are written by the worker alone.
    """

    # fmt: off
    __slots__ = (
        "bell", "computed", "computed_at", "fresh", "holds", "ident", "measured", "native",
        "searching", "seen", "serial", "slot", "streak", "thread",
    )
    # fmt: on

    def __init__(self) -> None:
        self.thread: Thread | None = None
        self.fresh = True
        """True if its thread must still be started, by the caller that rouses it."""
        self.bell = AutoResetEvent()
        self.slot: deque[Lease] = deque()
        self.holds: Lease | None = None
        self.serial = 0
        self.seen = -1
        self.streak = 0
        self.searching = False
        self.ident = 0
        self.computed = 0.0
        """Seconds of processor time that its thread had used when it was measured last."""
        self.measured = -1
        """Its `serial` at that time."""
        self.computed_at = 0.0
        """When it was last found to have computed, or to have another lease."""
        self.native = 0
        """The number of its thread in the system, once it runs."""


class WorkerPool:
    """Runs leases on a small number of threads, and adds threads when blocked threads make ready leases wait.

    A lease that a worker makes ready is run by that worker next, if it has none yet: the usual partner of an ask is
    answered without any thread being woken. All others queue, and one idle worker at a time is woken to look.

    A worker that is about to block in a wait of the runtime is replaced at once. For others a watchdog looks every 5 ms while
    there is work, takes the slot of a delayed worker, and adds as many threads as `PoolSize` says. A thread without work for
    `idle_after` seconds ends, down to `least`.

    Safe from any thread. `_lock` guards the list of idle workers and the counts. Leases join the queue, and workers
    become idle, while it is held, so none becomes idle while a lease waits; running workers take leases without it.
    """

    def __init__(self, name: str, *, least: int, most: int, idle_after: float) -> None:
        self.name = name
        self.least = least
        self.most = most
        self.idle_after = idle_after
        self._lock = new_lock(Rank.DISPATCHER)
        self._here = threading.local()
        self._ready: deque[Lease] = deque()
        self._idle: list[LeaseWorker] = []
        self._workers: dict[LeaseWorker, None] = {}
        self._searching = 0
        self._started = 0
        self._ending: list[Thread] = []
        self._closed = False
        self._watchdog: Thread | None = None
        self._watchdog_bell = AutoResetEvent()
        self._watchdog_rests = False
        self._size = PoolSize()

    @property
    def threads(self) -> int:
        """The number of worker threads now."""
        return len(self._workers)

    @property
    def others_wait(self) -> bool:
        """True while a lease waits in the queue."""
        return bool(self._ready)

    def holding(self) -> list[tuple[Lease, int]]:
        """Return the leases that are on a thread now, with the thread's number."""
        with self._lock:
            workers = list(self._workers)
        return [(holds, worker.ident) for worker in workers if (holds := worker.holds) is not None]

    def submit(self, lease: Lease) -> None:
        """Run a lease soon. The caller ensures that it is not queued or running already."""
        worker: LeaseWorker | None = self._here.__dict__.get("worker")
        if worker is not None and not worker.slot:
            worker.slot.append(lease)
            return
        self.enqueue(lease)

    def enqueue(self, lease: Lease, *, blocking: bool = False) -> None:
        """Run a lease after all leases that are queued already. With `blocking`, the calling worker is about to block."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(lambda: self.enqueue(lease, blocking=blocking))
            return
        with self._lock:
            self._ready.append(lease)
            worker = self._wake_one(blocking=blocking)
            watchdog, self._watchdog_rests = self._watchdog_rests, False
        if worker is not None:
            self._rouse(worker)
        if watchdog:
            self._watchdog_bell.set()

    def release_slot(self) -> None:
        """Let another thread run at once what this one would run next, because it is about to block."""
        worker: LeaseWorker | None = self._here.__dict__.get("worker")
        if worker is not None:
            try:
                lease = worker.slot.pop()
            except IndexError:
                return
            self.enqueue(lease, blocking=True)

    def close(self, timeout: float) -> None:
        """End the threads that hold nothing, wait up to `timeout` seconds for the others, and give those up that stay."""
        countdown = Countdown(timeout)
        with self._lock:
            self._closed = True
            workers = list(self._workers)
            threads = [self._watchdog, *(worker.thread for worker in workers), *self._ending]
        for worker in workers:
            worker.bell.set()
        self._watchdog_bell.set()
        for thread in threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join(countdown.left())

    def _wake_one(self, *, blocking: bool = False) -> LeaseWorker | None:
        """Return an idle worker, or a new one, to be roused; None if one is on its way already. The lock is held.

        With `blocking`, the calling worker is about to block, and a new one takes its place.
        """
        if self._searching or self._closed:
            return None
        if self._idle:
            return self._searcher(self._idle.pop())
        return self._recruit() if len(self._workers) < (self.most if blocking else self.least) else None

    def _recruit(self) -> LeaseWorker:
        """Return a new worker, to be roused. The lock is held."""
        worker = LeaseWorker()
        self._workers[worker] = None
        return self._searcher(worker)

    def _searcher(self, worker: LeaseWorker) -> LeaseWorker:
        worker.searching = True
        self._searching += 1
        return worker

    def _rouse(self, worker: LeaseWorker) -> bool:
        """Wake a worker, or start its thread if it has none. The lock is not held, because starting a thread takes long.

        Returns False if the system has no thread left. Raises `RuntimeError` if then the pool has no thread at all.
        """
        if not worker.fresh:
            worker.bell.set()
            return True
        worker.fresh = False
        try:
            if self._watchdog is None:
                self._start_watchdog()
            self._started += 1
            worker.thread = start_thread(
                lambda: self._work(worker),
                f"{self.name}-worker-{self._started}",
                part=f"{self.name} leased",
                needed=len(self._workers) <= self.least,
            )
        except RuntimeError as error:
            with self._lock:
                del self._workers[worker]
                self._searching -= 1
                none_left = not self._workers
                ready = len(self._ready)
            if none_left:
                raise
            # At the end of the program those that are there do what is left.
            if not isinstance(error, ThreadLimitReached | ProgramEnding):
                _log.warning("the system has no thread left; %d ready agents share %d", ready, len(self._workers))
            return False
        return True

    def _start_watchdog(self) -> None:
        with self._lock:
            if self._watchdog is None:
                self._watchdog = start_thread(self._watch, f"{self.name}-watchdog", part=self.name)

    def _work(self, worker: LeaseWorker) -> None:
        self._here.worker = worker
        worker.ident, worker.native = threading.get_ident(), threading.get_native_id()
        while True:
            lease = self._next(worker)
            if lease is None:
                return
            worker.holds = lease
            worker.serial += 1
            try:
                lease.run(worker)
            except BaseException:  # noqa: BLE001 - it is logged, and others go on
                # Agents catch the errors of their code, so this is a fault of the library; the other agents go on.
                _log.critical("a leased agent broke its contract", exc_info=True)
            worker.holds = None
            # A thread that rests keeps no agent alive.
            del lease

    def _next(self, worker: LeaseWorker) -> Lease | None:
        """Return what the worker runs next; block until there is something. None tells it to end."""
        while True:
            if worker.slot and (worker.streak < _DIRECT or not self._ready):
                try:
                    lease = worker.slot.pop()
                except IndexError:
                    continue
                worker.streak += 1
                return lease
            worker.streak = 0
            taken = self._take(worker)
            if taken is not None:
                return taken
            if not self._rest(worker):
                return None

    def _take(self, worker: LeaseWorker) -> Lease | None:
        """Return the first lease of the queue, or make the worker idle and return None."""
        if not worker.searching and not worker.slot:
            # Nothing but the queue changes, so no lock is needed, and many workers do not form a queue of their own
            # before it: who gets a lock while others run Python code holds it until the interpreter is free.
            try:
                return self._ready.popleft()
            except IndexError:
                pass  # the list of idle workers is about to change
        lease = other = None
        with self._lock:
            if worker.slot:
                self._ready.append(worker.slot.pop())
            if worker.searching:
                worker.searching = False
                self._searching -= 1
            # Only a worker that runs takes a lease without the lock.
            try:
                lease = self._ready.popleft()
            except IndexError:
                self._idle.append(worker)
            else:
                if self._ready:
                    other = self._wake_one()
        if other is not None:
            self._rouse(other)
        return lease

    def _rest(self, worker: LeaseWorker) -> bool:
        """Wait, idle, until there is something to look for. Return False if the worker is to end."""
        while not self._closed:
            spare = len(self._workers) > self.least
            if worker.bell.wait(self.idle_after if spare else None):
                break
            with self._lock:
                if worker in self._idle and len(self._workers) > self.least:
                    self._idle.remove(worker)
                    self._leave(worker)
                    return False
        if not self._closed:
            return True
        with self._lock:
            # What is ready when the pool closes is still run, by whoever is awake.
            if self._ready:
                if worker in self._idle:
                    self._idle.remove(worker)
                return True
            self._leave(worker)
            return False

    def _leave(self, worker: LeaseWorker) -> None:
        """Forget a worker, whose thread is about to end. The lock is held."""
        self._workers.pop(worker, None)
        self._ending = [thread for thread in self._ending if thread.is_alive()]
        if worker.thread is not None:
            self._ending.append(worker.thread)

    def _watch(self) -> None:
        """Run the watchdog."""
        quiet = 0
        cpu = SystemClock.processor()
        wall = SystemClock.monotonic()
        while not self._closed:
            rung = self._watchdog_bell.wait(None if quiet > _QUIET_TICKS else _TICK)
            cpu_now, wall_now = SystemClock.processor(), SystemClock.monotonic()
            took = wall_now - wall
            self._size.woke(0.0 if rung else took - _TICK)
            busy = (cpu_now - cpu) / max(took, 1e-9)
            quiet = 0 if self._look(busy) else quiet + 1
            cpu, wall = SystemClock.processor(), SystemClock.monotonic()
            if quiet > _QUIET_TICKS:
                with self._lock:
                    if self._ready or len(self._idle) < len(self._workers):
                        quiet = 0
                    else:
                        self._watchdog_rests = True

    def _look(self, busy: float) -> bool:
        """Take over from delayed workers, or add workers. Return whether there is any work."""
        roused: list[LeaseWorker] = []
        with self._lock:
            moved = False
            for worker in self._workers:
                if worker.holds is not None and worker.serial == worker.seen:
                    with contextlib.suppress(IndexError):
                        self._ready.append(worker.slot.pop())
                moved = moved or worker.serial != worker.seen
                worker.seen = worker.serial
            workers, ready = list(self._workers), len(self._ready)
            going_on = ready > 0 or len(self._idle) < len(workers)
        # Without the lock, for it may read files about each thread.
        wanted = self._size.wanted(ready, workers, busy, moved=moved)
        if wanted:
            with self._lock:
                wanted = min(wanted, len(self._ready))
                roused = [self._searcher(self._idle.pop()) for _ in range(min(wanted, len(self._idle)))]
                free = 0 if PROCESS_THREADS.full else self.most - len(self._workers)
                roused += [self._recruit() for _ in range(min(wanted - len(roused), free))]
        for worker in roused:
            self._rouse(worker)
        return going_on
