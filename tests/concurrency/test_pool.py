import threading
from collections.abc import Callable

import pytest

from coterie.concurrency import ElasticPool, Thread, start_thread
from coterie.concurrency import pool as pool_module
from coterie.testing import eventually, run_together


def test_the_pool_has_a_thread_for_every_running_call() -> None:
    pool = ElasticPool("pool")
    barrier = threading.Barrier(40)
    futures = [pool.submit(barrier.wait, 10.0) for _ in range(40)]
    assert sorted(future.result(10) for future in futures) == list(range(40))
    assert pool.threads == 40
    pool.shutdown()
    assert pool.threads == 0


def test_threads_that_are_free_are_used_again_and_those_that_stay_free_end() -> None:
    pool = ElasticPool("pool", idle_after=0.02)
    for n in range(50):
        assert pool.submit(lambda n=n: n).result(10) == n  # type: ignore[misc]
    assert pool.threads <= 2
    eventually(lambda: pool.threads == 0)
    assert pool.submit(lambda: 1).result(10) == 1
    pool.shutdown()


def test_beyond_its_limit_work_queues_in_order() -> None:
    pool = ElasticPool("pool", most=1)
    order: list[int] = []
    futures = [pool.submit(order.append, n) for n in range(50)]
    for future in futures:
        future.result(10)
    assert order == list(range(50))
    pool.shutdown()


def test_the_error_of_a_call_is_raised_to_the_waiting_caller() -> None:
    pool = ElasticPool("pool")
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(10)
    with pytest.raises(SystemExit):
        pool.submit(exit, 3).result(10)
    assert pool.submit(lambda: 1).result(10) == 1
    pool.shutdown()


def test_a_shutdown_finishes_queued_calls_or_cancels_them() -> None:
    pool = ElasticPool("pool", most=1)
    gate = threading.Event()
    blocked = pool.submit(gate.wait, 10.0)
    eventually(blocked.running)
    queued = [pool.submit(lambda: 1) for _ in range(3)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in queued)
    assert [thread.name for thread in pool.join(0.01)] == ["pool-1"]
    gate.set()
    assert blocked.result(10)
    assert pool.join(10) == []
    with pytest.raises(RuntimeError, match="pool has been shut down"):
        pool.submit(print)


def test_a_cancelled_call_is_not_made() -> None:
    pool = ElasticPool("pool", most=1)
    gate = threading.Event()
    eventually(pool.submit(gate.wait, 10.0).running)
    called: list[int] = []
    future = pool.submit(called.append, 1)
    assert future.cancel()
    gate.set()
    pool.shutdown()
    assert called == []


def test_a_system_without_threads_to_give_is_said_at_the_submission(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ElasticPool("pool")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("coterie.concurrency.pool.start_thread", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        pool.submit(print)
    monkeypatch.undo()
    assert pool.submit(lambda: 1).result(10) == 1
    pool.shutdown()


def test_nothing_is_lost_when_many_submit_while_threads_end() -> None:
    pool = ElasticPool("pool", idle_after=0.0005)
    counted: list[int] = []

    def submit() -> None:
        for n in range(300):
            pool.submit(counted.append, n).result(10)

    run_together(*[submit] * 4)
    assert len(counted) == 1_200
    pool.shutdown()


@pytest.mark.parametrize("idle", [5.0, 0.01])
def test_a_thread_that_works_no_more_and_has_not_ended_is_joined_too(monkeypatch: pytest.MonkeyPatch, idle: float) -> None:
    gate = threading.Event()

    def start(work: Callable[[], object], name: str, **_: object) -> Thread:
        def end_late() -> None:
            work()
            gate.wait(10)

        return start_thread(end_late, name)

    monkeypatch.setattr(pool_module, "start_thread", start)
    pool = ElasticPool("pool", idle_after=idle)
    pool.submit(int).result(10)
    if idle > 1:
        pool.shutdown(wait=False)
    eventually(lambda: pool.threads == 0)
    pool.shutdown(wait=False)
    assert len(pool.join(0.01)) == 1
    gate.set()
    assert not pool.join(10)
