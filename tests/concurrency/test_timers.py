import asyncio
import logging
import threading
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.concurrency import PeriodicJob, Timer, Timers
from coterie.kernel import SystemClock
from coterie.testing import Interleaver, ManualClock, eventually
from tests.runs import runs


def test_timers_fire_in_the_order_of_their_times() -> None:
    clock = ManualClock()
    timers = Timers(clock)
    fired: list[tuple[float, str]] = []
    for delay, name in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "a2")):
        timers.call_later(delay, lambda name=name: fired.append((clock.monotonic(), name)))  # type: ignore[misc]
    clock.advance(2.0)
    assert fired == [(1.0, "a"), (1.0, "a2"), (2.0, "b")]
    clock.advance(5.0)
    assert fired[-1] == (3.0, "c")
    assert timers.threads == 0


def test_a_timer_that_a_timer_sets_fires_in_the_same_span_of_time() -> None:
    clock = ManualClock()
    timers = Timers(clock)
    fired: list[float] = []

    def again() -> None:
        fired.append(clock.monotonic())
        timers.call_later(1.0, again)

    timers.call_later(1.0, again)
    clock.advance(5.5)
    assert fired == [1.0, 2.0, 3.0, 4.0, 5.0]


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=80))
def test_cancelled_timers_never_fire_and_all_others_do(plan: list[tuple[float, bool]]) -> None:
    clock = ManualClock()
    timers = Timers(clock)
    fired: list[int] = []
    made = [timers.call_at(when, lambda n=n: fired.append(n)) for n, (when, _) in enumerate(plan)]  # type: ignore[misc]
    for timer, (_, cancel) in zip(made, plan, strict=True):
        if cancel:
            timer.cancel()
            timer.cancel()
    clock.advance(100.0)
    assert sorted(fired) == [n for n, (_, cancel) in enumerate(plan) if not cancel]
    assert [plan[n][0] for n in fired] == sorted(plan[n][0] for n in fired)
    assert timers.next_deadline() is None


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers(ManualClock())
    for _ in range(10_000):
        timers.call_later(30.0, print).cancel()
    assert len(timers._heap) < 1_100


def test_a_timer_fires_or_is_cancelled_but_never_both() -> None:
    threads = Interleaver([Timers.run_due, Timer.cancel, Timers.call_at])
    for seed in runs(60):
        clock = ManualClock()
        with threads.locks():
            timers = Timers(clock)
        fired: list[int] = []
        timer = timers.call_at(1.0, lambda fired=fired: fired.append(1))  # type: ignore[misc]
        clock._now = 1.0
        cancelled: list[bool] = []
        threads.run([timers.run_due, lambda: (timer.cancel(), cancelled.append(not fired)), timers.run_due], Random(seed))
        assert len(fired) <= 1
        timers.run_due()
        assert len(fired) <= 1
        assert timers._cancelled == 0 or timers._heap


def test_on_the_system_clock_a_thread_fires_them_and_ends() -> None:
    timers = Timers(SystemClock(), "tick")
    fired = threading.Event()
    assert timers.threads == 0
    timers.call_later(60.0, print)
    timers.call_later(0.001, fired.set)
    assert fired.wait(10)
    assert timers.threads == 1
    timers.close()
    assert "tick-timers" not in [thread.name for thread in threading.enumerate()]


def test_after_the_close_nothing_fires() -> None:
    clock = ManualClock()
    timers = Timers(clock)
    fired: list[int] = []
    timers.call_later(1.0, lambda: fired.append(1))
    timers.close()
    timers.call_later(0.0, lambda: fired.append(2))
    clock.advance(5.0)
    assert fired == []


def test_a_callback_that_raises_is_logged_and_the_next_one_fires(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    timers = Timers(clock)
    fired: list[int] = []
    timers.call_later(1.0, lambda: 1 / 0)
    timers.call_later(2.0, lambda: fired.append(1))
    with caplog.at_level(logging.ERROR):
        clock.advance(3.0)
    assert fired == [1]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError])
def test_a_periodic_job_is_done_again_and_again_until_closed(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    done: list[float] = []

    def work() -> None:
        done.append(clock.monotonic())
        if len(done) == 2:
            raise error("once")

    job = PeriodicJob(Timers(clock), 2.0, work, "sweep")
    clock.advance(7.0)
    assert done == [2.0, 4.0, 6.0]
    assert "the periodic job sweep raised" in caplog.text
    job.close()
    clock.advance(10.0)
    assert len(done) == 3


def test_a_periodic_job_on_the_system_clock() -> None:
    timers = Timers(SystemClock())
    done: list[int] = []
    job = PeriodicJob(timers, 0.001, lambda: done.append(1), "quick")
    eventually(lambda: len(done) >= 3)
    job.close()
    timers.close()
