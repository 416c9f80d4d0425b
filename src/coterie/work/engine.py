"""The processing engine: reasoning, planning, learning and optimisation jobs."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec

from coterie.concurrency import Timers, ends_in_order
from coterie.concurrency.forks import register_fork_handler
from coterie.errors import InvalidSetting
from coterie.kernel import Clock, check_number, choice, clock_or_system
from coterie.work.common import check_engine, check_job, measure_pools, new_guard, new_random
from coterie.work.jobs import Call, Job, Priority, Retry, TaskType
from coterie.work.jobs.call import check_call, check_ran
from coterie.work.pool import Bounds, QueueLimits, Retention, WorkPool
from coterie.work.pool.metrics import WorkMetrics
from coterie.work.pool.stopping import WorkStopReport, stop_pools
from coterie.work.pool.workers import ThreadRunner
from coterie.work.processes import ProcessRunner, pack
from coterie.work.processes.failures import PackedFailure, pack_failure, unpack_failure
from coterie.work.sizing import Sizing, WaitRatio

R = TypeVar("R")
T = TypeVar("T")

_LANES = list(TaskType)
_INDEX = {lane: number for number, lane in enumerate(TaskType)}


class ChunkResult(msgspec.Struct, Generic[R], frozen=True):
    """The values of a chunk of items, up to the first error."""

    values: list[R]
    error: Exception | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # An error as an ordinary value would lose its class or its text, or could not be sent at all.
        return _restore_chunk, (self.values, None if self.error is None else pack_failure(self.error))


def _restore_chunk(values: list[R], failure: PackedFailure | None) -> ChunkResult[R]:
    error = None if failure is None else unpack_failure(failure, "an item of a map")
    return ChunkResult(values, error if isinstance(error, Exception) else None)


class ChunkedCall(Generic[T, R]):
    """Calls a function for each item of a chunk. Immutable; messages show the name of the function."""

    def __init__(self, function: Callable[[T], R]) -> None:
        self.__wrapped__ = function

    def __call__(self, *items: T) -> ChunkResult[R]:
        """Call the function for each item."""
        function = self.__wrapped__
        done: list[R] = []
        try:
            for item in items:
                done.append(check_ran(function, function(item)))  # noqa: PERF401 - keep the values before an error
        except Exception as error:
            if not done:
                raise
            return ChunkResult(done, error)
        return ChunkResult(done)


def chunk_values(jobs: Sequence[Job[ChunkResult[R]]]) -> Iterator[R]:
    """Yield the values of chunks in order. Raise the first error in its place, and cancel the later chunks."""
    try:
        for job in jobs:
            chunk = job.result()
            yield from chunk.values
            if chunk.error is not None:
                raise chunk.error
    finally:
        for job in jobs:
            if not job.done:
                job.cancel("an earlier item failed, or the iterator was closed")


def _free_threaded() -> bool:
    """Return whether threads compute in parallel, so that CPU-bound jobs need no process.

    Not cached: importing an extension can re-enable the interpreter lock.
    """
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


class ProcessingEngine:
    """Runs jobs of four types, each with its own queue, on workers that also serve the other queues.

    ::

        with ProcessingEngine() as engine:
            job = engine.submit(plan, board, type=TaskType.PLANNING, priority=Priority.HIGH, timeout=5, retry=Retry(3))
            job.result()

    CPU-bound jobs run in processes, all others on threads; without an interpreter lock, threads run both. Workers start
    when they are first needed. Safe from any thread. Raises `InvalidSetting`.

    Args:
        sizing: The capacity of the machine; detected by default.
        threads: Bounds of the threads, instead of those of the sizing. Measurements do not change given bounds.
        processes: Bounds of the processes, instead of those of the sizing.
        cpu_bound: Types whose jobs are CPU-bound by default.
        queue: The limits and the overflow policy of the queues.
        keep: The retention of ended jobs.
        clock: The clock of timeouts, retries, ageing and balancing.
        balance_every: Seconds between two adaptations of the workers to the load.
        seed: The seed of retry jitter.
        name: The prefix of thread names and job ids.
    """

    def __init__(
        self,
        sizing: Sizing | None = None,
        *,
        threads: Bounds | None = None,
        processes: Bounds | None = None,
        cpu_bound: Collection[TaskType | str] = (),
        queue: QueueLimits = QueueLimits(),  # noqa: B008 - it is immutable
        keep: Retention = Retention(),  # noqa: B008 - it is immutable
        clock: Clock | None = None,
        balance_every: float = 0.25,
        seed: int | None = None,
        name: str = "processing",
    ) -> None:
        check_engine("ProcessingEngine", name, sizing, queue, keep, balance_every, threads, processes)
        if isinstance(cpu_bound, str):
            raise InvalidSetting("ProcessingEngine.cpu_bound", cpu_bound, "a collection of task types")
        self.name = name
        self.sizing = sizing if sizing is not None else Sizing.detect()
        self.ratio = WaitRatio(self.sizing)
        """The measured ratio of waiting to computing of jobs on threads."""
        self._cpu_bound = frozenset(choice("ProcessingEngine.cpu_bound", each, TaskType) for each in cpu_bound)
        self._timers = Timers(clock_or_system("ProcessingEngine.clock", clock), name)
        bounds = threads if threads is not None else self.sizing.processing
        max_workers = None if threads is not None else (lambda: self.ratio.workers(bounds.most))
        # Two pools with separate queues, so that a CPU-bound job never waits behind I/O-bound ones.
        self._threads = WorkPool(
            name,
            _LANES,
            self._timers,
            bounds=bounds,
            limits=queue,
            keep=keep,
            make_runner=ThreadRunner,
            random=new_random(seed),
            balance_every=balance_every,
            observe=self.ratio.observe,
            max_workers=max_workers,
        )
        self._processes = WorkPool(
            f"{name}-cpu",
            _LANES,
            self._timers,
            bounds=processes if processes is not None else self.sizing.processes,
            limits=queue,
            keep=keep,
            make_runner=ProcessRunner,
            random=new_random(seed),
            balance_every=balance_every,
        )
        self._guard = new_guard()
        self._pools = {"threads": self._threads, "processes": self._processes}
        register_fork_handler(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(drain=ends_in_order(kind))

    def __repr__(self) -> str:
        return f"<ProcessingEngine {self.name}>"

    def submit(
        self,
        function: Callable[..., R],
        /,
        *arguments: Any,
        keywords: Mapping[str, Any] | None = None,
        type: TaskType | str = TaskType.REASONING,  # noqa: A002 - the field's own name
        priority: Priority | str = Priority.NORMAL,
        timeout: float | None = None,
        deadline: float | None = None,
        retry: Retry | None = None,
        cpu_bound: bool | None = None,
        callback: Callable[[Job[R]], object] | None = None,
    ) -> Job[R]:
        """Run ``function(*arguments, **keywords)`` on a worker and return its `Job`.

        `timeout` is in seconds per attempt, `deadline` in seconds for the whole job including waits. A process whose
        attempt exceeds its time is killed, and the attempt may be retried. A thread cannot be ended: the job ends with a
        `JobTimeout` that reports it, and is not retried while its function runs. `callback(job)` runs when the job ends.

        If the queue is full, the call waits for space, raises `QueueFull`, or sheds a job, as the `queue` of the engine
        says; on the thread of a running event loop it never blocks. Raises `NotSendable` for a call that cannot be
        pickled for a process, `WorkStopped` after `stop` and in a forked process, and `InvalidSetting`.
        """
        check_call("submit", function, keywords)
        if timeout is not None or deadline is not None or retry is not None:
            check_job("submit", timeout, deadline, retry)
        lane = type if type.__class__ is TaskType else choice("submit.type", type, TaskType)
        level = priority if priority.__class__ is Priority else choice("submit.priority", priority, Priority)
        pool = self._threads
        call = Call(function, arguments, keywords)
        if (cpu_bound if cpu_bound is not None else lane in self._cpu_bound) and not _free_threaded():
            pool = self._processes
            call = pack(call)
        job: Job[R] = Job(pool, call, _INDEX[lane], level, timeout=timeout, deadline=deadline, retry=retry)
        if callback is not None:
            job.on_done(callback)
        pool.submit(job)
        return job

    def map(
        self,
        function: Callable[[T], R],
        items: Iterable[T],
        *,
        chunk: int = 1,
        type: TaskType | str = TaskType.REASONING,  # noqa: A002 - the field's own name
        priority: Priority | str = Priority.NORMAL,
        timeout: float | None = None,
        retry: Retry | None = None,
        cpu_bound: bool | None = None,
    ) -> Iterator[R]:
        """Call `function` for each item, `chunk` items per job, and return an iterator over the values.

        Submits all items before it returns. Values come in the order of the items; the first error is raised in its
        place, and later jobs are cancelled unless they have started.
        """
        check_number("map.chunk", chunk, least=1, whole=True)
        check_call("map", function, None)
        chunks = iter(items)
        work = ChunkedCall(function)
        jobs: list[Job[ChunkResult[R]]] = []
        try:
            while batch := tuple(itertools.islice(chunks, chunk)):
                jobs.append(
                    self.submit(work, *batch, type=type, priority=priority, timeout=timeout, retry=retry, cpu_bound=cpu_bound)
                )
        except BaseException:
            for job in jobs:
                job.cancel("a later chunk of its map could not be submitted")
            raise
        return chunk_values(jobs)

    def job(self, id: str) -> Job[Any] | None:  # noqa: A002 - the field's own name
        """Return a live or retained job by its id, or None."""
        name, _, number = id.rpartition("-")
        for pool in self._pools.values():
            if pool.name == name and number.isdigit():
                return pool.table.find(int(number))
        return None

    @property
    def stopped(self) -> bool:
        """Return whether the engine accepts no more jobs."""
        return any(pool.table.closed for pool in self._pools.values())

    def metrics(self) -> WorkMetrics:
        """Return the current metrics by type. Blocks no worker."""
        return measure_pools(self.name, self._pools, self.ratio.wait_per_compute)

    def balance(self) -> None:
        """Adapt the workers to the load now. A timer also does this periodically."""
        for pool in self._pools.values():
            pool.balance()

    def stop(self, *, drain: bool = True, timeout: float = 10.0) -> WorkStopReport:
        """Accept no more jobs, stop, and return a report, after at most `timeout` seconds of real time and a little more.

        With `drain`, submitted jobs run first, retries included, within the time limit. The remaining jobs, or all of
        them without `drain`, are cancelled: processes are killed; jobs on threads have the rest of the time to end, and
        are then abandoned and named in the report. Their threads do not keep the process from exiting. Safe to call
        twice and from several threads. Raises `JobWaitCycle` in a job of this engine.
        """
        check_number("stop.timeout", timeout)
        report = stop_pools(list(self._pools.values()), drain=drain, timeout=timeout)
        self._timers.close()
        self._guard.release()
        return report

    def after_fork_in_child(self) -> None:
        """Stop this copy in a forked process, which does not inherit threads."""
        self._timers.after_fork_in_child()
        self.ratio.after_fork_in_child()
        for pool in self._pools.values():
            pool.after_fork_in_child()
