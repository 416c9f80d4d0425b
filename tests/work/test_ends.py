"""What is kept, logged and counted of jobs that have ended."""

import asyncio
import concurrent.futures
import contextvars
import gc
import logging
import threading
import weakref
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from coterie.errors import InvalidSetting, JobWaitCycle, WaitTimeout
from coterie.testing import ManualClock, eventually
from coterie.work import (
    ActionSystem,
    Bounds,
    Job,
    JobState,
    ProcessingEngine,
    Retention,
    Retry,
    as_completed,
    wait,
)
from coterie.work.actions import DeadAction
from coterie.work.jobs.sizes import size_of

TENANT = contextvars.ContextVar("tenant", default="none")


class Payload:
    """Something whose end can be seen."""


def fail(*_: object) -> None:
    payload = Payload()
    raise OSError(f"no {type(payload).__name__} today")


# Retry rules.


class TooMany(Exception):
    retry_after = 7.0


def test_the_default_jitter_is_full() -> None:
    policy, random = Retry(3, initial=8.0), Random(1)
    delays = [policy.delay(1, OSError(), random) or 0.0 for _ in range(200)]
    assert 0.0 < min(delays) < 1.0
    assert 7.0 < max(delays) <= 8.0


@pytest.mark.parametrize("asked", [7.0, 7, timedelta(seconds=7)])
def test_an_error_names_its_own_delay(asked: Any) -> None:
    error = TooMany()
    error.retry_after = asked
    assert 7.0 <= (Retry(3, initial=0.1).delay(1, error, Random(1)) or 0.0) <= 7.1
    assert Retry(3, initial=0.1, jitter=0.0).delay(1, error, Random(1)) == 7.0
    assert Retry(3, jitter=0.0, after=lambda _: 2.5).delay(1, error, Random(1)) == 2.5


@pytest.mark.parametrize("asked", ["soon", None, float("nan"), float("inf"), True])
def test_an_attribute_that_is_not_a_delay_changes_nothing(asked: Any) -> None:
    error = TooMany()
    error.retry_after = asked
    assert Retry(3, initial=0.5, jitter=0.0).delay(1, error, Random(1)) == 0.5


def test_a_predicate_decides_and_a_predicate_that_raises_is_final(caplog: pytest.LogCaptureFixture) -> None:
    policy = Retry(3, initial=1.0, jitter=0.0, on=OSError, when=lambda error: "again" in str(error))
    assert policy.delay(1, OSError("try again"), Random(1)) == 1.0
    assert policy.delay(1, OSError("no"), Random(1)) is None
    assert policy.delay(1, ValueError("try again"), Random(1)) is None
    assert Retry(3, when=lambda _: 1 / 0).delay(1, OSError(), Random(1)) is None
    assert "a rule of" in caplog.text
    with pytest.raises(InvalidSetting, match=r"Retry\.when"):
        Retry(when=5)  # type: ignore[arg-type]


def test_rules_run_without_the_lock_of_the_pool() -> None:
    with ProcessingEngine(threads=Bounds(1, 1)) as engine:

        def when(_: BaseException) -> bool:
            # It takes that lock itself.
            return engine.job("processing-1") is not None

        job = engine.submit(fail, retry=Retry(1, initial=0.0, when=when))
        assert isinstance(job.exception(10), OSError)
        assert job.attempts == 2


# Context variables.


def test_a_job_an_action_and_their_callbacks_have_the_context_of_their_submitter() -> None:
    seen: list[str] = []
    with ProcessingEngine() as engine, ActionSystem(apply=lambda *_: seen.append(TENANT.get())) as actions:
        token = TENANT.set("acme")
        jobs: list[Job[str]] = [engine.submit(TENANT.get), actions.submit(TENANT.get)]
        jobs[0].on_done(lambda _: seen.append(TENANT.get()))
        TENANT.reset(token)
        assert [job.result(5) for job in jobs] == ["acme", "acme"]
        eventually(lambda: seen == ["acme", "acme"])


