import asyncio
import logging
import threading
import time
from typing import Any

import pytest

from coterie.errors import (
    InvalidSetting,
    JobCancelled,
    JobExited,
    JobShed,
    JobTimeout,
    JobWaitCycle,
    QueueFull,
    WaitTimeout,
    WorkStopped,
)
from coterie.testing import ManualClock, Together, eventually, run_together
from coterie.work import (
    Bounds,
    Job,
    JobState,
    Machine,
    Priority,
    ProcessingEngine,
    QueueLimits,
    Retention,
    Retry,
    Sizing,
    TaskType,
    current_job,
)

ONE = Bounds(1, 1)


class Gate:
    """Holds the workers of an engine until it is opened."""

    def __init__(self, engine: ProcessingEngine, workers: int = 1) -> None:
        self._open = threading.Event()
        entered = threading.Semaphore(0)

        def hold() -> None:
            entered.release()
            self._open.wait(30)

        self.jobs = [engine.submit(hold) for _ in range(workers)]
        for _ in range(workers):
            assert entered.acquire(timeout=10)

    def open(self) -> None:
        self._open.set()


def test_a_job_returns_the_value_of_its_function() -> None:
    with ProcessingEngine() as engine:
        job = engine.submit(divmod, 7, 2)
        assert job.result(10) == (3, 1)
        assert (job.state, job.done, job.exception(), job.attempts) == (JobState.SUCCEEDED, True, None, 1)
        assert engine.submit(int, "ff", keywords={"base": 16}).result(10) == 255


def test_a_job_raises_the_error_of_its_function() -> None:
    with ProcessingEngine() as engine, pytest.raises(ZeroDivisionError):
        engine.submit(divmod, 1, 0).result(10)


def test_an_exception_that_would_end_a_worker_fails_only_the_job() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with ProcessingEngine(threads=ONE) as engine:
        job = engine.submit(leave)
        with pytest.raises(JobExited):
            job.result(10)
        assert engine.submit(int).result(10) == 0


@pytest.mark.parametrize("priority", list(Priority))
def test_more_urgent_jobs_run_first_and_equals_in_order(priority: Priority) -> None:
    done: list[tuple[Priority, int]] = []
    with ProcessingEngine(threads=ONE) as engine:
        gate = Gate(engine)
        for number in range(3):
            for each in (Priority.LOW, priority, Priority.CRITICAL):
                engine.submit(done.append, (each, number), priority=each)
        gate.open()
    order = list(Priority)
    assert done == sorted(done, key=lambda entry: (order.index(entry[0]), entry[1]))


def test_low_priority_jobs_never_starve() -> None:
    clock = ManualClock()
    done: list[str] = []
    with ProcessingEngine(threads=ONE, clock=clock, queue=QueueLimits(age_after=1.0)) as engine:
        gate = Gate(engine)
        engine.submit(done.append, "low", priority=Priority.LOW)
        clock.advance(3.5)
        for _ in range(50):
            engine.submit(done.append, "critical", priority=Priority.CRITICAL)
        gate.open()
    assert done.index("low") == 0


def test_aged_jobs_do_not_block_a_more_urgent_one() -> None:
    clock = ManualClock()
    done: list[str] = []
    with ProcessingEngine(threads=ONE, clock=clock, queue=QueueLimits(age_after=1.0)) as engine:
        gate = Gate(engine)
        for _ in range(100):
            engine.submit(done.append, "low", priority=Priority.LOW)
        clock.advance(10.0)
        engine.submit(done.append, "high", priority=Priority.HIGH)
        gate.open()
    assert done.index("high") <= 1


def test_without_ageing_low_waits_for_all_others() -> None:
    clock = ManualClock()
    done: list[str] = []
    with ProcessingEngine(threads=ONE, clock=clock, queue=QueueLimits(age_after=None)) as engine:
        gate = Gate(engine)
        engine.submit(done.append, "low", priority=Priority.LOW)
        clock.advance(1000.0)
        engine.submit(done.append, "normal")
        gate.open()
    assert done == ["normal", "low"]


def test_idle_workers_help_other_queues() -> None:
    with ProcessingEngine(threads=Bounds(4, 4)) as engine:
        together = threading.Barrier(4)
        jobs = [engine.submit(together.wait, 10, type=TaskType.LEARNING) for _ in range(4)]
        assert sorted(job.result(10) for job in jobs) == [0, 1, 2, 3]
        assert engine.metrics().lanes["learning"].succeeded == 4


