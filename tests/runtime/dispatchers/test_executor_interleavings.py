"""Seats under every interleaving of who wakes them and who runs them that chance can find."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from coterie.concurrency import Rank, Timers, new_lock
from coterie.runtime.dispatchers import DispatcherResources
from coterie.runtime.dispatchers.dedicated import DedicatedExecutor, DedicatedScheduler
from coterie.runtime.dispatchers.leased import Leased, LeasedExecutor, LeasedScheduler
from coterie.runtime.dispatchers.workers import Lease, LeaseWorker, WorkerPool
from coterie.testing import Interleaver, ManualClock
from tests.runs import runs

pytestmark = pytest.mark.stress


class Schedulable:
    """Does work that others leave for it, and notices if it is run twice at once."""

    name = "schedulable"

    def __init__(self) -> None:
        self.work: deque[int] = deque()
        self.done: list[int] = []
        self.inside = 0
        self.turns = 0

    def turn(self, quantum: int) -> bool:
        self.inside += 1
        assert self.inside == 1
        self.turns += 1
        for _ in range(quantum):
            if not self.work:
                break
            self.done.append(self.work.popleft())
        self.inside -= 1
        return bool(self.work)


class Queue:
    """Stands for the worker pool: keeps what is submitted until a body runs it."""

    def __init__(self, others_wait: bool) -> None:
        self.queue: deque[Lease] = deque()
        self.others_wait = others_wait

    def submit(self, lease: Lease) -> None:
        self.queue.append(lease)

    enqueue = submit

    def run_all(self) -> None:
        while self.queue:
            self.queue.popleft().run(LeaseWorker())


def scheduler(others_wait: bool, quantum: int) -> tuple[LeasedScheduler, Queue]:
    clock = ManualClock()
    resources = DispatcherResources("test", clock, Timers(clock), ThreadPoolExecutor(1))
    made = LeasedScheduler(Leased(quantum=quantum), resources)
    queue = Queue(others_wait)
    made.pool = queue  # type: ignore[assignment] # stands for it
    return made, queue


@pytest.mark.parametrize("others_wait", [False, True])
@pytest.mark.parametrize("quantum", [1, 10])
@pytest.mark.parametrize("opcodes", [False, True], ids=["lines", "opcodes"])
def test_a_leased_seat_runs_after_every_wake_and_never_twice_at_once(others_wait: bool, quantum: int, opcodes: bool) -> None:
    threads = Interleaver(
        [LeasedExecutor.wake, LeasedExecutor.run, LeasedExecutor._try_to_rest, Schedulable.turn], opcodes=opcodes
    )
    for seed in runs(10 if opcodes else 40):
        with threads.locks():
            made, queue = scheduler(others_wait, quantum)
            schedulable = Schedulable()
            executor = made.executor(schedulable)

        def leave(*numbers: int, schedulable: Schedulable = schedulable, executor: LeasedExecutor = executor) -> None:
            for n in numbers:
                schedulable.work.append(n)
                executor.wake()

        threads.run(
            [lambda: leave(1, 2), lambda: leave(11, 12), queue.run_all, queue.run_all],
            Random(seed),
        )
        queue.run_all()
        assert sorted(schedulable.done) == [1, 2, 11, 12]
        assert executor.thread_id is None
        assert not executor.busy


def test_a_leased_seat_that_is_closed_runs_no_more() -> None:
    made, queue = scheduler(others_wait=False, quantum=10)
    schedulable = Schedulable()
    executor = made.executor(schedulable)
    executor.wake()
    queue.run_all()
    executor.close()
    executor.wake()
    assert not queue.queue
    assert schedulable.turns == 1


def test_a_dedicated_seat_runs_after_every_wake() -> None:
    threads = Interleaver([DedicatedExecutor.wake, DedicatedExecutor._rest, DedicatedExecutor._run, Schedulable.turn])
    for seed in runs(40):
        with threads.locks():
            clock = ManualClock()
            made = DedicatedScheduler(DispatcherResources("test", clock, Timers(clock), ThreadPoolExecutor(1)))
            schedulable = Schedulable()
            executor = made.executor(schedulable)
        bell = FakeBell(threads)
        executor._bell = bell  # type: ignore[assignment] # so that the interleaver sees who waits
        executor._state = type(executor._state).RUNNING  # as after the first wake, which starts the thread

        def leave(*numbers: int, schedulable: Schedulable = schedulable, executor: DedicatedExecutor = executor) -> None:
            for n in numbers:
                schedulable.work.append(n)
                executor.wake()

        def live(schedulable: Schedulable = schedulable, executor: DedicatedExecutor = executor) -> None:
            while len(schedulable.done) < 4:
                if not schedulable.turn(1_000) and len(schedulable.done) < 4:
                    executor._rest()

        threads.run([lambda: leave(1, 2), lambda: leave(11, 12), live], Random(seed))
        assert sorted(schedulable.done) == [1, 2, 11, 12]


class FakeBell:
    """An event made of a lock that the interleaver sees."""

    def __init__(self, threads: Interleaver) -> None:
        with threads.locks():
            self.lock = new_lock(Rank.RECORDS)
        self.lock.acquire()

    def set(self) -> None:
        if self.lock.locked():  # type: ignore[attr-defined] # the lock of an interleaver has it
            self.lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        return self.lock.acquire()


def test_the_slot_of_a_worker_is_run_once_by_any_thread() -> None:
    threads = Interleaver([WorkerPool._take, WorkerPool._look, WorkerPool.release_slot, WorkerPool.enqueue, WorkerPool._next])
    for seed in runs(60):
        with threads.locks():
            pool = WorkerPool("test", least=2, most=2, idle_after=60.0)
        pool._rouse = lambda worker: True  # type: ignore[method-assign] # no real threads here
        worker, other = LeaseWorker(), LeaseWorker()
        pool._workers = {worker: None, other: None}
        leases = [_Lease(n) for n in range(3)]
        worker.slot.append(leases[0])
        worker.holds = leases[1]
        worker.serial = worker.seen = 5
        taken: list[Lease | None] = []

        def take(worker: LeaseWorker, pool: WorkerPool = pool, taken: list[Lease | None] = taken) -> None:
            taken.append(pool._take(worker))

        threads.run(
            [lambda: take(worker), lambda: pool._look(0.0), lambda: take(other), lambda: pool.enqueue(leases[2])],
            Random(seed),
        )
        left = [*pool._ready, *worker.slot]
        assert sorted(lease.n for lease in [*taken, *left] if isinstance(lease, _Lease)) == [0, 2]


class _Lease:
    def __init__(self, n: int) -> None:
        self.n = n

    def run(self, worker: LeaseWorker) -> None: ...


def test_waking_an_executor_that_has_ended_meanwhile_does_nothing() -> None:
    clock = ManualClock()
    executor = DedicatedExecutor(
        DedicatedScheduler(DispatcherResources("test", clock, Timers(clock), ThreadPoolExecutor(1))), Schedulable()
    )
    loop = executor.loop()
    # The one who wakes has seen it rest, and comes to its loop only now.
    executor._state = type(executor._state).RESTING
    loop.close()
    executor.wake()
