"""Every ask ends, and says how."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coterie import (
    Agent,
    AgentRef,
    AskCancelled,
    AskTimeout,
    DeliveryError,
    HandlerFailed,
    Message,
    Request,
    WaitTimeout,
    on,
)
from coterie.testing.clock import ManualClock
from coterie.testing.conformance.base import Ask, Block, Echo, Fail, Gate, Gatekeeper, Note, Notes, Recorder, Sleep, Suite
from coterie.testing.waiting import eventually, run_together, wait_until_idle


class Pair(Message):
    """An answer that is a message itself."""

    left: int
    right: AgentRef


class GivePair(Request[Pair]):
    """Asks for a pair."""


class Anything(Request[Any]):
    """Asks for something of no fixed type."""


class Shielded(Request[int]):
    """Its handler goes on when the ask has ended."""


class Answering(Agent):
    def __init__(self) -> None:
        self.cancelled = 0
        self.finished = 0

    @on
    def pair(self, message: GivePair) -> Pair:
        return Pair(1, self.context.self_ref)

    @on
    def anything(self, message: Anything) -> dict[str, object]:
        return {"numbers": [1, 2.5, None], "text": "é", "bytes": b"\x00"}

    @on
    async def sleep(self, message: Sleep) -> int:
        try:
            await asyncio.sleep(message.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return message.n

    @on(shield=True)
    async def shielded(self, message: Shielded) -> int:
        await asyncio.sleep(2.0)
        self.finished += 1
        return 1

    @on
    def counts(self, message: Notes) -> list[int]:
        return [self.cancelled, self.finished]


class Asking(Suite):
    """Replies, errors, deadlines, cancellation."""

    def test_an_ask_is_answered(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            assert agent.ask(Echo(7)).result() == 7

    def test_asynchronous_handlers_answer_the_same_way(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            assert agent.ask(Sleep(0.0, 7)).result(10) == 7

    def test_a_reply_can_be_awaited_on_any_event_loop(self) -> None:
        async def ask() -> list[int]:
            return await asyncio.gather(*(agent.ask(Echo(n)) for n in range(20)))

        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            assert asyncio.run(ask()) == list(range(20))
            assert asyncio.run(ask()) == list(range(20))

    def test_a_reply_can_be_read_again_and_by_many(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            reply = agent.ask(Sleep(0.01, 7))
            results: list[int] = []
            run_together(*[lambda: results.append(reply.result(10))] * 5)
            assert [*results, reply.result()] == [7] * 6

    def test_answers_may_be_messages_and_references(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Answering)
            pair = agent.ask(GivePair()).result(10)
            assert pair == Pair(1, agent)
            assert pair.right.ask(GivePair()).result(10).left == 1
            assert agent.ask(Anything()).result(10) == {"numbers": [1, 2.5, None], "text": "é", "bytes": b"\x00"}

    def test_asks_have_numbers_that_tell_them_apart(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            assert len({agent.ask(Echo(n)).correlation for n in range(100)}) == 100

    def test_a_handler_that_raises_fails_the_ask_with_its_error(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, name="recorder")
            with pytest.raises(HandlerFailed, match=r"recorder.*Fail.*ValueError: no good") as caught:
                agent.ask(Fail("no good")).result(10)
            assert "no good" in str(caught.value.__cause__)
            assert "raise ValueError(message.text)" in caught.value.traceback_text

    def test_an_ask_times_out_when_its_deadline_has_passed(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock) as runtime:
            agent = runtime.spawn(Recorder, name="recorder")
            reply = agent.ask(Sleep(10.0), timeout=2.0)
            wait_until_idle(runtime)
            clock.advance(1.9)
            assert not reply.done
            clock.advance(0.1)
            with pytest.raises(AskTimeout, match=r"recorder.*Sleep.*2 s"):
                reply.result(10)
            assert isinstance(reply.exception(), TimeoutError)

    def test_an_ask_has_the_deadline_of_the_runtime_unless_it_is_given_another(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock, ask_timeout=5.0) as runtime:
            agent = runtime.spawn(Recorder)
            usual, endless = agent.ask(Sleep()), agent.ask(Sleep(), timeout=None)
            clock.advance(5.0)
            assert isinstance(usual.exception(), AskTimeout)
            clock.advance(1_000.0)
            assert not endless.done
            endless.cancel()

    def test_a_deadline_cancels_an_asynchronous_handler(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock) as runtime:
            agent = runtime.spawn(Answering)
            reply = agent.ask(Sleep(60.0), timeout=2.0)
            wait_until_idle(runtime)
            clock.advance(2.0)
            assert isinstance(reply.exception(), AskTimeout)
            assert agent.ask(Notes()).result(10) == [1, 0]
            assert runtime.metrics().totals.cancelled == 1
            assert runtime.health()[agent.name].restarts == 0

    def test_a_shielded_handler_is_not_cancelled(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock) as runtime:
            agent = runtime.spawn(Answering)
            reply = agent.ask(Shielded(), timeout=1.0)
            wait_until_idle(runtime)
            clock.advance(1.0)
            assert isinstance(reply.exception(), AskTimeout)
            wait_until_idle(runtime)
            clock.advance(1.0)
            assert agent.ask(Notes()).result(10) == [0, 1]
            assert runtime.metrics().totals.late == 1

    def test_an_ask_that_timed_out_in_the_queue_is_never_handled(self) -> None:
        clock, gate = ManualClock(), Gate()
        with self.runtime(clock=clock) as runtime:
            agent = runtime.spawn(Gatekeeper, gate)
            agent.tell(Block(0))
            gate.wait_for_entry()
            reply = agent.ask(Block(1), timeout=1.0)
            eventually(lambda: runtime.metrics().agents[agent.name].queued == 1)
            clock.advance(1.0)
            assert isinstance(reply.exception(), AskTimeout)
            gate.open()
            assert agent.ask(Notes()).result(10) == [0]
            assert runtime.metrics().totals.expired == 1

    def test_a_cancelled_await_cancels_the_handler(self) -> None:
        async def ask_and_give_up() -> None:
            task = asyncio.ensure_future(agent.ask(Sleep(60.0)))
            await asyncio.to_thread(eventually, lambda: runtime.health()[agent.name].state == "waiting")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        with self.runtime() as runtime:
            agent = runtime.spawn(Answering)
            asyncio.run(ask_and_give_up())
            assert agent.ask(Notes()).result(10) == [1, 0]
            assert runtime.metrics().totals.cancelled == 1
            assert runtime.health()[agent.name].restarts == 0

    def test_an_ask_can_be_taken_back(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Answering)
            reply = agent.ask(Sleep(60.0))
            assert reply.cancel()
            assert not reply.cancel()
            with pytest.raises(AskCancelled):
                reply.result()
            answered = agent.ask(Notes())
            answered.result(10)
            assert not answered.cancel()

    def test_waiting_for_a_result_can_end_without_ending_the_ask(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate)
            reply = agent.ask(Block(7))
            with pytest.raises(WaitTimeout):
                reply.result(0.01)
            with pytest.raises(TimeoutError):
                reply.result(0)
            gate.open()
            assert reply.result(10) == 7

    def test_errors_of_an_ask_fail_the_message_and_not_the_asking_agent(self) -> None:
        with self.runtime() as runtime:
            gone = runtime.spawn(Recorder)
            gone.stop().result(10)
            asker = runtime.spawn(Recorder)
            asker.tell(Note(1))
            with pytest.raises(HandlerFailed) as caught:
                asker.ask(Ask(gone)).result(10)
            assert "AgentStopped" in str(caught.value)
            assert asker.ask(Notes()).result(10) == [1]
            assert runtime.health()[asker.name].restarts == 0

    def test_a_deadline_cancels_along_the_chain_of_asks(self) -> None:
        clock = ManualClock()
        with self.runtime(clock=clock) as runtime:
            last = runtime.spawn(Answering)
            middle = runtime.spawn(Forwarder, last)
            reply = middle.ask(Sleep(60.0), timeout=1.0)
            wait_until_idle(runtime)
            clock.advance(1.0)
            with pytest.raises(AskTimeout):
                reply.result(10)
            assert last.ask(Notes()).result(10) == [1, 0]

    def test_asks_to_a_thousand_agents_are_gathered(self) -> None:
        with self.runtime() as runtime:
            agents = [runtime.spawn(Recorder) for _ in range(200)]
            replies = [agent.ask(Echo(n)) for n, agent in enumerate(agents)]
            assert [reply.result(10) for reply in replies] == list(range(200))

    def test_all_errors_of_asks_have_one_root(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            with pytest.raises(DeliveryError):
                agent.ask(Fail()).result(10)


class Forwarder(Agent):
    def __init__(self, to: AgentRef) -> None:
        self.to = to

    @on
    async def forward(self, message: Sleep) -> int:
        return await self.to.ask(message)
