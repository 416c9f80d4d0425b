"""A thread for each agent, while it has something to run."""

from __future__ import annotations

import enum
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from coterie.concurrency import Rank, Timer, new_lock
from coterie.concurrency.threads import defer
from coterie.kernel import Countdown, check_number
from coterie.runtime.dispatchers.agent_loop import AgentLoop
from coterie.runtime.dispatchers.base import Schedulable, Scheduler, WaitMeter
from coterie.runtime.dispatchers.dedicated import Dedicated
from coterie.runtime.dispatchers.parking import ParkingLoop, supported
from coterie.runtime.dispatchers.poller import Poller
from coterie.runtime.dispatchers.resources import DispatcherResources
from coterie.runtime.dispatchers.workers import LeaseWorker, WorkerPool

_log = logging.getLogger(__name__)

_STEPS = 64
"""Steps of an agent's event loop before others get their turn."""


@dataclass(frozen=True, slots=True)
class Leased:
    """Every agent has an event loop of its own for life, and a thread only while it has something to run.

    An agent that waits for a message, a timer, input or a reply holds no thread and no file descriptor, so there may be many
    more agents than threads. An agent that blocks its thread keeps it, and others get new threads.

    Consecutive messages of an agent may be handled on different threads, so code that is bound to its thread needs `Dedicated`.
    Without epoll, or in an interpreter that does not support parked loops, `Dedicated` is used instead. Raises
    `InvalidSetting`.
    """

    least: int = 2
    """Threads that stay even if they are idle."""
    most: int = 8_192
    """Threads that are never exceeded; beyond them ready agents wait."""
    idle_after: float = 5.0
    """Seconds after which an idle thread ends."""
    quantum: int = 64
    """Messages that an agent handles before others that wait for a thread get their turn."""

    def __post_init__(self) -> None:
        check_number("Leased.least", self.least, least=1, whole=True)
        check_number("Leased.most", self.most, least=self.least, whole=True)
        check_number("Leased.idle_after", self.idle_after, above=0)
        check_number("Leased.quantum", self.quantum, least=1, whole=True)

    def open(self, resources: DispatcherResources) -> Scheduler:
        """Return a scheduler of this kind for one runtime."""
        if not supported():
            _log.warning("agents cannot be leased threads on this platform; each gets one of its own")
            return Dedicated().open(resources)
        return LeasedScheduler(self, resources)


_LOCKS = 64
"""Locks for all executors of a runtime. Each is held for less than a microsecond, and no thread holds two."""


class _State(enum.Enum):
    RESTING = enum.auto()
    QUEUED = enum.auto()
    """Ready, and waiting for a thread."""
    RUNNING = enum.auto()
    DIRTY = enum.auto()
    """Running, and woken meanwhile."""
    CLOSED = enum.auto()


