"""Jobs, beside `concurrent.futures`: submit and run, batches through processes, retries, priorities, two cores."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

from benchmarks.harness import Row, compare, timed
from benchmarks.throughput import versus
from coterie.testing import ManualClock
from coterie.work import ActionSystem, Bounds, JobState, Priority, ProcessingEngine, QueueLimits, Retry, TaskType

THREADS = 4
JOBS = 5_000
ITEMS = 20_000
CHUNK = 100
WAITING = 10_000
KIB = 1024
GAP = 2.0 / WAITING
SPIN = 400_000
TASKS = 8
QUEUE = QueueLimits(capacity=20_000)


def empty(_: int = 0) -> None: ...


def spin(rounds: int) -> int:
    """Compute, in pure Python."""
    total = 0
    for number in range(rounds):
        total += number & 7
    return total


def fail() -> None:
    raise OSError("not yet")


def all_rows() -> list[Row]:
    return [row for part in (threads, processes, retries, urgent, cores) for row in part()]


def threads() -> Iterator[Row]:
    with ProcessingEngine(threads=Bounds(THREADS, THREADS), queue=QUEUE) as engine, ThreadPoolExecutor(THREADS) as pool:

        def ours() -> None:
            for job in [engine.submit(empty) for _ in range(JOBS)]:
                job.result()

        def theirs() -> None:
            for future in [pool.submit(empty) for _ in range(JOBS)]:
                future.result()

        result = compare({"ours": lambda: timed(JOBS, ours), "ThreadPoolExecutor": lambda: timed(JOBS, theirs)})
    yield from versus("empty jobs on threads, submitted and run", result, "ours", ("ThreadPoolExecutor", 0.5, "at least"))


def processes() -> Iterator[Row]:
    with (
        ProcessingEngine(processes=Bounds(2, 2)) as engine,
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
    ):

        def ours() -> None:
            for _ in engine.map(empty, range(ITEMS), chunk=CHUNK, cpu_bound=True):
                pass

        def theirs() -> None:
            for _ in pool.map(empty, range(ITEMS), chunksize=CHUNK):
                pass

        result = compare({"ours": lambda: timed(ITEMS, ours), "ProcessPoolExecutor": lambda: timed(ITEMS, theirs)})
    what = f"empty jobs through processes, {CHUNK} at once"
    yield from versus(what, result, "ours", ("ProcessPoolExecutor", 0.8, "at least"))


def retries() -> Iterator[Row]:
    """Let many actions wait for a retry: what they hold, and how late they begin."""
    clock = ManualClock()
    with ActionSystem(clock=clock, workers=Bounds(2, 2), queue=QUEUE) as system:
        held = _bytes_of(lambda: _wait_for_retries(system, Retry(1, initial=100.0, maximum=1000.0)))
        metrics = system.metrics()
        system.stop(drain=False)
    each = held / WAITING
    row = f"{each / KIB:.2f} KiB each, {metrics.busy} workers held"
    yield Row(f"{WAITING:,} jobs that wait for a retry", row, "2 KiB, none", met=each < 2 * KIB and not metrics.busy)
    worst = sorted(max(_late(engine_retries())) for _ in range(3))
    bare = sorted(max(_late(bare_sleeps())) for _ in range(3))
    figure = f"latest of all {worst[1] * 1000:.1f} ms late; a bare thread that sleeps {bare[1] * 1000:.1f} ms"
    yield Row("the same, begun again 5,000 a second, median of 3 rounds", figure, "20 ms", met=worst[1] < 0.02)


def _wait_for_retries(system: ActionSystem, retry: Retry) -> object:
    actions = [system.submit(fail, retry=retry) for _ in range(WAITING)]
    while any(action.state is not JobState.WAITING for action in actions):
        time.sleep(0.01)
    return actions


def _late(moments: list[tuple[float, float]]) -> list[float]:
    return [began - due for due, began in moments]


def engine_retries() -> list[tuple[float, float]]:
    """Return when each retry was due, by the end of its first attempt, and when it began; each at a time of its own."""
    begun: dict[int, float] = {}
    tried: set[int] = set()

    def note(number: int) -> None:
        if number not in tried:
            tried.add(number)
            raise OSError("not yet")
        begun[number] = time.monotonic()

    with ProcessingEngine(threads=Bounds(2, 2), queue=QUEUE) as engine:
        delays = [2.0 + number * GAP for number in range(WAITING)]
        jobs = [engine.submit(note, number, retry=Retry(1, initial=delay, jitter=0.0)) for number, delay in enumerate(delays)]
        for job in jobs:
            job.result()
    return [(jobs[number].history[0].ended + delays[number], began) for number, began in begun.items()]


def bare_sleeps() -> list[tuple[float, float]]:
    """Return the same of one thread that sleeps from each time to the next."""
    began = time.monotonic()
    moments = []
    for number in range(WAITING):
        due = began + number * GAP
        left = due - time.monotonic()
        if left > 0:
            time.sleep(left)
        moments.append((due, time.monotonic()))
    return moments


def _bytes_of(make: Callable[[], object]) -> int:
    """Return how much memory what `make` returns has taken, and keeps."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    made = make()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return after - before


def urgent() -> Iterator[Row]:
    """Submit a job of high priority behind many of low: how many begin before it once a worker is free."""
    before: list[int] = []
    for _ in range(5):
        with ProcessingEngine(threads=Bounds(1, 1), queue=QUEUE) as engine:
            hold = threading.Event()
            engine.submit(hold.wait)
            begun: list[int] = []
            for _ in range(10_000):
                engine.submit(begun.append, 0, priority=Priority.LOW)
            job = engine.submit(lambda seen: before.append(len(seen)), begun, priority=Priority.HIGH, type=TaskType.PLANNING)
            hold.set()
            job.result()
            engine.stop(drain=False)
    yield Row("a job of high priority behind 10,000 of low", f"{max(before)} began before it", "0", met=not max(before))


def cores() -> Iterator[Row]:
    """Compute on one core and on two, and on two by bare processes."""
    with _engine(1) as one, _engine(2) as two, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as bare:

        def ours(engine: ProcessingEngine) -> Callable[[], float]:
            return lambda: timed(TASKS, lambda: list(engine.map(spin, [SPIN] * TASKS, cpu_bound=True)))

        result = compare(
            {
                "two processes": ours(two),
                "one": ours(one),
                "ProcessPoolExecutor": lambda: timed(TASKS, lambda: list(bare.map(spin, [SPIN] * TASKS))),
            }
        )
    what = "a CPU-bound reasoning task set"
    yield from versus(what, result, "two processes", ("one", 1.7, "at least"), ("ProcessPoolExecutor", 1.0, "beside"))


@contextmanager
def _engine(processes: int) -> Iterator[ProcessingEngine]:
    with ProcessingEngine(processes=Bounds(processes, processes), cpu_bound={TaskType.REASONING}) as engine:
        yield engine
