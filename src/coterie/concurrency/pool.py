"""A thread pool that grows on demand."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from coterie.concurrency.budget import PROCESS_THREADS
from coterie.concurrency.locks import Rank, new_lock
from coterie.concurrency.threads import Thread, start_thread
from coterie.errors.work import ThreadsHeld
from coterie.kernel import Countdown

P = ParamSpec("P")
T = TypeVar("T")


class ElasticPool(Executor):
    """An executor that starts a thread when work arrives and all its threads are busy, up to `most`.

    Further work is queued. A thread that is idle for `idle_after` seconds ends. The thread that worked last works first
    again, so that surplus threads stay idle. A running call whose future is cancelled goes on, and counts as abandoned.
    Safe from any thread; `_lock` guards all tables.
    """

    def __init__(self, name: str, most: int = 1_000, idle_after: float = 5.0) -> None:
        self.name = name
        self.most = most
        self.idle_after = idle_after
        self._lock = new_lock(Rank.DISPATCHER)
        self._queue: deque[tuple[_PoolFuture, Callable[[], Any]]] = deque()
        self._abandoned: dict[_PoolFuture, None] = {}
        self._idle: list[threading.Lock] = []
        self._threads: set[Thread] = set()
        self._leaving: list[Thread] = []
        """Threads that take no more work and may not have ended yet."""
        self._started = 0
        self._closed = False
        PROCESS_THREADS.watch(self)

    @property
    def abandoned(self) -> int:
        """The number of threads in calls that no caller waits for any more."""
        return len(self._abandoned)

    @property
    def threads(self) -> int:
        """The current number of threads."""
        return len(self._threads)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn(*args, **kwargs)` on a thread of the pool and return its future.

        Raises `RuntimeError` after `shutdown`, and `ThreadsHeld` if it would need another thread while the process has
        abandoned as many as it may, and this pool some of them.
        """
        name = getattr(fn, "__qualname__", type(fn).__qualname__)
        future = _PoolFuture(self, name)
        wakeup: threading.Lock | None = None
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the pool {self.name} has been shut down")
            if self._abandoned and not self._idle and not PROCESS_THREADS.may_abandon:
                raise ThreadsHeld(name, self.name, list(self._abandoned), PROCESS_THREADS.abandoned - self.abandoned)
            self._queue.append((future, lambda: fn(*args, **kwargs)))
            if self._idle:
                wakeup = self._idle.pop()
            elif len(self._threads) < self.most:
                self._grow()
        if wakeup is not None:
            wakeup.release()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as Executor
        """Accept no more work; end the threads when the queue is empty, or, with `cancel_futures`, after their current job."""
        with self._lock:
            self._closed = True
            dropped = list(self._queue) if cancel_futures else []
            if cancel_futures:
                self._queue.clear()
            wakeups, self._idle = self._idle, []
        for future, _ in dropped:
            future.cancel()
        for wakeup in wakeups:
            wakeup.release()
        if wait:
            self.join(None)

    def join(self, timeout: float | None) -> list[Thread]:
        """Wait up to `timeout` seconds in total for the threads to end, after `shutdown`; return those still alive."""
        with self._lock:
            threads = [*self._threads, *self._leaving]
        countdown = Countdown(timeout)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(countdown.left())
        return [thread for thread in threads if thread.is_alive()]

    def abandon(self, call: _PoolFuture) -> None:
        """Count a running call as abandoned until it returns."""
        with self._lock:
            if call.running():
                self._abandoned[call] = None

    def _grow(self) -> None:
        self._started += 1
        try:
            thread = start_thread(self._work, f"{self.name}-{self._started}", part=self.name, needed=not self._threads)
        except RuntimeError:
            # No thread is left. Other threads of the pool will do the job; without any, the caller must know.
            if not self._threads:
                self._queue.pop()
                raise
            return
        self._threads.add(thread)

    def _leave(self) -> None:
        own = threading.current_thread()
        self._threads.discard(own)
        self._leaving = [*(thread for thread in self._leaving if thread.is_alive()), own]

    def _work(self) -> None:
        wakeup = threading.Lock()
        wakeup.acquire()
        while True:
            with self._lock:
                job = self._queue.popleft() if self._queue else None
                if job is None:
                    if self._closed:
                        self._leave()
                        return
                    self._idle.append(wakeup)
            if job is not None:
                _run(*job)
                if job[0] in self._abandoned:
                    with self._lock:
                        self._abandoned.pop(job[0], None)
            elif not wakeup.acquire(timeout=self.idle_after):
                with self._lock:
                    if wakeup in self._idle:
                        self._idle.remove(wakeup)
                        self._leave()
                        return
                # Another thread has just taken the lock from the list and is about to release it.
                wakeup.acquire()


class _PoolFuture(Future[Any]):
    """The future of a call. A cancellation of a running call tells the pool that no caller waits for it."""

    def __init__(self, pool: ElasticPool, name: str) -> None:
        super().__init__()
        self.name = name
        self._pool = pool

    def cancel(self) -> bool:
        if super().cancel():
            return True
        self._pool.abandon(self)
        return False


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = call()
    except BaseException as error:  # noqa: BLE001 - the waiting caller receives every error
        future.set_exception(error)
    else:
        future.set_result(value)
