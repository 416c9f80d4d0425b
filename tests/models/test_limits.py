"""Turns and rates, on the manual clock."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.models import ModelGateway, ModelReply, ModelReplyFuture, ModelRequest, RateLimits, Usage
from coterie.models.policies.rate_limits import SlidingWindow
from coterie.testing import ManualClock, ScriptedModel, eventually
from tests.models.asking import planned, question


class Slow:
    """A model that answers when a test says so."""

    name = "slow"

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.waiting: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = {}

    async def ask(self, request: ModelRequest) -> ModelReply:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self.waiting[request.step] = (loop, future)
        self.begun.append(request.step)
        await future
        return ModelReply(text=request.step)

    def stream(self, request: ModelRequest) -> None:
        raise NotImplementedError

    def answer(self, step: str) -> None:
        loop, future = self.waiting[step]
        loop.call_soon_threadsafe(future.set_result, None)


def submit(gateway: ModelGateway, *steps: str, **settings: Any) -> list[ModelReplyFuture]:
    return [gateway.submit(question(step=step, **settings)) for step in steps]


def waiting(gateway: ModelGateway) -> int:
    return len(gateway._running._tasks)


def test_requests_a_minute_hold_within_any_minute() -> None:
    clock = ManualClock()
    model = ScriptedModel(lambda _: "ok")
    with ModelGateway(model, limits=RateLimits(concurrency=None, requests_per_minute=10), clock=clock) as gateway:
        pending = submit(gateway, *map(str, range(25)))
        eventually(lambda: len(model.requests) == 10 and 60.0 in planned(gateway))
        clock.advance(59.9)
        assert len(model.requests) == 10
        clock.advance(0.1)
        eventually(lambda: len(model.requests) == 20 and 120.0 in planned(gateway))
        clock.advance(60)
        assert [reply.result(10).text for reply in pending] == ["ok"] * 25


def test_the_rounding_rest_of_a_pause_is_not_waited_for_on_a_manual_clock() -> None:
    clock = ManualClock()
    model = ScriptedModel(lambda _: "ok")
    with ModelGateway(model, limits=RateLimits(requests_per_minute=1), clock=clock) as gateway:
        for n in range(1, 12):
            assert gateway.ask_blocking(question(str(n)), 10).text == "ok"
            for part in (0.1, 59.7, 0.1, 0.1, 1e-7):
                clock.advance(part)


def test_tokens_a_minute_are_estimated_before_and_corrected_after() -> None:
    clock = ManualClock()
    model = ScriptedModel(lambda _: ModelReply(text="ok", usage=Usage(400, 500)))
    limits = RateLimits(concurrency=1, tokens_per_minute=1000)
    with ModelGateway(model, limits=limits, clock=clock) as gateway:
        pending = submit(gateway, "a", "b")
        eventually(lambda: len(model.requests) == 1 and 60.0 in planned(gateway), what="900 used, about 290 wanted")
        clock.advance(59)
        assert len(model.requests) == 1
        clock.advance(1)
        assert [reply.result(10).text for reply in pending] == ["ok", "ok"]


def test_a_request_larger_than_the_whole_limit_goes_alone() -> None:
    clock = ManualClock()
    model = ScriptedModel(lambda _: "ok")
    with ModelGateway(model, limits=RateLimits(tokens_per_minute=5), clock=clock) as gateway:
        first, second = (gateway.submit(question("x" * 400, step=step)) for step in "ab")
        assert first.result(10).text == "ok"
        eventually(lambda: 60.0 in planned(gateway))
        assert not second.done
        clock.advance(60)
        assert second.result(10).text == "ok"


def test_the_highest_priority_goes_first_and_equals_in_their_order() -> None:
    model = Slow()
    with ModelGateway(model, limits=RateLimits(concurrency=1), clock=ManualClock()) as gateway:  # type: ignore[arg-type]
        submit(gateway, "first")
        eventually(lambda: model.begun == ["first"])
        pending = [*submit(gateway, "low", "low too"), *submit(gateway, "high", "high too", priority=5)]
        eventually(lambda: waiting(gateway) == 5)
        for step in ("first", "high", "high too", "low", "low too"):
            eventually(lambda: step in model.waiting)
            model.answer(step)
        assert {reply.result(10).text for reply in pending} == {"low", "low too", "high", "high too"}
        assert model.begun == ["first", "high", "high too", "low", "low too"]


def test_to_wait_long_enough_counts_as_much_as_priority() -> None:
    model = Slow()
    clock = ManualClock()
    with ModelGateway(model, limits=RateLimits(concurrency=1, age_after=10), clock=clock) as gateway:  # type: ignore[arg-type]
        submit(gateway, "first")
        eventually(lambda: model.begun == ["first"])
        submit(gateway, "old")
        eventually(lambda: waiting(gateway) == 2)
        clock.advance(31)
        submit(gateway, "urgent", priority=3)
        submit(gateway, "more urgent", priority=4)
        eventually(lambda: waiting(gateway) == 4)
        for step in ("first", "more urgent", "old", "urgent"):
            eventually(lambda: step in model.waiting)
            model.answer(step)
        eventually(lambda: model.begun == ["first", "more urgent", "old", "urgent"])
        eventually(lambda: waiting(gateway) == 0)


def test_a_request_cancelled_while_waiting_frees_its_place_and_uses_no_limit() -> None:
    model = Slow()
    with ModelGateway(model, limits=RateLimits(concurrency=1), clock=ManualClock()) as gateway:  # type: ignore[arg-type]
        (first,) = submit(gateway, "first")
        eventually(lambda: model.begun == ["first"])
        left, last = submit(gateway, "left", "last")
        eventually(lambda: waiting(gateway) == 3)
        left.cancel()
        eventually(lambda: left.done)
        model.answer("first")
        eventually(lambda: "last" in model.waiting)
        model.answer("last")
        assert (first.result(10).text, last.result(10).text) == ("first", "last")
        assert gateway.spent().requests == 2


def test_waiting_is_measured_by_agent() -> None:
    clock = ManualClock()
    model = ScriptedModel(lambda _: "ok")
    with ModelGateway(model, limits=RateLimits(requests_per_minute=1), clock=clock) as gateway:
        pending = submit(gateway, "a", "b", agent="ann")
        eventually(lambda: 60.0 in planned(gateway))
        clock.advance(60)
        assert [each.result(10).text for each in pending] == ["ok", "ok"]
        metrics = gateway.metrics_by_agent()["ann"]
        assert (metrics.wait.samples, metrics.wait.mean, metrics.latency.p99) == (2, 30.0, 60.0)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=60), st.integers(10, 100))
def test_a_window_never_lets_more_than_its_limit_through_in_any_minute(steps: list[tuple[float, int]], limit: int) -> None:
    window = SlidingWindow(limit)
    now = 0.0
    log: list[tuple[float, int]] = []
    for pause, amount in steps:
        now += pause
        while (delay := window.delay(now, amount)) > 0:
            now += delay
        window.enter(now, amount)
        log.append((now, amount))
    for at, _ in log:
        inside = [amount for when, amount in log if when <= at < when + 60]
        assert sum(inside) <= limit or len(inside) == 1


@pytest.mark.parametrize("correct", [lambda window, passage: window.correct(passage, 0)])
def test_a_request_that_was_never_sent_frees_its_place(correct: Callable[..., None]) -> None:
    window = SlidingWindow(10)
    passage = window.enter(0.0, 10)
    assert window.delay(1.0, 1) == 59.0
    correct(window, passage)
    assert window.delay(1.0, 10) == 0.0
