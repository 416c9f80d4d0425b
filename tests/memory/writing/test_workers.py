import threading

import pytest

from coterie.concurrency import PROCESS_THREADS
from coterie.memory import MemoryConfig, TieredMemory
from coterie.memory.writing.workers import PriorityWorkers
from coterie.testing import eventually
from coterie.work import Bounds, Machine, ProcessingEngine, Sizing

SMALL = Sizing(Machine(logical=1, physical=1))
LARGE = Sizing(Machine(logical=6, physical=6))


def test_the_sizing_gives_the_number_of_threads_unless_the_configuration_does() -> None:
    release = threading.Event()
    for sizing, wanted, most in ((SMALL, None, 2), (LARGE, None, 12), (SMALL, 3, 3)):
        workers = PriorityWorkers.sized("reading", wanted, sizing)
        started = threading.Barrier(most + 1)

        def work(started: threading.Barrier = started) -> bool:
            started.wait(10)
            return release.wait(10)

        futures = [workers.submit(work) for _ in range(most)]
        more = workers.submit(int)
        started.wait(10)
        assert not more.done()
        release.set()
        assert all(future.result(10) for future in futures)
        assert more.result(10) == 0
        workers.close(10)
        release.clear()


def test_a_memory_takes_the_sizing_of_the_work() -> None:
    with TieredMemory(MemoryConfig(), sizing=SMALL) as memory:
        memory.store("a", 1)
        assert memory.get("a") == 1


def test_threads_of_a_memory_and_of_an_engine_stay_within_one_limit() -> None:
    release = threading.Event()
    with ProcessingEngine(SMALL, name="busy") as engine:
        workers = PriorityWorkers.sized("reading", None, SMALL)
        for _ in range(20):
            engine.submit(release.wait, 30)
        for _ in range(10):
            engine.balance()
        for _ in range(20):
            workers.submit(lambda: release.wait(30))
        # One may always run.
        reading = PROCESS_THREADS.use().parts["reading"]
        assert reading >= 1
        assert engine.metrics().workers["threads"] + reading <= SMALL.limits.max_threads + 1
        release.set()
        workers.close(10)


def test_idle_threads_end_but_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coterie.memory.writing.workers._IDLE_AFTER", 0.01)
    workers = PriorityWorkers("resting", 3)
    started = threading.Barrier(3)
    for future in [workers.submit(lambda: started.wait(10)) for _ in range(3)]:
        future.result(10)
    eventually(lambda: PROCESS_THREADS.use().parts["resting"] == 1)
    assert workers.submit(int).result(10) == 0
    workers.close(10)
    assert "resting" not in PROCESS_THREADS.use().parts


def test_without_a_thread_to_give_the_work_is_done_by_those_there_are() -> None:
    before = PROCESS_THREADS.threads_limit
    PROCESS_THREADS.set_limits(threads=1)
    try:
        with ProcessingEngine(threads=Bounds(1, 1)) as engine:
            engine.submit(int).result(10)
            workers = PriorityWorkers("sharing", 4)
            assert [each.result(10) for each in [workers.submit(int) for _ in range(10)]] == [0] * 10
            assert PROCESS_THREADS.use().parts["sharing"] == 1
            workers.close(10)
    finally:
        PROCESS_THREADS.set_limits(threads=before)