def test_context_variables_of_an_attempt_reach_neither_its_retry_nor_the_next_job() -> None:
    seen: list[str] = []

    def leak() -> None:
        seen.append(TENANT.get())
        TENANT.set("leaked")
        raise OSError

    with ProcessingEngine(threads=Bounds(1, 1)) as engine:
        assert engine.submit(leak, retry=Retry(1, initial=0.0)).exception(5)
        assert engine.submit(TENANT.get).result(5) == "none"
    assert seen == ["none", "none"]


# What is kept.


def test_results_are_kept_by_bytes_too() -> None:
    with ProcessingEngine(keep=Retention(bytes=3_000)) as engine:
        first, second, third = (engine.submit(bytes, 1_000) for _ in range(3))
        for job in (first, second, third):
            job.result(5)
        assert [engine.job(job.id) for job in (first, second, third)] == [None, second, third]
        large = engine.submit(bytes, 10_000)
        assert len(large.result(5)) == 10_000
        assert engine.job(large.id) is None


@pytest.mark.parametrize("system", [ProcessingEngine, ActionSystem])
def test_arguments_and_frames_go_when_a_job_has_ended(system: Any) -> None:
    with system() as engine:
        payload = Payload()
        gone = weakref.ref(payload)
        job = engine.submit(lambda each: None, payload, keywords=None)
        job.result(5)
        del payload
        eventually(lambda: gone() is None)
        assert "lambda" in job.name
        argument = Payload()
        gone = weakref.ref(argument)
        failed = engine.submit(fail, argument, retry=None)
        error = failed.exception(5)
        assert error is not None
        assert error.__traceback__ is not None
        if system is ActionSystem:
            engine.dead().clear()
            del argument
            # A dead action can be resubmitted, so it keeps its arguments until then.
            assert gone() is not None
            assert engine.resubmit(failed.id).exception(5)
        else:
            del argument
            eventually(lambda: gc.collect() is not None and gone() is None)


def test_readers_add_nothing_to_an_error() -> None:
    with ProcessingEngine() as engine:
        job = engine.submit(fail)
        lengths = set()
        for _ in range(3):
            with pytest.raises(OSError, match="today") as caught:
                job.result(5)
            lengths.add(len(caught.traceback))
        assert len(lengths) == 1


@pytest.mark.parametrize(
    ("value", "least"),
    [
        (b"x" * 1_000, 1_000),
        ([b"x" * 100] * 3, 100),
        ({"a": "x" * 500}, 500),
        ([bytes(1_000) for _ in range(5_000)], 4_000_000),
    ],
)
def test_estimated_sizes_include_the_contents(value: object, least: int) -> None:
    assert least <= size_of(value) <= 3 * least + 2_000


def test_a_size_that_cannot_be_read_is_not_an_error() -> None:
    class Odd:
        def __sizeof__(self) -> int:
            raise RuntimeError

    assert size_of(Odd()) > 0
    loop: list[object] = []
    loop.append(loop)
    assert size_of(loop) > 0


def test_a_job_has_its_end_and_its_duration() -> None:
    clock = ManualClock()
    with ProcessingEngine(clock=clock) as engine:
        ring = threading.Event()
        job = engine.submit(ring.wait, 5)
        eventually(lambda: job.state is JobState.RUNNING)
        assert (job.ended_at, job.duration) == (None, None)
        clock.advance(3.0)
        ring.set()
        job.result(5)
        assert (job.submitted_at, job.started_at, job.ended_at, job.duration) == (0.0, 0.0, 3.0, 3.0)


# Failures that no caller takes.


def test_a_failure_that_no_caller_takes_is_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    with ProcessingEngine(clock=clock) as engine, ActionSystem() as actions:
        job = engine.submit(fail)
        taken = engine.submit(fail)
        eventually(lambda: job.done and taken.done)
        assert isinstance(taken.exception(), OSError)
        clock.advance(2.0)
        engine.balance()
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "no Payload today" in caplog.text
        assert job.id in caplog.text
        assert caplog.records[0].exc_info is not None
        assert engine.metrics().unheard == 1
        actions.submit(fail, retry=None)
    assert "actions-1" in caplog.text
    assert len(caplog.records) == 2


