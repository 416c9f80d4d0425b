"""A thread for each agent, for life."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import selectors
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import dataclass
from typing import TypeVarTuple, Unpack

from coterie.concurrency import AutoResetEvent, Rank, Thread, new_lock, start_thread
from coterie.concurrency.threads import defer
from coterie.kernel import Countdown
from coterie.kernel.clock import DrivenClock
from coterie.runtime.dispatchers.agent_loop import AgentLoop
from coterie.runtime.dispatchers.base import Schedulable
from coterie.runtime.dispatchers.resources import DispatcherResources

Ts = TypeVarTuple("Ts")

_QUANTUM = 1_000
_ENDING_TOLERATED = 64
"""Threads that are about to end, and are remembered so that `close` can join them."""


@dataclass(frozen=True, slots=True)
class Dedicated:
    """Every agent has one thread, from its start to its end.

    For code that is bound to its thread: `threading.local`, SQLite connections, some native libraries. It needs nothing
    of asyncio that is private, so it also serves where agents cannot be leased. An agent's event loop is made only when
    it first needs one, because an ordinary loop costs three file descriptors.
    """

    def open(self, resources: DispatcherResources) -> DedicatedScheduler:
        """Return a scheduler of this kind for one runtime."""
        return DedicatedScheduler(resources)


class _WatchedSelector(selectors.DefaultSelector):
    """An ordinary selector that shows whether its loop is waiting or at work."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.resting = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.steps += 1
        self.resting = True
        try:
            return super().select(timeout)
        finally:
            self.resting = False


class DedicatedLoop(AgentLoop):
    """An ordinary event loop, but for the runtime's clock and threads."""

    def __init__(self, resources: DispatcherResources) -> None:
        self.watched = _WatchedSelector()
        super().__init__(resources, self.watched)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back at a time. A driven clock wakes this loop, which sleeps in real time, by a timer."""
        if isinstance(self._resources.clock, DrivenClock):
            self._resources.timers.call_at(when, self._nudge)
        return super().call_at(when, callback, *args, context=context)

    def _nudge(self) -> None:
        try:
            self.call_soon_threadsafe(lambda: None)
        except RuntimeError:
            return


class _State(enum.Enum):
    NEW = enum.auto()
    RUNNING = enum.auto()
    DIRTY = enum.auto()
    """Running, and woken meanwhile."""
    RESTING = enum.auto()
    CLOSED = enum.auto()


class DedicatedExecutor:
    """One agent's own thread, started by the first `wake`. `_lock` guards `_state`; the rest belongs to the thread."""

    __slots__ = ("_bell", "_in_loop", "_lock", "_loop", "_schedulable", "_scheduler", "_state", "thread")

    def __init__(self, scheduler: DedicatedScheduler, schedulable: Schedulable) -> None:
        self._scheduler = scheduler
        self._schedulable = schedulable
        self._lock = new_lock(Rank.SEAT)
        self._state = _State.NEW
        self._bell = AutoResetEvent()
        self._in_loop = False
        self._loop: DedicatedLoop | None = None
        self.thread: Thread | None = None

    @property
    def thread_id(self) -> int | None:
        """The agent's thread."""
        return self.thread.ident if self.thread is not None else None

    @property
    def queued(self) -> bool:
        """Always false: the agent has a thread of its own."""
        return False

    def measure_waits(self) -> Callable[[], float]:
        """Return a function that returns 0: the agent has a thread of its own."""
        return float

    @property
    def busy(self) -> bool:
        """True while the agent's code runs or is about to, and false while it waits for something to do."""
        if self._state is _State.RESTING:
            return self._in_loop and self._loop is not None and not self._loop.watched.resting
        return self._state is _State.RUNNING or self._state is _State.DIRTY

    @property
    def steps(self) -> int:
        """Grows with every step of the event loop."""
        return self._loop.watched.steps if self._loop is not None else 0

    def wake(self) -> None:
        """Ensure that there is a turn after this call."""
        if self._lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(self.wake)
            return
        self._lock.acquire()
        before = self._state
        if before is _State.RESTING or before is _State.NEW:
            self._state = _State.RUNNING
        elif before is _State.RUNNING:
            self._state = _State.DIRTY
        self._lock.release()
        if before is _State.RESTING:
            loop = self._loop
            if loop is None:
                self._bell.set()
            else:
                self._leave(loop)
        elif before is _State.NEW:
            self._begin()

    def _begin(self) -> None:
        """Start the thread. Raises `RuntimeError` if there is none left."""
        self._scheduler.enter(self, self._schedulable)
        try:
            part = f"{self._scheduler.resources.name} dedicated"
            self.thread = start_thread(self._run, self._schedulable.name, part=part, needed=False)
        except RuntimeError:
            self.close()
            self._scheduler.leave(self)
            raise

    def _leave(self, loop: DedicatedLoop) -> None:
        try:
            loop.call_soon_threadsafe(loop.stop)
        except RuntimeError:
            # It has woken by itself in between, had its turn, and that was its last.
            if not loop.is_closed():
                raise

    def loop(self) -> AgentLoop:
        """Return the agent's event loop."""
        if self._loop is None:
            self._loop = DedicatedLoop(self._scheduler.resources)
        return self._loop

    def has_loop(self) -> bool:
        """Return whether the event loop has been made."""
        return self._loop is not None

    def interrupt(self) -> None:
        """Leave the event loop soon."""
        if self._loop is not None and self._in_loop:
            self._loop.stop()

    def before_blocking(self) -> None:
        """Do nothing: no other agent uses this thread."""

    def close(self) -> None:
        """End the thread after this turn."""
        with self._lock:
            self._state = _State.CLOSED

    def _run(self) -> None:
        try:
            while self._state is not _State.CLOSED:
                if not self._schedulable.turn(_QUANTUM):
                    self._rest()
        finally:
            self._scheduler.leave(self)
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):
                    # The life of the agent has closed them, unless it was given up. A late wake-up may stop the loop.
                    self._loop.run_until_complete(self._loop.shutdown_asyncgens())
                self._loop.close()

    def _rest(self) -> None:
        with self._lock:
            if self._state is not _State.RUNNING:
                if self._state is _State.DIRTY:
                    self._state = _State.RUNNING
                return
            self._state = _State.RESTING
        if self._loop is None:
            self._bell.wait()
            return
        try:
            self._in_loop = True
            self._loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - a callback raised SystemExit or the like; that ends nobody else
            self._loop.call_exception_handler({"message": "a callback raised", "exception": error})
        finally:
            self._in_loop = False
            with self._lock:
                if self._state is _State.RESTING:
                    self._state = _State.RUNNING


