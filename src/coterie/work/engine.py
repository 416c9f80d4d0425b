"""The processing engine: reasoning, planning, learning and optimisation jobs."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from coterie.concurrency import Timers
from coterie.errors import InvalidSetting
from coterie.kernel import Clock, check_instance, check_number, choice, clock_or_system
from coterie.work.base import Admit, WorkSystem, check_admit
from coterie.work.common import check_engine, check_job, measure_pools, new_guard, new_random
from coterie.work.jobs import Call, Job, JobState, Priority, Retry, TaskType
from coterie.work.jobs.call import check_call
from coterie.work.mapping import ChunkedCall, ChunkedMap
from coterie.work.pool import Bounds, QueueLimits, Retention, WorkPool
from coterie.work.pool.ending import EngineEnd
from coterie.work.pool.keys import JobIds, JobKeys
from coterie.work.pool.metrics import WorkMetrics
from coterie.work.pool.workers import ThreadRunner
from coterie.work.processes import ProcessRunner, pack
from coterie.work.processes.options import ProcessOptions
from coterie.work.sizing import Sizing, WaitRatio

R = TypeVar("R")

_WINDOW = 8
"""Jobs of a map that are in hand at least."""
_LANES = list(TaskType)
_INDEX = {lane: number for number, lane in enumerate(TaskType)}


def _free_threaded() -> bool:
    """Return whether threads compute in parallel, so that CPU-bound jobs need no process.

    Not cached: importing an extension can re-enable the interpreter lock.
    """
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


class ProcessingEngine(WorkSystem):
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
        handlers: The function of each type of job, for `process`.
        queue: The limits and the overflow policy of the queues.
        keep: The retention of ended jobs.
        cache: The retention of the results of jobs that have a key.
        admit: Called with 1 before a job is accepted. It may wait, or raise to refuse the job: `ResourceController.admit`.
        initializer: Called without arguments in each process before its first job, such as to load a model.
        max_tasks_per_child: Jobs after which a process is replaced; None for no limit.
        max_memory_per_child: Bytes of resident memory above which a process is replaced after its job; None for no limit.
        clock: The clock of timeouts, retries, ageing and balancing.
        balance_every: Seconds between two adaptations of the workers to the load.
        seed: The seed of retry jitter.
        exit_timeout: Seconds that the end of the program waits for the jobs of an engine that was not stopped. Jobs that are
            not done then are named on stderr, and the exit status is 1.
        name: The prefix of thread names and job ids.
    """

    def __init__(
        self,
        sizing: Sizing | None = None,
        *,
        threads: Bounds | None = None,
        processes: Bounds | None = None,
        cpu_bound: Collection[TaskType | str] = (),
        handlers: Mapping[TaskType | str, Callable[..., Any]] | None = None,
        queue: QueueLimits = QueueLimits(),  # noqa: B008 - it is immutable
        keep: Retention = Retention(),  # noqa: B008 - it is immutable
        cache: Retention = Retention(),  # noqa: B008 - it is immutable
        admit: Admit | None = None,
        initializer: Callable[[], object] | None = None,
        max_tasks_per_child: int | None = None,
        max_memory_per_child: int | None = None,
        clock: Clock | None = None,
        balance_every: float = 0.25,
        seed: int | None = None,
        exit_timeout: float = 10.0,
        name: str = "processing",
    ) -> None:
        self._options = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        check_engine("ProcessingEngine", name, sizing, queue, keep, balance_every, threads, processes)
        check_number("ProcessingEngine.exit_timeout", exit_timeout)
        if isinstance(cpu_bound, str):
            raise InvalidSetting("ProcessingEngine.cpu_bound", cpu_bound, "a collection of task types")
        check_instance("ProcessingEngine.cache", cache, Retention, "a retention: Retention(count=..., seconds=...)")
        check_admit("ProcessingEngine", admit)
        check_number("ProcessingEngine.max_tasks_per_child", max_tasks_per_child, least=1, whole=True, optional=True)
        check_number("ProcessingEngine.max_memory_per_child", max_memory_per_child, least=1, whole=True, optional=True)
        self._admit = admit
        self._handlers = {choice("ProcessingEngine.handlers", each, TaskType): run for each, run in (handlers or {}).items()}
        for function in (*self._handlers.values(), *(() if initializer is None else (initializer,))):
            check_call("ProcessingEngine", function, None)
        self.name = name
        self.sizing = sizing if sizing is not None else Sizing.detect()
        self.ratio = WaitRatio(self.sizing)
        """The measured ratio of waiting to computing of jobs on threads."""
        self._cpu_bound = frozenset(choice("ProcessingEngine.cpu_bound", each, TaskType) for each in cpu_bound)
        self._timers = Timers(clock_or_system("ProcessingEngine.clock", clock), name)
        bounds = threads if threads is not None else self.sizing.processing
        max_workers = None if threads is not None else partial(self.ratio.workers, bounds.most)
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
            sized=threads is None,
            max_abandoned=self.sizing.limits.max_threads,
        )
        process_bounds = processes if processes is not None else self.sizing.processes
        options = ProcessOptions(
            initializer=None if initializer is None else pack(Call(initializer, (), None)).payload,
            max_tasks=max_tasks_per_child,
            max_memory=max_memory_per_child,
            threads=max(1, self.sizing.machine.usable // process_bounds.most),
        )
        self._processes = WorkPool(
            f"{name}-cpu",
            _LANES,
            self._timers,
            bounds=process_bounds,
            limits=queue,
            keep=keep,
            make_runner=partial(ProcessRunner, options),
            random=new_random(seed),
            balance_every=balance_every,
            lane_most=[self._most_at_once(lane, process_bounds.most) for lane in _LANES],
        )
        self._keys: JobKeys[Job[Any]] = JobKeys(cache, self._timers.clock, lambda job: job.state is JobState.SUCCEEDED)
        self._ids = JobIds(keep, self._timers.clock, (name, f"{name}-cpu"))
        self._pools = {"threads": self._threads, "processes": self._processes}
        self._end = EngineEnd(
            "ProcessingEngine",
            list(self._pools.values()),
            self._timers,
            new_guard(),
            forked=[self.ratio],
            exit_timeout=exit_timeout,
        )
        weakref.finalize(self, self._end.dropped).atexit = False

    def _most_at_once(self, lane: TaskType, processes: int) -> int:
        """Return how many jobs of a type may run in processes at once: learning leaves as many as its sizing says."""
        spare = self.sizing.cpu_bound - self.sizing.workers.processing[lane]
        return max(1, processes - max(0, spare))

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
        key: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's own name
        callback: Callable[[Job[R]], object] | None = None,
    ) -> Job[R]:
        """Run ``function(*arguments, **keywords)`` on a worker and return its `Job`.

        `timeout` is in seconds per attempt, `deadline` in seconds for the whole job including waits. A process whose
        attempt exceeds its time is killed, and the attempt may be retried. A thread cannot be ended: the job ends with a
        `JobTimeout` that reports it, and is not retried while its function runs. `callback(job)` runs when the job ends.

        With a `key`, the result is cached: while a job with that key is live, or its result is retained (`cache`), that job is
        returned and nothing runs. A job that failed or was cancelled is not reused. Give jobs with other arguments other keys.
        `id` is an id of your own for `job`, which no live or retained job may have; by default the engine makes one.

        If the queue is full, the call waits for space, raises `QueueFull`, or sheds a job, as the `queue` of the engine
        says; on the thread of a running event loop it never blocks. Raises `NotSendable` for a call that cannot be
        pickled for a process, `WorkStopped` after `stop` and in a forked process, `KeyConflict` for a key of another
        function, the errors of `admit`, and `InvalidSetting`.
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
        if key is not None:
            check_instance("submit.key", key, str, "a text, or None")
            known: Job[R] | None = self._keys.claim(key, job)
            if known is not None:
                if callback is not None:
                    known.on_done(callback)
                return known
            job.add_callback(partial(self._keys.note_end, key, job))
        if callback is not None:
            job.on_done(callback)
        try:
            self._ids.assign(id, job)
            if self._admit is not None:
                self._admit(1)
            pool.submit(job)
        except BaseException as error:
            self._ids.release(job)
            if key is not None:
                self._keys.release(key, job)
                # Another caller may have got this job through its key.
                job.refuse(error)
            raise
        return job

    def process(self, type: TaskType | str, /, *arguments: Any, **options: Any) -> Job[Any]:  # noqa: A002 - as in `submit`
        """Submit the function that `handlers` has for a type of job, and return the job. Raises `InvalidSetting` and as `submit`."""
        lane = choice("process.type", type, TaskType)
        handler = self._handlers.get(lane)
        if handler is None:
            known = ", ".join(self._handlers) or "none"
            raise InvalidSetting("process.type", type, f"a type with a handler: ProcessingEngine(handlers=...) has {known}")
        return self.submit(handler, *arguments, type=lane, **options)

    def map(
        self,
        function: Callable[..., R],
        *items: Iterable[Any],
        chunk: int = 1,
        window: int | None = None,
        type: TaskType | str = TaskType.REASONING,  # noqa: A002 - the field's own name
        priority: Priority | str = Priority.NORMAL,
        timeout: float | None = None,
        retry: Retry | None = None,
        cpu_bound: bool | None = None,
    ) -> Iterator[R]:
        """Call `function` for each item, `chunk` items per job, and return an iterator over the values.

        Several iterables give the function several arguments, as the built-in `map` does. At most `window` jobs are in hand,
        by default two for each worker that there may be, and at least 8; further items are taken as values are read. Values come in the
        order of the items; the first error is raised in its place, and later jobs are cancelled unless they have started.
        """
        check_number("map.chunk", chunk, least=1, whole=True)
        check_number("map.window", window, least=1, whole=True, optional=True)
        check_call("map", function, None)
        submit = partial(self.submit, type=type, priority=priority, timeout=timeout, retry=retry, cpu_bound=cpu_bound)
        work = ChunkedCall(function, spread=len(items) != 1)
        in_processes = cpu_bound if cpu_bound is not None else choice("map.type", type, TaskType) in self._cpu_bound
        most = (self._processes if in_processes else self._threads).workers.bounds.most
        taken = iter(items[0]) if len(items) == 1 else zip(*items, strict=False)
        return ChunkedMap(lambda batch: submit(work, *batch), taken, chunk, window or max(_WINDOW, 2 * most))

    def job(self, id: str) -> Job[Any] | None:  # noqa: A002 - the field's own name
        """Return a live or retained job by its id, its own or a made one, or by its key; None if there is none."""
        found = self._ids.find(id) or self._keys.find(id)
        if found is not None:
            return found
        name, _, number = id.rpartition("-")
        for pool in self._pools.values():
            if pool.name == name and number.isdigit():
                return pool.table.find(int(number))
        return None

    def dead(self) -> list[Job[Any]]:
        """Return the retained jobs that failed or timed out. To run one again, submit its call again."""
        return self.jobs(JobState.FAILED, JobState.TIMED_OUT)

    def metrics(self) -> WorkMetrics:
        """Return the current metrics by type. Blocks no worker."""
        return measure_pools(self.name, self._pools, self.ratio.wait_per_compute)
