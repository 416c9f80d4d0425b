"""Answers that stream: items in order, held back, ended by either side, and never left open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from coterie import (
    AgentRef,
    AgentStopped,
    AskCancelled,
    AskTimeout,
    HandlerFailed,
    ReplyStream,
    Runtime,
    Stream,
    Unhandled,
    WaitCycle,
)
from coterie.errors import InvalidMessage, InvalidSetting
from coterie.testing.clock import ManualClock
from coterie.testing.conformance.base import Echo, Notes, Recorder, Suite
from coterie.testing.conformance.streaming_agents import (
    Broken,
    Count,
    Held,
    Mixed,
    Opaque,
    Overlapping,
    PassedOn,
    Piece,
    Pieces,
    PlainCount,
    ReadCircle,
    Source,
    Sum,
    Wrong,
)
from coterie.testing.waiting import eventually, run_together, wait_until_idle


class Streaming(Suite):
    """Streams of items."""

    def test_a_stream_is_read_by_a_loop_of_a_thread(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            assert list(agent.stream(Count(100))) == list(range(100))
            assert list(agent.stream(PlainCount(100))) == list(range(100))
            assert list(agent.stream(Count(0))) == []
            eventually(lambda: runtime.metrics().totals.handled == 3)

    def test_a_stream_is_read_by_a_loop_on_any_event_loop(self) -> None:
        async def read(message: Stream[int]) -> list[int]:
            return [n async for n in agent.stream(message)]

        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            assert asyncio.run(read(Count(100))) == list(range(100))
            assert asyncio.run(read(PlainCount(100))) == list(range(100))

    @pytest.mark.parametrize("blocking", [False, True])
    def test_a_handler_reads_a_stream_of_another_agent(self, *, blocking: bool) -> None:
        with self.runtime() as runtime:
            agent, source = runtime.spawn(Source), runtime.spawn(Source)
            assert agent.ask(Sum(source, 50, blocking)).result(10) == sum(range(50))

    def test_items_may_be_of_any_type_that_an_answer_may_be(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            assert list(agent.stream(Pieces())) == [None, {"numbers": [1, 2.5]}, Piece("é", agent), b"\x00"]

    def test_many_streams_of_one_agent_come_one_after_the_other(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            read: list[list[int]] = []
            run_together(*[lambda: read.append(list(agent.stream(Count(40))))] * 5)
            assert read == [list(range(40))] * 5

    def test_an_interleaving_handler_of_a_stream_lets_others_be_handled(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Overlapping)
            first, second = iter(agent.stream(Count(5), ahead=1)), iter(agent.stream(Count(5), ahead=1))
            assert [next(first), next(second), agent.ask(Echo(7)).result(10), next(first)] == [0, 0, 7, 1]
            assert [*first, *second] == [2, 3, 4, 1, 2, 3, 4]

    @pytest.mark.parametrize("request_", [Count(), PlainCount()])
    def test_an_agent_is_held_back_until_its_items_are_read(self, request_: Stream[int]) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            numbers = iter(agent.stream(request_, ahead=4))
            wait_until_idle(runtime)
            assert _yielded(runtime, agent) == 4
            assert [next(numbers) for _ in range(3)] == [0, 1, 2]
            wait_until_idle(runtime)
            assert 5 <= _yielded(runtime, agent) <= 7
            assert [next(numbers) for _ in range(100)] == list(range(3, 103))
            wait_until_idle(runtime)
            assert _yielded(runtime, agent) <= 107
            del numbers

    @pytest.mark.parametrize("request_", [Count(), PlainCount()])
    def test_leaving_the_loop_closes_the_generator(self, request_: Stream[int]) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            stream = agent.stream(request_)
            for n in stream:
                if n == 40:
                    break
            assert agent.ask(Notes()).result(10)[1] == 1
            assert stream.done
            assert isinstance(stream.exception(), AskCancelled)
            assert runtime.metrics().totals.cancelled == 1
            assert runtime.health()[agent.name].restarts == 0

    def test_leaving_the_loop_of_an_event_loop_closes_the_generator(self) -> None:
        async def read() -> None:
            stream = agent.stream(Count())
            async for n in stream:
                if n == 40:
                    break
            assert stream.done

        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            asyncio.run(read())
            assert agent.ask(Notes()).result(10)[1] == 1

    def test_a_stream_that_is_closed_or_forgotten_closes_the_generator(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            stream = agent.stream(Held())
            assert next(iter(stream)) == 0
            agent.stream(Held()).close()
            agent.stream(Held())
            with agent.stream(Held()) as numbers:
                wait_until_idle(runtime)
            with pytest.raises(AskCancelled, match="left the stream"):
                list(numbers)
            assert agent.ask(Notes()).result(10)[1] >= 2

    def test_a_cancelled_task_closes_the_generator(self) -> None:
        async def read() -> None:
            async for _ in agent.stream(Held()):
                pass

        async def give_up() -> None:
            task = asyncio.ensure_future(read())
            await asyncio.to_thread(eventually, lambda: runtime.health()[agent.name].state == "waiting")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            asyncio.run(give_up())
            assert agent.ask(Notes()).result(10)[1] == 1

    def test_a_cancelled_wait_for_an_item_loses_none(self) -> None:
        async def read() -> list[int]:
            numbers = aiter(agent.stream(Held()))
            read = [await anext(numbers), await anext(numbers)]
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(numbers), 0.01)
            assert not runtime.metrics().totals.cancelled
            return read

        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            assert asyncio.run(read()) == [0, 1]
            assert agent.ask(Notes()).result(10)[1] == 1

    def test_a_wait_for_an_item_ends_when_its_time_is_over(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock, ask_timeout=5.0) as runtime:
            agent = runtime.spawn(Source)
            wait_until_idle(runtime)
            for stream in agent.stream(Held(), timeout=2.0), agent.stream(Held()):
                numbers = iter(stream)
                assert [next(numbers), next(numbers)] == [0, 1]
                clock.advance(10.0)  # the asker is elsewhere, and waits for nothing
                run_together(partial(_time_out, numbers), partial(_advance_until_it_ends, clock, stream))
            assert agent.ask(Notes(), timeout=None).result(10)[1] == 2
            assert runtime.metrics().totals.cancelled == 2

    def test_a_stream_ends_when_the_time_for_all_of_it_is_over(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock) as runtime:
            agent = runtime.spawn(Source)
            stream = agent.stream(Count(), timeout=None, within=3.0)
            wait_until_idle(runtime)
            clock.advance(2.9)
            assert not stream.done
            clock.advance(0.1)
            with pytest.raises(AskTimeout, match="3 s"):
                list(stream)
            assert agent.ask(Notes()).result(10)[1] == 1

    def test_an_error_comes_after_the_items_before_it(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            for declared, restarts, text in (True, 0, "as told"), (False, 1, "broken"):
                numbers = iter(agent.stream(Broken(declared)))
                assert [next(numbers), next(numbers)] == [0, 1]
                with pytest.raises(HandlerFailed, match=text):
                    next(numbers)
                assert agent.ask(Echo(1)).result(10) == 1
                assert runtime.health()[agent.name].restarts == restarts
            assert runtime.metrics().totals.failed == 2

    def test_a_stream_ends_with_its_agent(self) -> None:
        with self.runtime() as runtime:
            for kill in False, True:
                agent = runtime.spawn(Source)
                numbers = iter(agent.stream(Held()))
                assert [next(numbers), next(numbers)] == [0, 1]
                (agent.kill(timeout=5.0) if kill else agent.stop(drain=False)).result(10)
                with pytest.raises(AskCancelled):
                    next(numbers)

    def test_a_stopped_agent_streams_nothing(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            agent.stop().result(10)
            with pytest.raises(AgentStopped):
                list(agent.stream(Count(3)))

    def test_a_queued_request_for_a_stream_ends_with_its_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            numbers = iter(agent.stream(Held()))
            assert next(numbers) == 0
            queued = agent.stream(Count(5))
            eventually(lambda: runtime.metrics().totals.queued == 1)
            agent.stop(drain=False).result(10)
            with pytest.raises(AgentStopped):
                list(queued)

    def test_a_stream_ends_when_its_agent_fails_over_another_message(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Mixed)
            numbers = iter(agent.stream(Held()))
            assert next(numbers) == 0
            agent.tell(Echo(0))
            with pytest.raises(AskCancelled, match="the agent failed"):
                list(numbers)

    def test_agents_that_have_no_handler_or_a_wrong_one_end_the_stream(self) -> None:
        with self.runtime() as runtime:
            with pytest.raises(Unhandled):
                list(runtime.spawn(Recorder).stream(Count(5)))
            agent = runtime.spawn(Source)
            with pytest.raises(HandlerFailed, match="returned a list; a handler of a Stream yields"):
                list(agent.stream(Wrong()))
            assert agent.ask(Echo(1)).result(10) == 1
            assert runtime.health()[agent.name].restarts == 0

    def test_a_stream_is_passed_on(self) -> None:
        with self.runtime() as runtime:
            first, last = runtime.spawn(Source), runtime.spawn(Source)
            assert list(first.stream(PassedOn(last, 40))) == list(range(40))
            for n in first.stream(PassedOn(last, -1)):
                if n == 40:
                    break
            eventually(lambda: last.ask(Notes()).result(10)[1] == 2)

    def test_a_stream_that_was_only_told_runs_to_its_end(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            agent.tell(Count(100))
            assert agent.ask(Notes()).result(10) == [100, 1]

    def test_agents_that_wait_for_each_other_by_streams_are_found(self) -> None:
        if not self.waits_are_seen:
            pytest.skip("deadlines end them")
        with self.runtime() as runtime:
            reader, source = runtime.spawn(Source), runtime.spawn(Source)
            with pytest.raises(HandlerFailed, match=WaitCycle.__name__):
                reader.ask(ReadCircle(source)).result(10)
            with pytest.raises(HandlerFailed, match=WaitCycle.__name__):
                reader.ask(ReadCircle(reader)).result(10)
            assert runtime.health()[reader.name].restarts == runtime.health()[source.name].restarts == 0

    def test_an_item_that_cannot_be_encoded_ends_the_stream_where_items_are_encoded(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            items = iter(agent.stream(Opaque()))
            assert next(items) == 1
            try:
                next(items)
            except HandlerFailed as error:
                assert "no form on the wire" in str(error)  # noqa: PT017 - by reference, there is no error
            del items
            assert agent.ask(Notes()).result(10)[1] == 1
            assert runtime.health()[agent.name].restarts == 0

    def test_wrong_calls_are_refused(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Source)
            untyped: Any = agent
            with pytest.raises(InvalidMessage, match=r"stream\(\)"):
                untyped.ask(Count(1))
            with pytest.raises(InvalidMessage, match="subclass of Stream"):
                untyped.stream(Echo(1))
            for options in {"ahead": 0}, {"ahead": 1.5}, {"ahead": 10**9}, {"within": -1.0}, {"timeout": "soon"}:
                with pytest.raises(InvalidSetting):
                    untyped.stream(Count(1), **options)


def _yielded(runtime: Runtime, agent: AgentRef) -> int:
    """Return the number of items that a source has yielded, also while it is held back."""
    attributes = runtime.inspect(agent, timeout=10.0).attributes
    assert attributes is not None, "the agent's thread is busy"
    return int(attributes["yielded"])


def _time_out(numbers: Iterator[int]) -> None:
    with pytest.raises(AskTimeout):
        next(numbers)


def _advance_until_it_ends(clock: ManualClock, stream: ReplyStream[int]) -> None:
    """Move the clock until the wait of another thread has ended."""
    while not stream.done:
        clock.advance(0.1)
        threading.Event().wait(0.001)
