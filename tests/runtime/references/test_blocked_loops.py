"""Calls that block an event loop of somebody else's say so."""

import asyncio
import logging

import pytest

from coterie import Agent, MailboxFull, MailboxPolicy, Message, Request, Runtime, on
from coterie.testing.conformance.base import Gate


class Pass(Message):
    pass


class Count(Request[int]):
    pass


class Slow(Agent):
    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.passed = 0

    @on
    def let_pass(self, message: Pass) -> None:
        self.gate.wait()
        self.passed += 1

    @on
    def count(self, message: Count) -> int:
        return self.passed


def test_a_tell_or_a_result_that_blocks_an_event_loop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()

    async def use(runtime: Runtime) -> int:
        slow = runtime.spawn(Slow, gate, name="slow", mailbox=MailboxPolicy.wait(capacity=1, timeout=0.01))
        slow.tell(Pass())
        gate.wait_for_entry()
        slow.tell(Pass())
        assert caplog.text == ""
        with pytest.raises(MailboxFull):
            slow.tell(Pass())
        gate.open()
        return slow.ask(Count()).result(10)

    with Runtime() as runtime, caplog.at_level(logging.WARNING):
        assert asyncio.run(use(runtime)) == 2
    assert "a tell of Pass to slow, whose mailbox is full, blocks the event loop" in caplog.text
    assert "await ref.offer(message)" in caplog.text


class Nested(Agent):
    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def on_start(self) -> None:
        self.slow = self.context.spawn(Slow, self.gate)

    @on
    async def count(self, message: Count) -> int:
        return self.slow.ask(Count()).result(10)


def test_an_agent_that_blocks_its_own_loop_delays_no_other_agent_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with Runtime() as runtime, caplog.at_level(logging.WARNING):
        assert runtime.spawn(Nested, Gate()).ask(Count()).result(10) == 0
    assert "blocks the event loop" not in caplog.text
