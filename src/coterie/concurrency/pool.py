"""A pool of threads that has as many as it needs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from coterie.concurrency.locks import Rank, new_lock
from coterie.concurrency.threads import Thread, start_thread
from coterie.kernel import Countdown

P = ParamSpec("P")
T = TypeVar("T")


class ElasticPool(Executor):
    """An executor that starts a thread whenever work comes and all its threads are busy, up to `most`.

    Beyond that work queues. A thread that has been idle for `idle_after` seconds ends; the thread that worked last is
    the first to work again, so the surplus is what falls idle. Safe from any thread; `_lock` guards all tables.
    """

    def __init__(self, name: str, most: int = 1_000, idle_after: float = 5.0) -> None:
        self.name = name
        self.most = most
        self.idle_after = idle_after
        self._lock = new_lock(Rank.DISPATCHER)
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._idle: list[threading.Lock] = []
        self._threads: set[Thread] = set()
        self._leaving: list[Thread] = []
        """Those that work no more, and may not have ended yet."""
        self._started = 0
        self._closed = False

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return len(self._threads)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn(*args, **kwargs)` on a thread of the pool and return its future.

        Raises `RuntimeError` after `shutdown`.
        """
        future: Future[T] = Future()
        bell: threading.Lock | None = None
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the pool {self.name} has been shut down")
            self._queue.append((future, lambda: fn(*args, **kwargs)))
            if self._idle:
                bell = self._idle.pop()
            elif len(self._threads) < self.most:
                self._grow()
        if bell is not None:
            bell.release()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as Executor
        """Take no more work; end the threads once the queue is empty, or at once what they have is done."""
        with self._lock:
            self._closed = True
            dropped = list(self._queue) if cancel_futures else []
            if cancel_futures:
                self._queue.clear()
            bells, self._idle = self._idle, []
        for future, _ in dropped:
            future.cancel()
        for bell in bells:
            bell.release()
        if wait:
            self.join(None)

    def join(self, timeout: float | None) -> list[Thread]:
        """Wait up to `timeout` seconds in all for the threads to end, after `shutdown`; return those that did not."""
        with self._lock:
            threads = [*self._threads, *self._leaving]
        countdown = Countdown(timeout)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(countdown.left())
        return [thread for thread in threads if thread.is_alive()]

    def _grow(self) -> None:
        self._started += 1
        try:
            thread = start_thread(self._work, f"{self.name}-{self._started}")
        except RuntimeError:
            # The system has no thread to give. If others work here they get to it; if not, the caller must know.
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
        bell = threading.Lock()
        bell.acquire()
        while True:
            with self._lock:
                job = self._queue.popleft() if self._queue else None
                if job is None:
                    if self._closed:
                        self._leave()
                        return
                    self._idle.append(bell)
            if job is not None:
                _run(*job)
            elif not bell.acquire(timeout=self.idle_after):
                with self._lock:
                    if bell in self._idle:
                        self._idle.remove(bell)
                        self._leave()
                        return
                # Somebody took the bell in this very moment, and is about to ring it.
                bell.acquire()


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = call()
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who waits
        future.set_exception(error)
    else:
        future.set_result(value)
