import threading
from collections.abc import Iterator

import pytest

from coterie.concurrency import ThreadBudget
from coterie.errors import JobTimeout
from coterie.errors.work import ThreadsHeld
from coterie.testing import ManualClock, eventually
from coterie.work import ActionSystem, Bounds, JobState, Machine, ProcessingEngine, Sizing

SMALL = Sizing(Machine(logical=1, physical=1))


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def hold(begun: threading.Event, release: threading.Event) -> None:
    begun.set()
    release.wait(30)


def time_out(engine: ProcessingEngine, clock: ManualClock, release: threading.Event, count: int) -> None:
    for _ in range(count):
        begun = threading.Event()
        job = engine.submit(hold, begun, release, timeout=1.0)
        # A job that times out before its function has begun holds no thread.
        assert begun.wait(10)
        clock.advance(1.0)
        with pytest.raises(JobTimeout):
            job.result(10)


def test_parts_of_one_process_stay_within_the_threads_of_its_sizing(release: threading.Event) -> None:
    parts: list[ProcessingEngine | ActionSystem] = [
        *(ProcessingEngine(SMALL) for _ in range(2)),
        *(ActionSystem(SMALL) for _ in range(2)),
    ]
    for part in parts:
        for _ in range(20):
            part.submit(release.wait, 30)
        part.balance()
    # Each has a thread, so none waits for another.
    eventually(lambda: all(part.metrics().busy for part in parts))
    assert sum(part.metrics().workers["threads"] for part in parts) <= SMALL.limits.max_threads
    release.set()
    for part in parts:
        assert part.stop().drained


def test_idle_threads_of_one_part_serve_another(release: threading.Event) -> None:
    with ProcessingEngine(SMALL, name="idle") as idle, ProcessingEngine(SMALL, name="busy") as busy:
        for job in [idle.submit(int) for _ in range(50)]:
            job.result(10)
        for _ in range(20):
            busy.submit(release.wait, 30)
        idle.balance()
        eventually(lambda: idle.balance() is None and idle.metrics().workers["threads"] <= 1)
        eventually(lambda: busy.balance() is None and busy.metrics().workers["threads"] >= 2)
        release.set()


def test_a_job_that_waits_for_another_gets_a_thread_for_it() -> None:
    with ProcessingEngine(SMALL) as engine:

        def nested(depth: int) -> int:
            return depth if depth == 0 else engine.submit(nested, depth - 1).result(10) + 1

        assert engine.submit(nested, 12).result(20) == 12


def test_beyond_a_number_of_abandoned_threads_jobs_are_refused_with_the_reason(release: threading.Event) -> None:
    clock = ManualClock()
    with ProcessingEngine(SMALL, clock=clock) as engine:
        time_out(engine, clock, release, 5)
        assert engine.metrics().abandoned == 4
        job = engine.submit(int)
        assert job.state is JobState.SHED
        with pytest.raises(ThreadsHeld, match=r"5 of its threads are held by functions .*: hold \(5\)"):
            job.result(10)
        assert engine.metrics().totals.shed == 1
        release.set()
        eventually(lambda: engine.submit(int).exception() is None)
        assert engine.submit(int).result(10) == 0


def test_a_stop_does_not_wait_for_threads_that_are_held(release: threading.Event) -> None:
    clock = ManualClock()
    engine = ProcessingEngine(SMALL, clock=clock)
    time_out(engine, clock, release, 5)
    assert engine.stop(timeout=0.5).stuck == ()


def test_abandoned_threads_are_bounded_under_given_bounds_too(release: threading.Event) -> None:
    clock = ManualClock()
    with ProcessingEngine(SMALL, threads=Bounds(1, 2), clock=clock) as engine:
        time_out(engine, clock, release, 5)
        assert engine.metrics().abandoned == 4
        with pytest.raises(ThreadsHeld, match=r"5 of its threads are held"):
            engine.submit(int).result(10)
        release.set()
        eventually(lambda: engine.submit(int).exception() is None)


def test_the_process_bounds_the_abandoned_threads_of_all_parts(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests may have left some in the budget of the process.
    monkeypatch.setattr("coterie.work.pool.pool.PROCESS_THREADS", ThreadBudget(abandoned=1))
    clock = ManualClock()
    with ProcessingEngine(SMALL, clock=clock) as one, ProcessingEngine(SMALL, clock=clock, name="other") as other:
        time_out(one, clock, release, 1)
        time_out(other, clock, release, 1)
        assert (one.metrics().abandoned, other.metrics().abandoned) == (1, 0)
        with pytest.raises(ThreadsHeld, match=r"other refused .*1 of its threads .*; other parts .* lost 1 more"):
            other.submit(int).result(10)
        release.set()
        eventually(lambda: other.submit(int).exception() is None)