def test_many_failures_are_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    with ProcessingEngine() as engine:
        for _ in range(50):
            engine.submit(fail)
    assert len(caplog.records) < 10
    assert "more jobs failed" in caplog.text


def test_a_failure_that_is_read_in_time_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main(engine: ProcessingEngine) -> None:
        with pytest.raises(OSError, match="today"):
            await engine.submit(fail)

    with ProcessingEngine() as engine:
        asyncio.run(main(engine))
        engine.submit(fail, callback=lambda job: None)
        with pytest.raises(OSError, match="today"):
            list(engine.map(fail, [1, 2]))
    assert not caplog.records


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_dead_actions_that_fall_out_are_counted_and_each_is_told(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def on_dead(dead: DeadAction) -> None:
        told.append(dead.id)
        raise error

    with ActionSystem(dead=2, on_dead=on_dead, breaker=None) as actions:
        failed = [actions.submit(fail, retry=None) for _ in range(5)]
        assert not wait(failed, timeout=5)[1]
        metrics = actions.metrics()
        assert (metrics.dead, metrics.dead_dropped, metrics.callback_errors) == (2, 3, 5)
        assert sorted(told) == sorted(action.id for action in failed)
    assert "on_dead raised" in caplog.text


# Several jobs, and futures of the standard library.


def test_waiting_for_several_jobs() -> None:
    bell = threading.Event()
    with ProcessingEngine(threads=Bounds(3, 3)) as engine:
        slow = engine.submit(bell.wait, 5)
        quick = engine.submit(pow, 2, 3)
        done, pending = wait([slow, quick], timeout=5, until="first")
        assert (done, pending) == ((quick,), (slow,))
        assert wait([slow], timeout=0.0).pending == (slow,)
        assert wait([slow, engine.submit(fail)], timeout=5, until="error").pending == (slow,)
        with pytest.raises(WaitTimeout):
            list(as_completed([slow], timeout=0.01))
        jobs = as_completed([slow, quick])
        ended = iter(jobs)
        assert next(ended) is quick
        bell.set()
        assert next(ended) is slow

        async def collect() -> list[Job[Any]]:
            return [job async for job in as_completed([quick, slow, quick], timeout=5)]

        assert asyncio.run(collect()) == [quick, slow]


def test_a_job_cannot_wait_for_itself_among_others() -> None:
    with ProcessingEngine(threads=Bounds(1, 1)) as engine:
        jobs: list[Job[Any]] = []
        ready = threading.Event()

        def both() -> None:
            ready.wait(5)
            wait(jobs, timeout=5)

        jobs.append(engine.submit(both))
        ready.set()
        assert isinstance(jobs[0].exception(5), JobWaitCycle)


def test_a_job_may_wait_for_several_on_the_only_worker() -> None:
    with ProcessingEngine(threads=Bounds(1, 1)) as engine:
        assert (
            engine.submit(lambda: len(wait([engine.submit(pow, 2, each) for each in range(3)], timeout=5).done)).result(5) == 3
        )


def test_a_job_gives_a_future_of_the_standard_library_and_the_error_says_that_a_job_is_not_one() -> None:
    with ProcessingEngine() as engine:
        jobs = [engine.submit(pow, 2, 3), engine.submit(fail)]
        done, _ = concurrent.futures.wait([job.future() for job in jobs], timeout=5)
        assert sorted(str(each.exception() or each.result()) for each in done) == ["8", "no Payload today"]
        with pytest.raises(AttributeError, match=r"coterie\.work\.wait"):
            concurrent.futures.wait(jobs)  # type: ignore[arg-type]
        called: list[Any] = []
        jobs[0].add_done_callback(called.append)
        assert called == [jobs[0]]
        assert not hasattr(jobs[0], "nothing")


def test_exception_waits_for_the_end() -> None:
    with ProcessingEngine() as engine:
        bell = threading.Event()
        job = engine.submit(lambda: bell.wait(5) and fail())
        with pytest.raises(WaitTimeout):
            job.exception(0.0)
        bell.set()
        assert isinstance(job.exception(5), OSError)
