import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coterie.concurrency import start_thread
from coterie.runtime.dispatchers import computing, sizing
from coterie.runtime.dispatchers.computing import Starvation, ThreadUsage, crowded, idle_times, usage_of
from coterie.runtime.dispatchers.sizing import PoolSize
from coterie.runtime.dispatchers.workers import LeaseWorker
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
            worker.holds, worker.native = Lease(), thread.native_id or 0
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
    monkeypatch.setattr(sizing, "idle_times", lambda _: idle)
    size = PoolSize()
    assert [size.wanted(100, [LeaseWorker()], 1.0, moved=False) for _ in range(2)] == [0, added]


BLOCKED = ThreadUsage(waited=0.0, computed=1.0, runnable=False)


@pytest.mark.parametrize(
    ("crowded", "usage", "then", "added"),
    [
        (True, BLOCKED, BLOCKED, [0, 100]),  # the first look of several has nothing to compare with
        (False, BLOCKED, BLOCKED, [100, 100]),
        (True, BLOCKED, ThreadUsage(9.0, 1.0, runnable=False), [0, 0]),  # it waited for a processor, and blocks now
        (True, BLOCKED, ThreadUsage(0.0, 1.0, runnable=True), [0, 0]),  # it waits for one at this moment
        (True, BLOCKED, ThreadUsage(0.0, 1.1, runnable=True), [0, 100]),  # it computes without the interpreter
        (False, BLOCKED, ThreadUsage(9.0, 1.0, runnable=True), [100, 100]),
        (True, None, None, [0, 100]),  # the system does not tell
    ],
)
def test_a_process_that_gets_few_processors_adds_no_threads(
    monkeypatch: pytest.MonkeyPatch, *, crowded: bool, usage: ThreadUsage | None, then: ThreadUsage | None, added: list[int]
) -> None:
    usages = iter([usage, then])
    monkeypatch.setattr(computing, "crowded", lambda: crowded)
    monkeypatch.setattr(computing, "usage_of", lambda _: next(usages))
    size = PoolSize()
    size.woke(0.0)
    size.woke(0.0)
    assert [size.wanted(100, [LeaseWorker()], 0.001, moved=True) for _ in range(2)] == added


@pytest.mark.parametrize(
    ("busy", "workers", "added"), [(0.0, 2, 256), (0.05, 2, 38), (0.5, 2, 2), (0.7, 2, 1), (0.7, 20, 9), (0.9, 20, 0)]
)
def test_as_many_threads_are_added_as_the_processor_has_time_for(
    monkeypatch: pytest.MonkeyPatch, busy: float, workers: int, added: int
) -> None:
    monkeypatch.setattr(computing, "crowded", lambda: False)
    size = PoolSize()
    size._processors = 1
    size.woke(0.0)
    assert size.wanted(1_000, [LeaseWorker()] * workers, busy, moved=True) == 0
    size.woke(0.0)
    assert size.wanted(1_000, [LeaseWorker()] * workers, busy, moved=True) == added
    size.woke(0.001)
    assert size.wanted(1_000, [LeaseWorker()] * workers, busy, moved=True) == 0


def test_a_measurement_of_long_ago_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "crowded", lambda: True)
    monkeypatch.setattr(computing, "usage_of", lambda _: BLOCKED)
    starvation = Starvation()
    assert [starvation.found([1]) for _ in range(2)] == [True, False]
    starvation._at -= 60.0
    assert starvation.found([1])


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system does not tell of threads")
def test_the_system_tells_what_a_thread_does() -> None:
    over = threading.Event()
    thread = start_thread(over.wait, "blocked")
    try:
        eventually(lambda: (usage := usage_of(thread.native_id or 0)) is not None and not usage.runnable)
    finally:
        over.set()
    mine = usage_of(threading.get_native_id())
    assert mine is not None
    assert mine.runnable
    assert mine.computed > 0
    assert usage_of(0) is None


def test_threads_that_want_to_run_make_a_machine_crowded_at_once() -> None:
    code = "while True: pass"
    burners = [subprocess.Popen([sys.executable, "-c", code]) for _ in range((os.cpu_count() or 1) + 1)]  # noqa: S603 - our own
    try:
        eventually(crowded)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