class LeasedExecutor:
    """Leases a thread to one agent. `_lock`, which several share, guards `_state`; the thread that holds the agent owns the rest."""

    __slots__ = ("_armed_for", "_lock", "_loop", "_meter", "_schedulable", "_scheduler", "_state", "_timer", "thread_id")

    def __init__(self, scheduler: LeasedScheduler, schedulable: Schedulable) -> None:
        self._scheduler = scheduler
        self._schedulable = schedulable
        self._lock = next(scheduler.locks)
        self._state = _State.RESTING
        self._loop: ParkingLoop | None = None
        self._meter: WaitMeter | None = None
        self._timer: Timer | None = None
        self._armed_for = float("inf")
        self.thread_id: int | None = None

    @property
    def schedulable(self) -> Schedulable:
        """The agent."""
        return self._schedulable

    @property
    def busy(self) -> bool:
        """True while the agent has a thread, or is queued for one."""
        return self._state is not _State.RESTING and self._state is not _State.CLOSED

    @property
    def queued(self) -> bool:
        """True while the agent has something to do, and waits for a thread."""
        return self._state is _State.QUEUED

    def measure_waits(self) -> Callable[[], float]:
        """Return a function that returns the seconds for which the agent has waited for a thread since the first such call."""
        if self._meter is None:
            self._meter = WaitMeter(self._scheduler.resources.clock)
        return self._meter.seconds

    @property
    def steps(self) -> int:
        """Grows with every step of the event loop."""
        return self._loop.steps if self._loop is not None else 0

    def wake(self) -> None:
        """Ensure that there is a turn after this call."""
        lock = self._lock
        if lock._is_owned():  # noqa: SLF001 - see `Lock`
            defer(self.wake)
            return
        lock.acquire()
        state = self._state
        if state is _State.RESTING:
            self._state = _State.QUEUED
            lock.release()
            if self._meter is not None:
                self._meter.begin()
            self._scheduler.pool.submit(self)
            return
        if state is _State.RUNNING:
            self._state = _State.DIRTY
        lock.release()

    def loop(self) -> AgentLoop:
        """Return the agent's event loop."""
        if self._loop is None:
            self._loop = ParkingLoop(self._scheduler.resources, self.wake, self._scheduler.poller)
        return self._loop

    def has_loop(self) -> bool:
        """Return whether the event loop has been made."""
        return self._loop is not None

    def interrupt(self) -> None:
        """Leave the event loop soon."""
        if self._loop is not None:
            self._loop.interrupted = True

    def before_blocking(self) -> None:
        """Let others run what this thread would have run next."""
        self._scheduler.pool.release_slot()

    def close(self) -> None:
        """Give the executor up after this turn."""
        with self._lock:
            self._state = _State.CLOSED
        if self._timer is not None:
            self._timer.cancel()

    def run(self, worker: LeaseWorker) -> None:
        """Hold a thread while there are messages to handle, up to the quantum."""
        self.thread_id = worker.ident
        if self._meter is not None:
            self._meter.end()
        with self._lock:
            self._state = _State.RUNNING
        pool = self._scheduler.pool
        quantum = self._scheduler.quantum
        while True:
            more = self._schedulable.turn(quantum)
            loop = self._loop
            if loop is not None and self._state is not _State.CLOSED and loop.is_due:
                loop.pump(_STEPS)
                more = more or loop.interrupted or loop.is_due
            if self._state is _State.CLOSED:
                break
            if more:
                if not pool.others_wait:
                    continue
                self.thread_id = None
                with self._lock:
                    self._state = _State.QUEUED
                if self._meter is not None:
                    self._meter.begin()
                pool.enqueue(self)
                return
            if self._try_to_rest():
                return
        if self._loop is not None:
            self._loop.close()
        self.thread_id = None

    def _try_to_rest(self) -> bool:
        """Give the thread back, unless there is something to do again."""
        # The alarms are set before the thread is given up: one that goes off in between makes the state DIRTY.
        loop = self._loop
        if loop is not None:
            deadline = loop.deadline
            if deadline != self._armed_for or (self._timer is not None and self._timer.callback is None):
                self._arm(deadline)
            loop.rest()
        # Once the state says RESTING another thread may take the executor, so this must come before.
        self.thread_id = None
        with self._lock:
            if self._state is _State.DIRTY:
                self._state = _State.RUNNING
                rested = False
            else:
                self._state = _State.RESTING
                rested = True
        if not rested:
            self.thread_id = threading.get_ident()
        return rested

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = deadline
        self._timer = None if deadline == float("inf") else self._scheduler.resources.timers.call_at(deadline, self.wake)


class LeasedScheduler:
    """The workers and the poller that the agents of one runtime share."""

    def __init__(self, settings: Leased, resources: DispatcherResources) -> None:
        self.resources = resources
        self.quantum = settings.quantum
        self.locks = itertools.cycle([new_lock(Rank.SEAT) for _ in range(_LOCKS)])
        """The locks of the executors, in turn."""
        self.pool = WorkerPool(resources.name, least=settings.least, most=settings.most, idle_after=settings.idle_after)
        self.poller = Poller(resources.name)

    @property
    def threads(self) -> int:
        """The number of threads now."""
        return self.pool.threads + self.poller.threads

    def executor(self, schedulable: Schedulable) -> LeasedExecutor:
        """Return an executor for a new agent."""
        return LeasedExecutor(self, schedulable)

    def running(self) -> Iterator[tuple[Schedulable, LeasedExecutor]]:
        """Yield the agents that are on a thread."""
        for lease, _ in self.pool.holding():
            if isinstance(lease, LeasedExecutor):
                yield lease.schedulable, lease

    def close(self, timeout: float) -> None:
        """End the threads."""
        countdown = Countdown(timeout)
        self.pool.close(countdown.left() or 0.0)
        self.poller.close(countdown.left() or 0.0)
