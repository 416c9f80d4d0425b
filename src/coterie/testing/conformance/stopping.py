"""The end of a runtime: in order, in time, and nothing left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from coterie import Agent, AgentRef, AgentStopped, Message, Request, Runtime, RuntimeStopped, Supervision, on
from coterie.concurrency import Thread
from coterie.messaging import Reason
from coterie.testing.conformance.base import Block, Echo, Fail, Gate, Gatekeeper, Note, Notes, Recorder, Sleep, Suite
from coterie.testing.conformance.lifecycle import Log
from coterie.testing.conformance.supervising import Remembering
from coterie.testing.waiting import Together, eventually


class Relay(Agent):
    """Passes notes on, slowly."""

    def __init__(self, to: AgentRef | None, log: Log) -> None:
        self.to = to
        self.log = log

    @on
    async def note(self, message: Note) -> None:
        await asyncio.sleep(0.001)
        if self.to is not None:
            self.to.tell(message)
        else:
            self.log.write(str(message.n))


class Landlord(Agent):
    """Runs a runtime of its own for the time of a message."""

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self.make = make

    @on
    def echo(self, message: Echo) -> int:
        with self.make() as inner:
            agent = inner.spawn(Recorder)
            answer = agent.ask(message).result(10)
        assert not agent.is_alive
        return answer


class StopAll(Message):
    """Makes an agent stop its runtime."""


class Revolutionary(Recorder):
    @on
    def stop(self, message: StopAll) -> None:
        assert self.context.runtime.stop() is None


class Parent(Agent):
    def __init__(self, log: Log, depth: int) -> None:
        self.log = log
        self.depth = depth
        if depth:
            self.context.spawn(Parent, log, depth - 1)

    def on_stop(self) -> None:
        self.log.write(str(self.depth))

    @on
    def echo(self, message: Echo) -> int:
        return message.n


class Stubborn(Request[int]):
    """Makes a handler ignore its cancellation for a while."""


class StubbornAgent(Recorder):
    @on
    async def stubborn(self, message: Stubborn) -> int:
        for _ in range(3):
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        return 1


class Stopping(Suite):
    """Shutdown."""

    def _threads(self) -> set[Thread]:
        return set(threading.enumerate())

    def test_no_thread_is_left_behind(self) -> None:
        before = self._threads()
        with self.runtime() as runtime:
            agents = [runtime.spawn(Recorder) for _ in range(20)]
            for agent in agents:
                agent.ask(Sleep(0.0, 1)).result(10)
        eventually(lambda: self._threads() <= before, what="the threads of the runtime ended")

    def test_sent_messages_and_their_consequences_are_handled_before_the_end(self) -> None:
        if not self.arrives_at_once:
            pytest.skip("what the transport holds at the end is lost")
        log = Log()
        with self.runtime() as runtime:
            relay: AgentRef | None = None
            for _ in range(5):
                relay = runtime.spawn(Relay, relay, log)
            assert relay is not None
            for n in range(20):
                relay.tell(Note(n))
        assert log.lines == [str(n) for n in range(20)]
        assert len(runtime.dead_letters) == 0

    def test_without_draining_queued_messages_become_dead_letters(self) -> None:
        gate = Gate()
        runtime = self.runtime()
        agent = runtime.spawn(Gatekeeper, gate)
        agent.tell(Block(0))
        gate.wait_for_entry()
        for n in range(1, 4):
            agent.tell(Note(n))
        eventually(lambda: runtime.metrics().agents[agent.name].queued == 3)
        gate.open()
        report = runtime.stop(drain=False)
        assert report is not None
        assert not report.drained
        totals = runtime.metrics().totals
        assert totals.handled + totals.dead == 4

    def test_outsiders_are_refused_from_the_moment_of_the_stop(self) -> None:
        if not self.arrives_at_once:
            pytest.skip("what the transport holds at the end is lost")
        gate = Gate()
        runtime = self.runtime()
        agent = runtime.spawn(Gatekeeper, gate)
        agent.tell(Block(0))
        gate.wait_for_entry()
        stopper = Together(runtime.stop)
        eventually(lambda: isinstance(agent.ask(Echo(1)).exception(), RuntimeStopped))
        with pytest.raises(RuntimeStopped):
            runtime.spawn(Recorder)
        gate.open()
        stopper.join()
        agent.tell(Note(1))
        eventually(lambda: Note(1) in [letter.message for letter in runtime.dead_letters])
        with pytest.raises(AgentStopped):
            agent.ask(Echo(1)).result(10)

    def test_children_stop_before_their_parents(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            agent = runtime.spawn(Parent, log, 4)
            agent.ask(Echo(1)).result(10)
            eventually(lambda: len(runtime.agents()) == 5)
        assert log.lines == ["0", "1", "2", "3", "4"]

    def test_a_second_stop_waits_for_the_first(self) -> None:
        runtime = self.runtime()
        runtime.spawn(Recorder)
        assert runtime.stop() == runtime.stop()
        assert runtime.wait(0)

    def test_an_agent_can_stop_its_runtime(self) -> None:
        runtime = self.runtime()
        agent = runtime.spawn(Revolutionary)
        agent.tell(StopAll())
        assert runtime.wait(10)
        assert runtime.agents() == []

    def test_an_agent_that_is_stuck_is_named_and_not_waited_for(self) -> None:
        gate = Gate()
        runtime = self.runtime(stop_timeout=0.2)
        agent = runtime.spawn(Gatekeeper, gate, name="stuck")
        reply = agent.ask(Block(0))
        gate.wait_for_entry()
        queued = agent.ask(Echo(1))
        runtime.spawn(Recorder)
        report = runtime.stop()
        assert report is not None
        assert [each.name for each in report.stuck] == [agent.name]
        assert "self.gate.wait()" in report.stuck[0].stack
        for each in (reply, queued):
            with pytest.raises(AgentStopped):
                each.result(10)
        assert not agent.is_alive
        agent.stop().result(10)
        totals = runtime.metrics().totals
        assert (totals.sent, totals.cancelled, totals.dead) == (2, 1, 1)
        gate.open()
        eventually(lambda: not any(thread.name.startswith(runtime.node) for thread in threading.enumerate()))
        assert runtime.metrics().totals == totals

    def test_an_agent_that_drains_goes_on_after_a_message_over_which_it_failed(self) -> None:
        with self.runtime(supervision=Supervision(backoff=0.001)) as runtime:
            agent = runtime.spawn(Remembering)
            runtime.pause(agent)
            for n in range(5):
                agent.tell(Note(n) if n != 2 else Fail())
            eventually(lambda: runtime.metrics().agents[agent.name].queued == 5)
            agent.stop().result(10)
            totals = runtime.metrics().totals
            assert (totals.handled, totals.failed, totals.dead) == (4, 1, 0)

    def test_a_stop_that_an_agent_of_another_runtime_calls_is_waited_for(self) -> None:
        with self.runtime() as outer:
            assert outer.spawn(Landlord, self.runtime).ask(Echo(4)).result(10) == 4

    def test_handlers_that_wait_for_ever_are_cancelled_when_the_time_is_over(self) -> None:
        runtime = self.runtime(stop_timeout=0.2)
        agent = runtime.spawn(Recorder)
        reply = agent.ask(Sleep(), timeout=None)
        eventually(lambda: runtime.health()[agent.name].state == "waiting")
        report = runtime.stop()
        assert report is not None
        assert not report.drained
        assert report.stuck == ()
        assert reply.exception() is not None

    def test_a_handler_that_swallows_its_cancellation_ends_too(self) -> None:
        runtime = self.runtime(stop_timeout=5.0)
        agent = runtime.spawn(StubbornAgent)
        reply = agent.ask(Stubborn(), timeout=None)
        eventually(lambda: runtime.health()[agent.name].state == "waiting")
        report = runtime.stop(drain=False)
        assert report is not None
        assert report.stuck == ()
        assert reply.done

    def test_a_paused_agent_is_drained_too(self) -> None:
        if not self.arrives_at_once:
            pytest.skip("an answer that the transport holds at the end is lost")
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            runtime.pause(agent)
            reply = agent.ask(Echo(5))
            eventually(lambda: runtime.metrics().agents[agent.name].queued == 1)
        assert reply.result(10) == 5

    def test_a_block_that_raises_stops_at_once(self) -> None:
        runtime = self.runtime()
        agent = runtime.spawn(Recorder)
        reply = agent.ask(Sleep(), timeout=None)
        with pytest.raises(KeyError), runtime:
            raise KeyError
        assert runtime.wait(0)
        assert reply.done

    def test_an_asynchronous_block_stops_without_blocking_its_loop(self) -> None:
        async def main() -> int:
            async with self.runtime() as runtime:
                agent = runtime.spawn(Recorder)
                return await agent.ask(Echo(3))

        assert asyncio.run(main()) == 3

    def test_replies_that_are_awaited_end_with_the_runtime(self) -> None:
        async def main() -> BaseException | None:
            async with self.runtime(stop_timeout=0.2) as runtime:
                agent = runtime.spawn(Recorder)
                reply = agent.ask(Sleep(), timeout=None)
            return reply.exception()

        assert asyncio.run(main()) is not None

    def test_two_runtimes_live_in_one_process(self) -> None:
        with self.runtime() as one, self.runtime() as two:
            a, b = one.spawn(Recorder, name="same"), two.spawn(Recorder, name="same")
            assert a != b
            a.tell(Note(1))
            assert (a.ask(Notes()).result(10), b.ask(Notes()).result(10)) == ([1], [])
            one.stop()
            assert b.ask(Echo(2)).result(10) == 2

    def test_dead_letters_of_a_stop_say_why(self) -> None:
        runtime = self.runtime()
        agent = runtime.spawn(Recorder)
        runtime.stop()
        agent.tell(Note(1))
        letters: list[Any] = list(runtime.dead_letters)
        assert [letter.reason for letter in letters if letter.message == Note(1)] in ([Reason.STOPPED], [Reason.UNDELIVERABLE])