def test_workers_move_to_the_queues_that_have_the_load() -> None:
    with ProcessingEngine(threads=Bounds(4, 4), balance_every=1e6) as engine:
        gate = Gate(engine, 4)
        for _ in range(100):
            engine.submit(int, type=TaskType.OPTIMISATION)
        engine.balance()
        homes = [worker.home for worker in engine._threads.workers.members]
        gate.open()
    assert homes == [0, 1, 2, 3]
    with ProcessingEngine(threads=Bounds(8, 8), balance_every=1e6) as engine:
        gate = Gate(engine, 8)
        for _ in range(100):
            engine.submit(int, type=TaskType.OPTIMISATION)
        engine.balance()
        homes = [worker.home for worker in engine._threads.workers.members]
        gate.open()
    assert homes.count(3) == 5


def test_workers_grow_with_the_load_and_shrink_without() -> None:
    clock = ManualClock()
    with ProcessingEngine(threads=Bounds(1, 5), clock=clock, balance_every=1.0) as engine:
        gate = Gate(engine)
        jobs = [engine.submit(int) for _ in range(20)]
        hold = threading.Event()
        jobs += [engine.submit(hold.wait, 30) for _ in range(20)]
        clock.advance(1.0)
        assert engine.metrics().workers["threads"] == 5
        gate.open()
        hold.set()
        for job in jobs:
            job.result(10)
        eventually(lambda: len(engine._threads.workers.idle) == 5)
        clock.advance(10.0)
        eventually(lambda: engine.metrics().workers["threads"] == 1)
        events = engine.metrics().scaling
    assert (events[0].before, events[0].after, events[-1].after) == (1, 5, 1)


def test_a_retry_waits_on_the_clock_and_holds_no_worker() -> None:
    clock = ManualClock()
    tries: list[float] = []

    def flaky() -> str:
        tries.append(clock.monotonic())
        if len(tries) < 4:
            raise OSError(len(tries))
        return "at last"

    with ProcessingEngine(threads=ONE, clock=clock) as engine:
        job = engine.submit(flaky, retry=Retry(3, initial=1.0, factor=2.0, jitter=0.0))
        for delay in (1.0, 2.0, 4.0):
            eventually(lambda: job.state is JobState.WAITING)
            assert engine.submit(int).result(10) == 0
            clock.advance(delay)
            eventually(lambda: job.state is not JobState.QUEUED)
        assert job.result(10) == "at last"
        assert tries == [0.0, 1.0, 3.0, 7.0]
        assert [attempt.error for attempt in job.history] == ["OSError: 1", "OSError: 2", "OSError: 3"]
        assert engine.metrics().lanes["reasoning"].retries == 3


def test_only_selected_errors_are_retried() -> None:
    with ProcessingEngine() as engine:
        job = engine.submit(divmod, 1, 0, retry=Retry(3, on=OSError))
        with pytest.raises(ZeroDivisionError):
            job.result(10)
        assert job.attempts == 1


def test_a_future_of_a_retried_job_resolves_once_at_the_end() -> None:
    ended: list[JobState] = []
    with ProcessingEngine() as engine:
        job = engine.submit(divmod, 1, 0, retry=Retry(5, initial=0.0), callback=lambda job: ended.append(job.state))
        assert job.wait(10)
        assert (job.attempts, ended) == (6, [JobState.FAILED])


def test_a_timeout_on_a_thread_ends_the_job_and_reports_that_the_thread_goes_on() -> None:
    clock = ManualClock()
    hold = threading.Event()
    with ProcessingEngine(threads=ONE, clock=clock) as engine:
        job = engine.submit(hold.wait, 30, timeout=2.0, retry=Retry(3))
        eventually(lambda: job.state is JobState.RUNNING)
        eventually(lambda: job.timer is not None)
        clock.advance(2.0)
        with pytest.raises(JobTimeout, match="thread cannot be ended") as caught:
            job.result(10)
        assert not caught.value.ended
        assert job.state is JobState.TIMED_OUT
        assert engine.submit(int).result(10) == 0  # another worker has taken the place
        assert engine.metrics().abandoned == 1
        hold.set()
        eventually(lambda: engine.metrics().abandoned == 0)
        assert engine.metrics().late == 1


