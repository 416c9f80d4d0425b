"""The event loop of a gateway, on its own thread, where all HTTP clients live."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

from coterie.concurrency import ElasticPool, Rank, Timers, new_lock, start_thread
from coterie.kernel import Clock
from coterie.kernel.clock import DrivenClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ClockedLoop(asyncio.SelectorEventLoop):
    """An event loop on a given clock, with its own threads for blocking calls such as name look-up."""

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock = clock
        self._timers = Timers(clock, name) if isinstance(clock, DrivenClock) else None
        self._blocking = ElasticPool(f"{name}-blocking", most=8)
        super().__init__()

    def time(self) -> float:
        """Return the clock's monotonic time."""
        return self._clock.monotonic()

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Schedule a callback. A manual clock wakes this loop, which sleeps in real time."""
        if self._timers is not None:
            self._timers.call_at(when, self.nudge)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override] # the types of `args` are of no interest here
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run a function in `executor`, by default on the loop's own threads."""
        return super().run_in_executor(executor or self._blocking, func, *args)

    def nudge(self) -> None:
        """Wake the loop so that it checks its time."""
        with contextlib.suppress(RuntimeError):  # it is closed, and has nothing left to do
            self.call_soon_threadsafe(lambda: None)

    def close(self) -> None:
        """Close the loop, its timers and its threads."""
        super().close()
        if self._timers is not None:
            self._timers.close()
        self._blocking.shutdown(wait=False, cancel_futures=True)
        # A call that blocks longer, such as a name look-up, ends by itself.
        self._blocking.join(_PATIENCE)


class EventLoopThread:
    """An event loop that runs on its own thread from now until `stop`.

    Safe from any thread. State on the loop belongs to its thread and needs no lock. `_lock` guards `_taking` and `_calls`:
    every accepted call is made, and a hundred agents that ask at once wake the loop once.
    """

    def __init__(self, clock: Clock, name: str) -> None:
        self.name = name
        self.loop = ClockedLoop(clock, name)
        self._lock = new_lock(Rank.RECORDS)
        self._calls: list[Callable[[], object]] = []
        self._taking = True
        self._serving = True
        self._thread = start_thread(self._run, name, part=name)

    @property
    def here(self) -> bool:
        """True on the thread of the loop."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[[], object]) -> bool:
        """Schedule a function on the loop. Return whether it was accepted."""
        with self._lock:
            if not self._taking:
                return False
            self._calls.append(function)
            if len(self._calls) == 1:
                self.loop.call_soon_threadsafe(self._make_calls, context=Context())
            return True

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop, and block the calling thread until it has ended. Raises its exceptions.

        Raises `RuntimeError` after `stop`.
        """
        try:
            ending = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:
            work.close()
            raise
        return ending.result(timeout)

    def stop(self, timeout: float = 5.0) -> bool:
        """Cancel the running tasks, end the loop and its thread; return whether it ended within `timeout` seconds."""
        with contextlib.suppress(RuntimeError):  # it has been stopped already
            self.loop.call_soon_threadsafe(self.halt)
        if not self.here:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def halt(self) -> None:
        """Stop the loop, on its own thread. Repeated calls do no harm."""
        if self._serving:
            self.loop.stop()

    def _make_calls(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
        for call in calls:
            try:
                call()
            except Exception as error:  # noqa: BLE001 - a call that fails does not prevent the others
                self.loop.call_exception_handler({"message": f"a call on the thread {self.name} failed", "exception": error})

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self._serving = False
            self._drain()
            with self._lock:
                self._taking = False
            # Make the calls accepted until now.
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            asyncio.set_event_loop(None)
            self.loop.close()

    def _drain(self) -> None:
        """Cancel all tasks that `stop` has left, and let them end."""
        for _ in range(_ROUNDS):
            tasks = asyncio.all_tasks(self.loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())


_PATIENCE = 1.0
"""Seconds to wait for blocked threads."""
_ROUNDS = 3
"""How often tasks that ignore a cancellation are cancelled."""