class DedicatedScheduler:
    """Owns the threads of its agents. `_lock` guards the tables."""

    def __init__(self, resources: DispatcherResources) -> None:
        self.resources = resources
        self._lock = new_lock(Rank.DISPATCHER)
        self._executors: dict[DedicatedExecutor, Schedulable] = {}
        self._ending: list[Thread] = []

    @property
    def threads(self) -> int:
        """The number of threads now."""
        return len(self._executors)

    def executor(self, schedulable: Schedulable) -> DedicatedExecutor:
        """Return an executor for a new agent."""
        return DedicatedExecutor(self, schedulable)

    def running(self) -> Iterator[tuple[Schedulable, DedicatedExecutor]]:
        """Yield all agents."""
        executors = list(self._executors.copy().items())
        for executor, schedulable in executors:
            yield schedulable, executor

    def enter(self, executor: DedicatedExecutor, schedulable: Schedulable) -> None:
        """Record that the thread of an executor begins."""
        # A single operation of the dictionary: a finalizer may spawn while its thread holds the lock.
        self._executors[executor] = schedulable

    def leave(self, executor: DedicatedExecutor) -> None:
        """Record that the thread of an executor is about to end."""
        with self._lock:
            self._executors.pop(executor, None)
            if executor.thread is not None:
                self._ending.append(executor.thread)
            if len(self._ending) > _ENDING_TOLERATED:
                self._ending = [thread for thread in self._ending if thread.is_alive()]

    def close(self, timeout: float) -> None:
        """Wait for the threads of ended agents."""
        countdown = Countdown(timeout)
        with self._lock:
            threads = [*self._ending, *(executor.thread for executor in self._executors.copy())]
        for thread in threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join(countdown.left())
