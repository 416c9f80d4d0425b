import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from coterie.errors import InvalidSetting
from coterie.errors.work import CoroutineReturned, FeedbackFailed
from coterie.testing import eventually
from coterie.work import ActionSystem, Bounds, ProcessingEngine, Retry


async def fetch(n: int) -> int:
    return n


def call_fetch(n: int) -> Coroutine[Any, Any, int]:
    return fetch(n)


def apply_later(_: object, value: int) -> object:
    return fetch(value)


def call_back_later(_: object) -> object:
    return fetch(1)


def count(n: int) -> Iterator[int]:
    yield n


async def count_later(n: int) -> AsyncIterator[int]:
    yield n


class Client:
    async def __call__(self, n: int) -> int:
        return n

    async def get(self, n: int) -> int:
        return n

    def stream(self, n: int) -> Iterator[int]:
        yield n


class Streaming:
    def __call__(self, n: int) -> Iterator[int]:
        yield n


LATER: list[Callable[[int], object]] = [
    fetch,
    functools.partial(fetch),
    Client(),
    functools.partial(Client()),
    functools.partial(functools.partial(Client())),
    Client().__call__,
    Client().get,
    count,
    Client().stream,
    Streaming(),
    count_later,
]


@pytest.mark.parametrize("function", LATER, ids=range(len(LATER)))
def test_a_function_whose_call_runs_nothing_is_refused(function: Callable[[int], object]) -> None:
    with ProcessingEngine() as engine, ActionSystem() as system:
        for submit in (
            lambda: engine.submit(function, 3),
            lambda: engine.submit(function, 3, cpu_bound=True),
            lambda: engine.map(function, [3]),
            lambda: system.submit(function, 3),
        ):
            with pytest.raises(InvalidSetting, match=r"submit\.function=|map\.function="):
                submit()
        with pytest.raises(InvalidSetting, match="callback"):
            engine.submit(int, callback=function)  # type: ignore[arg-type]
        with pytest.raises(InvalidSetting, match="apply"):
            ActionSystem(apply=function)  # type: ignore[arg-type]
        assert engine.metrics().totals.submitted == 0


def test_a_coroutine_that_a_function_returns_fails_the_job() -> None:
    with ProcessingEngine() as engine, ActionSystem() as system:
        for job in (
            engine.submit(call_fetch, 3, retry=Retry(3, initial=0.0)),
            engine.submit(lambda: Client()(3)),
            engine.submit(lambda: count_later(3)),
            system.submit(call_fetch, 3),
        ):
            with pytest.raises(CoroutineReturned, match=r"returned an? (coroutine|async generator), and a worker has no"):
                job.result(10)
            assert job.attempts == 1
        values: Iterator[object] = engine.map(call_fetch, [3])
        with pytest.raises(CoroutineReturned):
            next(values)


class Unbegun:
    def __await__(self) -> Iterator[object]:
        yield self


def test_an_awaitable_that_has_run_nothing_fails_the_job_and_a_future_is_a_value() -> None:
    with ProcessingEngine() as engine:
        with pytest.raises(CoroutineReturned, match="returned a Unbegun"):
            engine.submit(Unbegun).result(10)
        future: Future[int] = Future()
        assert engine.submit(lambda: future).result(10) is future
        job = engine.submit(int)
        assert engine.submit(lambda: job).result(10) is job


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="threads serve both")
def test_a_coroutine_in_a_process_fails_the_job_too() -> None:
    with ProcessingEngine(processes=Bounds(1, 1)) as engine:
        job = engine.submit(call_fetch, 3, cpu_bound=True)
        assert isinstance(job.exception() if job.wait(30) else None, CoroutineReturned)


def test_a_result_whose_applying_is_a_coroutine_was_not_applied() -> None:
    with ActionSystem(apply=apply_later) as system:
        with pytest.raises(FeedbackFailed, match="coroutine") as caught:
            system.submit(int, "3", retry=None).result(10)
        assert caught.value.result == 3


def test_a_callback_that_returns_a_coroutine_is_counted_as_failed() -> None:
    with ProcessingEngine() as engine:
        engine.submit(int, callback=call_back_later).result(10)
        eventually(lambda: engine.metrics().callback_errors == 1)


def test_an_awaitable_of_another_loop_is_a_result() -> None:
    with ProcessingEngine() as engine:
        other = engine.submit(threading.Event)
        assert engine.submit(lambda: other).result(10) is other
