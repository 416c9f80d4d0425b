import threading

import pytest

from coterie.concurrency import start_thread
from coterie.kernel import SystemClock
from coterie.runtime.dispatchers import computing, workers
from coterie.runtime.dispatchers.computing import idle_times
from coterie.runtime.dispatchers.workers import LeaseWorker, WorkerPool
from coterie.testing import eventually


class Lease:
    def run(self, worker: LeaseWorker) -> None: ...


def test_a_thread_that_computes_is_told_from_one_that_is_blocked() -> None:
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1000))

    threads = [start_thread(compute, "computes"), start_thread(over.wait, "blocked")]
    try:
        active, blocked = LeaseWorker(), LeaseWorker()
        for worker, thread in zip((active, blocked), threads, strict=True):
            worker.holds, worker.ident = Lease(), thread.ident or 0
        idle_times([active, blocked])
        eventually(lambda: idle_times([blocked])[0] > 0.2)
        assert idle_times([active])[0] < 0.2
        active.holds = None
        assert len(idle_times([active, blocked])) == 1
    finally:
        over.set()


@pytest.mark.parametrize(("idle", "added"), [([0.0] * 16, 0), ([0.0] * 15 + [5.0], 1)])
def test_threads_are_not_added_without_bound_for_agents_that_compute(
    monkeypatch: pytest.MonkeyPatch, idle: list[float], added: int
) -> None:
    monkeypatch.setattr(workers, "idle_times", lambda _: idle)
    pool = WorkerPool("test", least=2, most=500, idle_after=60.0)
    pool._ready.extend(Lease() for _ in range(100))
    assert [pool._wanted(1.0, moved=False) for _ in range(2)] == [0, added]


@pytest.mark.parametrize(("is_crowded", "waits", "added"), [(True, 9.0, 0), (True, 0.0, 100), (False, 9.0, 100)])
def test_a_process_that_gets_few_processors_adds_no_threads(
    monkeypatch: pytest.MonkeyPatch, *, is_crowded: bool, waits: float, added: int
) -> None:
    monkeypatch.setattr(computing, "crowded", lambda: is_crowded)
    monkeypatch.setattr(computing, "processor_waits", lambda _: waits)
    pool = WorkerPool("test", least=2, most=500, idle_after=60.0)
    pool._ready.extend(Lease() for _ in range(100))
    pool._starvation._at = SystemClock.monotonic() - 1.0
    pool._prompt_looks = 2
    assert pool._wanted(0.1, moved=True) == added
