"""The limits of tools and guards are for their work, and not for the wait for a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from coterie import Agent, Leased, Message, Runtime, on
from coterie.conversation import Conversation, ConversationSettings, OperationState, tool
from coterie.conversation.session import deadlines
from coterie.conversation.session.deadlines import AttemptDeadline
from coterie.runtime import Context
from coterie.testing import ManualClock, eventually
from tests.conversation.scripted import Gate, Script, by_words, next_delivery, run, state_of


class Block(Message):
    entered: Any
    gate: Any


class Blocker(Agent):
    @on
    def block(self, message: Block) -> None:
        message.entered.set()
        message.gate.wait(10)


class Machine:
    """A runtime with one thread, on a manual clock; `taken` takes the thread for some seconds of that clock."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_000.0)
        self.runtime = Runtime("one", dispatcher=Leased(least=1, most=1), clock=self.clock, stall_after=3600)
        self._blocker = self.runtime.spawn(Blocker)

    async def taken(self, *seconds: float) -> None:
        """Hold the thread until all timers that are due within these seconds wait for it."""
        entered, gate = threading.Event(), threading.Event()
        self._blocker.tell(Block(entered, gate))
        assert await asyncio.to_thread(entered.wait, 10)
        for each in seconds:
            self.clock.advance(each)
        gate.set()


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.runtime.stop(drain=False)


def test_an_asynchronous_tool_that_waits_for_a_thread_is_not_ended_by_its_limit(machine: Machine) -> None:
    slept, again = Gate(), Gate()

    async def pause(seconds: float, ready: Gate) -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_later(seconds, done.set_result, None)
        ready.set()
        await done

    @tool(long_running=True, timeout=0.5)
    async def work() -> str:
        await pause(0.3, slept)
        await pause(0.1, again)
        return "in time"

    async def talk() -> None:
        async with Conversation(Script(by_words), [work], runtime=machine.runtime) as chat:
            last = chat.last_event
            sending = asyncio.ensure_future(chat.send("!work").answer())
            await slept
            # The session has begun the limit of the attempt.
            await chat.send("hello").answer()
            await machine.taken(0.3, 5.0)
            await again
            machine.clock.advance(0.1)
            await sending
            assert (await next_delivery(chat, last)).text.endswith("succeeded: in time")
            assert state_of(chat, 1) is OperationState.SUCCEEDED

    run(talk)


class Loop:
    """The waits of an attempt, and the limits that it has exceeded, on a loop with a clock of its own."""

    def __init__(self) -> None:
        self.waits = 0.0
        self.over: list[str] = []

    def deadline(self, timeout: float | None, idle: float | None = None) -> AttemptDeadline:
        return AttemptDeadline(timeout, idle, self.over.append, lambda: self.waits)


def test_work_that_does_not_end_is_ended_after_its_limit_and_its_waits() -> None:
    async def work() -> None:
        loop, clock = Loop(), asyncio.get_running_loop().time
        began = clock()
        loop.waits = 100.0
        loop.deadline(0.05)
        loop.waits += 0.1
        while not loop.over:
            await asyncio.sleep(0.005)
        assert loop.over == ["it took longer than 0.05 s"]
        assert clock() - began >= 0.149

    run(work)


def test_silence_is_counted_without_the_waits_too() -> None:
    async def work() -> None:
        loop, clock = Loop(), asyncio.get_running_loop().time
        began = clock()
        loop.deadline(None, 0.05)
        loop.waits += 0.1
        while not loop.over:
            await asyncio.sleep(0.005)
        assert loop.over == ["it said nothing for 0.05 s"]
        assert clock() - began >= 0.149

    run(work)


def test_a_wait_for_a_thread_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "MOST_WAITED", 0.1)

    async def work() -> None:
        loop, clock = Loop(), asyncio.get_running_loop().time
        began = clock()
        AttemptDeadline(0.02, None, loop.over.append, lambda: clock() - began)
        while not loop.over:
            await asyncio.sleep(0.005)
        assert loop.over == ["no thread was free for it for 0.1 s"]

    run(work)


@pytest.mark.parametrize("wait", ["for a while", "for ever"])
def test_the_limit_of_a_guard_begins_when_a_thread_begins_the_guard(wait: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_blocking = Context.run_blocking
    clock, reached, gate = ManualClock(1_000.0), Gate(), Gate()

    async def later(self: Context, function: Any) -> Any:
        # Stands for a pool whose threads are all taken.
        reached.set()
        await gate
        return await run_blocking(self, function)

    def guard() -> None:
        """Allow everything."""

    @tool(guard=guard)
    async def work() -> str:
        return "done"

    async def talk() -> None:
        settings = ConversationSettings(model_timeout=2.0, patience=1_000.0, idle_timeout=None)
        async with Conversation(Script(by_words), [work], settings=settings, clock=clock) as chat:
            monkeypatch.setattr(Context, "run_blocking", later)
            sending = asyncio.ensure_future(chat.send("!work").answer())
            await reached
            clock.advance(5.0)
            if wait == "for a while":
                # The session has looked at the guard after its limit, and again.
                clock.advance(5.0)
                gate.set()
                assert await sending == "done"
            while not sending.done():
                clock.advance(2.0)
                await asyncio.sleep(0.001)
            assert wait == "for a while" or "the guard could not decide whether this is allowed" in await sending

    run(talk)


def test_a_guard_that_does_not_end_is_given_up() -> None:
    async def guard() -> None:
        await asyncio.get_running_loop().create_future()

    @tool(guard=guard)
    async def work() -> str:
        return "done"

    async def talk() -> None:
        async with Conversation(Script(by_words), [work], settings=ConversationSettings(model_timeout=0.05)) as chat:
            assert "the guard could not decide" in await chat.send("!work").answer()

    run(talk)


def test_an_agent_measures_its_waits_for_a_thread(machine: Machine) -> None:
    measured: list[Any] = []

    class Waiter(Agent):
        def on_start(self) -> None:
            measured.append(self.context.measure_waits())

        @on
        def block(self, message: Block) -> None:
            measured.append(self.context.measure_waits()())

    waiter = machine.runtime.spawn(Waiter)
    eventually(lambda: measured)
    entered, gate = threading.Event(), threading.Event()
    machine._blocker.tell(Block(entered, gate))
    assert entered.wait(10)
    waiter.tell(Block(None, None))
    machine.clock.advance(3.0)
    assert measured[0]() == 3.0
    gate.set()
    eventually(lambda: len(measured) == 2)
    machine.clock.advance(2.0)
    assert measured[1] == measured[0]() == 3.0