def test_a_deadline_ends_a_job_that_still_waits() -> None:
    clock = ManualClock()
    with ProcessingEngine(threads=ONE, clock=clock) as engine:
        gate = Gate(engine)
        job = engine.submit(int, deadline=3.0)
        clock.advance(3.0)
        with pytest.raises(JobTimeout):
            job.result(10)
        gate.open()
    assert job.attempts == 0


def test_a_queued_job_can_be_cancelled() -> None:
    with ProcessingEngine(threads=ONE) as engine:
        gate = Gate(engine)
        job = engine.submit(int)
        assert job.cancel()
        assert job.cancel()
        with pytest.raises(JobCancelled):
            job.result(10)
        gate.open()
        assert job.attempts == 0


def test_a_job_on_a_thread_sees_the_cancel_request_and_can_end_as_cancelled() -> None:
    started = threading.Event()

    def patient() -> None:
        job = current_job()
        assert job is not None
        started.set()
        eventually(lambda: job.cancel_requested)
        raise JobCancelled(job)

    with ProcessingEngine() as engine:
        job = engine.submit(patient)
        assert started.wait(10)
        assert not job.cancel()
        assert job.wait(10)
        assert job.state is JobState.CANCELLED
    assert current_job() is None


@pytest.mark.parametrize("policy", ["reject", "wait"])
def test_a_full_queue_refuses(policy: str) -> None:
    limits = QueueLimits(capacity=2, overflow=policy, patience=0.01)  # type: ignore[arg-type] # by its name
    with ProcessingEngine(threads=ONE, queue=limits) as engine:
        gate = Gate(engine)
        jobs = [engine.submit(int) for _ in range(2)]
        with pytest.raises(QueueFull, match="reasoning holds 2 already"):
            engine.submit(int)
        other = engine.submit(int, type=TaskType.PLANNING)
        assert engine.metrics().lanes["reasoning"].refused == 1
        gate.open()
        assert [job.result(10) for job in (*jobs, other)] == [0, 0, 0]


def test_a_submitter_waits_for_space() -> None:
    with ProcessingEngine(threads=ONE, queue=QueueLimits(capacity=1, patience=None)) as engine:
        gate = Gate(engine)
        engine.submit(int)
        jobs: list[Job[int]] = []
        waiting = Together(lambda: jobs.append(engine.submit(int, "7")))
        eventually(lambda: engine._threads.table.space_signals)
        gate.open()
        waiting.join(10)
        assert jobs[0].result(10) == 7


def test_on_an_event_loop_a_job_waits_for_space_without_blocking() -> None:
    async def main() -> None:
        with ProcessingEngine(threads=ONE, queue=QueueLimits(capacity=1, patience=0.05)) as engine:
            gate = Gate(engine)
            engine.submit(int)
            late, lucky = engine.submit(int), engine.submit(int, "7")
            with pytest.raises(QueueFull):
                await late
            assert late.state is JobState.SHED
            assert lucky.wait(10)
            gate.open()

    asyncio.run(main())


def test_the_least_urgent_job_is_shed() -> None:
    with ProcessingEngine(threads=ONE, queue=QueueLimits(capacity=2, overflow="shed")) as engine:
        gate = Gate(engine)
        low, normal = engine.submit(int, priority="low"), engine.submit(int)
        high = engine.submit(int, priority="high")
        lower = engine.submit(int, priority="low")
        gate.open()
        for shed in (low, lower):
            with pytest.raises(JobShed):
                shed.result(10)
        assert (normal.result(10), high.result(10)) == (0, 0)
        assert engine.metrics().totals.shed == 2


def test_a_job_that_submits_to_its_own_full_pool_is_refused_and_named() -> None:
    with ProcessingEngine(threads=ONE, queue=QueueLimits(capacity=1, patience=None)) as engine:

        def greedy() -> None:
            for _ in range(5):
                engine.submit(int)

        with pytest.raises(QueueFull, match="greedy"):
            engine.submit(greedy).result(10)


def test_a_job_may_wait_for_other_jobs_of_its_pool() -> None:
    with ProcessingEngine(threads=ONE) as engine:

        def nested(depth: int) -> int:
            return 0 if depth == 0 else 1 + engine.submit(nested, depth - 1).result(10)

        assert engine.submit(nested, 20).result(20) == 20
        engine.balance()


