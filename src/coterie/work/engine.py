"""Jobs for those who think: reasoning, planning, learning, optimisation."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from coterie.concurrency import Timers, register_fork_handler
from coterie.errors import InvalidSetting
from coterie.kernel import Clock, check_number, choice, clock_or_system
from coterie.work.batches import Chunk, Chunked, values
from coterie.work.guarding import new_guard
from coterie.work.jobs import Call, Job, Priority, Retry, TaskType
from coterie.work.jobs.call import check_call
from coterie.work.machine import Ratio, Sizing
from coterie.work.metrics import WorkMetrics, measure
from coterie.work.options import check_engine, check_job
from coterie.work.pool import Bounds, Keep, QueueLimits, WorkPool
from coterie.work.pool.stopping import WorkStopReport, stop
from coterie.work.pool.worker import ThreadRunner
from coterie.work.processes import ProcessRunner, pack

R = TypeVar("R")
T = TypeVar("T")

_LANES = list(TaskType)
_INDEX = {lane: number for number, lane in enumerate(TaskType)}


def _free_threaded() -> bool:
    """Return whether threads compute at the same time, so that no process is needed for that.

    Asked each time, for an extension that is imported later can bring the interpreter lock back.
    """
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


class ProcessingEngine:
    """Runs jobs of four types, each with its queue, on workers that help one another out.

    ::

        with ProcessingEngine() as engine:
            job = engine.submit(plan, board, type=TaskType.PLANNING, priority=Priority.HIGH, timeout=5, retry=Retry(3))
            job.result()

    What computes (`cpu_bound`) runs in processes, all else on threads; where threads do not share one interpreter lock,
    they serve both. Workers are started when they are first needed. Safe from any thread.

    Args:
        sizing: How much the machine can do; detected unless given.
        threads: Bounds of the threads instead of the sizing's. If they are given, nothing measured moves them.
        processes: Bounds of the processes instead of the sizing's.
        cpu_bound: Types whose jobs are CPU-bound unless a job says otherwise.
        queue: The bounds of the queues and what becomes of what is more; a `QueueLimits`.
        keep: How many results are kept, and how long; a `Keep`.
        clock: What timeouts, retries, ageing and balancing go by.
        balance_every: Seconds between two looks at how the workers suit the load.
        seed: Of the jitter of retries.
        name: What its threads and jobs are named after.
    """

    def __init__(
        self,
        sizing: Sizing | None = None,
        *,
        threads: Bounds | None = None,
        processes: Bounds | None = None,
        cpu_bound: Collection[TaskType | str] = (),
        queue: QueueLimits = QueueLimits(),  # noqa: B008 - it is immutable
        keep: Keep = Keep(),  # noqa: B008 - as above
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
        self.ratio = Ratio(self.sizing)
        """What jobs on threads really wait and compute."""
        self._cpu_bound = frozenset(choice("ProcessingEngine.cpu_bound", each, TaskType) for each in cpu_bound)
        self._timers = Timers(clock_or_system("ProcessingEngine.clock", clock), name)
        bounds = threads if threads is not None else self.sizing.processing
        most = None if threads is not None else (lambda: self.ratio.workers(bounds.most))
        # Two pools, each with its own queues: what computes never waits behind what waits.
        self._threads = WorkPool(
            name, _LANES, self._timers, bounds=bounds, limits=queue, keep=keep, make_runner=ThreadRunner,
            random=random.Random(seed),  # noqa: S311 - for jitter
 balance_every=balance_every, observe=self.ratio.observe, most=most,
        )  # fmt: skip
        self._processes = WorkPool(
            f"{name}-cpu", _LANES, self._timers, bounds=processes if processes is not None else self.sizing.processes,
            limits=queue, keep=keep, make_runner=ProcessRunner, random=random.Random(seed),  # noqa: S311 - for jitter
 balance_every=balance_every,
        )  # fmt: skip
        self._guard = new_guard()
        self._pools = {"threads": self._threads, "processes": self._processes}
        register_fork_handler(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(drain=kind is None)

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
        """Have ``function(*arguments, **keywords)`` done by a worker, and return its `Job`.

        `timeout` is the seconds that one attempt may take, `deadline` those for all of it, waiting included. In a
        process an attempt whose time is over is killed, and may be tried again; on a thread it cannot be ended: the job
        ends, says so, and is not tried again beside what still runs. `callback(job)` is called once it has ended.

        Where the queue is full it waits for room, is refused with `QueueFull`, or sheds, as the engine's `queue` says;
        on the thread of a running event loop the job waits by itself. Raises `NotSendable` for what no process can
        have, `WorkStopped` after `stop` and in a forked process, and `InvalidSetting`.
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
        job: Job[R] = Job(
            pool, call, _INDEX[lane], level,
            timeout=timeout, deadline=deadline, retry=retry,
        )  # fmt: skip
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
        """Have `function` done for each item, `chunk` of them to a job, and return an iterator over what it returned.

        All is submitted before this returns. Results come in the order of the items; the first error is raised in its
        place, and what follows it is cancelled, as far as it has not begun.
        """
        check_number("map.chunk", chunk, least=1, whole=True)
        check_call("map", function, None)
        chunks = iter(items)
        work = Chunked(function)
        jobs: list[Job[Chunk[R]]] = []
        try:
            while batch := tuple(itertools.islice(chunks, chunk)):
                jobs.append(
                    self.submit(work, *batch, type=type, priority=priority, timeout=timeout, retry=retry, cpu_bound=cpu_bound)
                )
        except BaseException:
            for job in jobs:
                job.cancel("the rest of its map could not be submitted")
            raise
        return values(jobs)

    def job(self, id: str) -> Job[Any] | None:  # noqa: A002 - the field's own name
        """Return a job by its id: one that has not ended, or one whose result is still kept; else None."""
        name, _, number = id.rpartition("-")
        for pool in self._pools.values():
            if pool.name == name and number.isdigit():
                return pool.find(int(number))
        return None

    @property
    def stopped(self) -> bool:
        """Whether it takes nothing more."""
        return any(pool.closed for pool in self._pools.values())

    def metrics(self) -> WorkMetrics:
        """Return counts, waits, run times and utilisation of this moment, by type. Holds up no worker."""
        return measure(self.name, self._pools, self.ratio.wait_per_compute)

    def balance(self) -> None:
        """Have the workers follow the load now; it is also done by itself, again and again."""
        for pool in self._pools.values():
            pool.balance()

    def stop(self, *, drain: bool = True, timeout: float = 10.0) -> WorkStopReport:
        """Take no more jobs, and end. Always returns, `timeout` seconds of real time and a little more at most.

        With `drain`, what has been submitted is done first, retries included, as far as the time goes. What is left, or
        without `drain` all at once, is cancelled: processes are killed; what runs on threads has the rest of the time to
        end, and is then given up and named in the report, and its thread does not keep the process from ending. To stop
        twice, or from several threads, is harmless.
        """
        check_number("stop.timeout", timeout)
        report = stop(list(self._pools.values()), drain=drain, timeout=timeout)
        self._timers.close()
        self._guard.release()
        return report

    def after_fork_in_child(self) -> None:
        """Be told that this is a copy in a forked process: it has been stopped, for threads are not inherited."""
        self._timers.after_fork_in_child()
        self.ratio.after_fork_in_child()
        for pool in self._pools.values():
            pool.after_fork_in_child()