def test_a_cycle_of_waiting_jobs_is_detected() -> None:
    jobs: list[Job[object]] = []
    ready = threading.Event()
    with ProcessingEngine(threads=Bounds(2, 2)) as engine:

        def wait_for(number: int) -> object:
            ready.wait(10)
            return jobs[number].result(10)

        jobs += [engine.submit(wait_for, 1), engine.submit(wait_for, 0)]
        ready.set()
        errors = []
        for job in jobs:
            with pytest.raises(JobWaitCycle) as caught:
                job.result(10)
            errors.append(caught.value)
        assert "wait_for" in str(errors[0])


def test_a_job_can_be_awaited_on_any_loop() -> None:
    with ProcessingEngine() as engine:

        async def main() -> list[int]:
            return list(await asyncio.gather(*(_await(engine.submit(int, str(n))) for n in range(20))))

        async def _await(job: Job[int]) -> int:
            return await job

        results: list[list[int]] = []
        run_together(*[lambda: results.append(asyncio.run(main()))] * 3)
        assert results == [list(range(20))] * 3


def test_cancelling_an_await_stops_only_the_waiting() -> None:
    with ProcessingEngine(threads=ONE) as engine:
        gate = Gate(engine)
        job = engine.submit(int)

        async def main() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await job

        asyncio.run(main())
        gate.open()
        assert job.result(10) == 0


def test_a_wait_timeout_does_not_end_the_job() -> None:
    with ProcessingEngine(threads=ONE) as engine:
        gate = Gate(engine)
        job = engine.submit(int)
        with pytest.raises(WaitTimeout):
            job.result(0.01)
        gate.open()
        assert job.result(10) == 0


def test_a_callback_that_raises_is_reported_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []
    with caplog.at_level(logging.ERROR), ProcessingEngine() as engine:
        job = engine.submit(int, callback=lambda _: 1 / 0)
        job.on_done(lambda job: heard.append(job.result()))
        assert job.result(10) == 0
        eventually(lambda: heard == [0])
        eventually(lambda: engine.metrics().callback_errors == 1)
    assert "a callback of <Job processing-1 int: succeeded> raised" in caplog.text


def test_ended_jobs_are_retained_by_count_and_age() -> None:
    clock = ManualClock()
    with ProcessingEngine(clock=clock, keep=Retention(count=2, seconds=10.0)) as engine:
        jobs = [engine.submit(int) for _ in range(1)]
        for _ in range(2):
            jobs[-1].result(10)
            jobs.append(engine.submit(int))
        jobs[-1].result(10)
        assert [engine.job(job.id) for job in jobs] == [None, jobs[1], jobs[2]]
        clock.advance(10.0)
        assert [engine.job(job.id) for job in jobs] == [None, None, None]
        assert engine.job("nonsense") is None


def test_a_stop_drains() -> None:
    engine = ProcessingEngine(threads=ONE)
    jobs = [engine.submit(time.sleep, 0.001) for _ in range(50)]
    assert engine.stop().drained
    assert all(job.state is JobState.SUCCEEDED for job in jobs)
    with pytest.raises(WorkStopped):
        engine.submit(int)
    assert engine.stop().stuck == ()


def test_a_stop_without_drain_cancels_waiting_jobs() -> None:
    engine = ProcessingEngine(threads=ONE)
    gate = Gate(engine)
    jobs = [engine.submit(int) for _ in range(50)]
    jobs[0].on_done(lambda _: gate.open())
    report = engine.stop(drain=False)
    assert report.stuck == ()
    assert all(job.state is JobState.CANCELLED for job in jobs)
    assert gate.jobs[0].state is JobState.SUCCEEDED


def test_a_stop_names_stuck_jobs_and_returns() -> None:
    engine = ProcessingEngine(threads=ONE)
    gate = Gate(engine)
    report = engine.stop(drain=True, timeout=0.05)
    assert not report.drained
    assert (report.stuck[0].name, "hold" in report.stuck[0].stack) == ("Gate.__init__.<locals>.hold", True)
    with pytest.raises(JobCancelled):
        gate.jobs[0].result(10)
    gate.open()


def test_a_job_cannot_stop_its_own_engine() -> None:
    with ProcessingEngine() as engine, pytest.raises(JobWaitCycle):
        engine.submit(engine.stop).result(10)


def test_a_snapshot_takes_no_lock() -> None:
    with ProcessingEngine(threads=ONE, balance_every=1e6) as engine:
        gate = Gate(engine)
        engine.submit(int)
        with engine._threads.table.lock:
            metrics = engine.metrics()
        assert (metrics.totals.queued, metrics.totals.running, metrics.utilisation) == (1, 1, 1.0)
        gate.open()


def test_the_wait_of_the_oldest_job_is_shown() -> None:
    clock = ManualClock()
    with ProcessingEngine(threads=ONE, clock=clock) as engine:
        gate = Gate(engine)
        engine.submit(int, type="planning")
        clock.advance(3.0)
        engine.submit(int, type="planning")
        assert engine.metrics().lanes["planning"].oldest_wait == 3.0
        gate.open()


async def _coroutine() -> None: ...


@pytest.mark.parametrize(
    ("submit", "word"),
    [
        (lambda engine: engine.submit(3), "function"),
        (lambda engine: engine.submit(_coroutine), "synchronous"),
        (lambda engine: engine.submit(int, type="dreaming"), "type"),
        (lambda engine: engine.submit(int, priority="urgent"), "priority"),
        (lambda engine: engine.submit(int, timeout=0), "timeout"),
        (lambda engine: engine.submit(int, deadline=float("nan")), "deadline"),
        (lambda engine: engine.submit(int, retry=3), "retry"),
        (lambda engine: engine.submit(int, keywords=[1]), "keywords"),
        (lambda engine: engine.map(int, [], chunk=0), "chunk"),
        (lambda _: Retry(-1), "retries"),
        (lambda _: Retry(jitter=2), "jitter"),
        (lambda _: Retry(on=3), "on"),  # type: ignore[arg-type]
        (lambda _: Bounds(2, 1), "most"),
        (lambda _: QueueLimits(capacity=0), "capacity"),
        (lambda _: QueueLimits(overflow="explode"), "overflow"),  # type: ignore[arg-type]
        (lambda _: Retention(count=-1), "count"),
        (lambda _: ProcessingEngine(cpu_bound="planning"), "cpu_bound"),
        (lambda _: ProcessingEngine(cpu_bound=["cooking"]), "cpu_bound"),
        (lambda _: ProcessingEngine(sizing=4), "sizing"),  # type: ignore[arg-type]
        (lambda _: ProcessingEngine(name=""), "name"),
        (lambda _: ProcessingEngine(threads=4), "bounds"),  # type: ignore[arg-type]
    ],
)
def test_invalid_settings_are_rejected(submit: object, word: str) -> None:
    with ProcessingEngine() as engine, pytest.raises(InvalidSetting, match=word):
        submit(engine)  # type: ignore[operator]


def test_a_map_returns_in_order_and_raises_in_its_place() -> None:
    with ProcessingEngine() as engine:
        assert list(engine.map(abs, range(-10, 0), chunk=3)) == list(range(10, 0, -1))
        assert list(engine.map(abs, [])) == []
        results = engine.map(lambda n: 10 // n, [5, 2, 0, 1], chunk=2)
        assert (next(results), next(results)) == (2, 5)
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_the_bounds_follow_the_measurements_down_and_up() -> None:
    with ProcessingEngine(Sizing(Machine(logical=8, physical=8)), clock=ManualClock()) as engine:
        begun = threading.Barrier(31)
        for _ in range(400):
            engine.ratio.observe(1.0, 1.0)
        engine.balance()
        for _ in range(400):
            engine.ratio.observe(100.0, 1.0)
        engine.balance()
        # By the sizing, one for each would be started at once; what was measured in between must not keep that down.
        for job in [engine.submit(begun.wait, 10) for _ in range(30)]:
            assert not job.done
        begun.wait(10)


def test_done_is_a_truth_value_and_answers_a_call_too() -> None:
    gate = threading.Event()
    with ProcessingEngine() as engine:
        job = engine.submit(gate.wait, 10)
        # As of the futures of the standard library.
        before: Any = job.done
        assert (bool(before), before(), repr(before)) == (False, False, "False")
        gate.set()
        job.result(10)
        after: Any = job.done
        assert (bool(after), after(), repr(after)) == (True, True, "True")
