"""Probes stand for agents in tests, and failures fail a test."""

import pytest

from coterie import Agent, AgentRef, HandlerFailed, Message, Request, Runtime, on
from coterie.testing import Probe, no_failures, wait_until_idle


class Order(Message):
    dish: str


class Cook(Request[str]):
    dish: str


class Waiter(Agent):
    def __init__(self, kitchen: AgentRef) -> None:
        self.kitchen = kitchen
        self.served: list[str] = []

    @on
    async def order(self, message: Order) -> None:
        if message.dish == "stone":
            raise ValueError("cannot be cooked")
        self.served.append(await self.kitchen.ask(Cook(dish=message.dish)))
        self.kitchen.tell(Order(dish=f"more {message.dish}"))


def test_a_probe_collects_messages_and_answers_as_it_is_told() -> None:
    with Runtime() as runtime:
        probe = Probe(runtime, name="kitchen")
        probe.answer("hot soup")
        runtime.spawn(Waiter, probe.ref).tell(Order(dish="soup"))
        assert probe.expect(Cook).dish == "soup"
        assert probe.expect(Order) == Order(dish="more soup")
        probe.expect_nothing(0.001)


def test_a_probe_raises_what_it_is_told_to() -> None:
    with Runtime() as runtime:
        probe = Probe(runtime)
        probe.answer(KeyError("no such dish"))
        with pytest.raises(HandlerFailed, match="no such dish"):
            probe.ref.ask(Cook(dish="x")).result(10)
        assert probe.ref.ask(Cook(dish="x")).result(10) is None


def test_a_probe_fails_a_test_over_what_is_missing_or_not_expected() -> None:
    with Runtime() as runtime:
        probe = Probe(runtime, name="kitchen")
        with pytest.raises(AssertionError, match=r"kitchen got no Order within 0\.001 s"):
            probe.expect(Order, timeout=0.001)
        probe.ref.tell(Order(dish="soup"))
        with pytest.raises(AssertionError, match=r"kitchen expected a Cook, and got Order\(dish='soup'\)"):
            probe.expect(Cook)
        probe.ref.tell(Order(dish="soup"))
        with pytest.raises(AssertionError, match="kitchen expected nothing, and got Order"):
            probe.expect_nothing(5.0)


def send(runtime: Runtime, agent: AgentRef, message: Message, *, dead_letters: bool = True) -> None:
    with no_failures(runtime, dead_letters=dead_letters):
        agent.tell(message)
        wait_until_idle(runtime)


def test_a_failure_or_a_dead_letter_fails_a_test() -> None:
    with Runtime() as runtime:
        waiter = runtime.spawn(Waiter, Probe(runtime).ref, name="waiter")
        send(runtime, waiter, Order(dish="soup"))
        with pytest.raises(AssertionError, match="waiter failed over Order: ValueError: cannot be cooked"):
            send(runtime, waiter, Order(dish="stone"))
        with pytest.raises(AssertionError, match=r"1 dead letters: Cook .* no handler"):
            send(runtime, waiter, Cook(dish="x"))
        send(runtime, waiter, Cook(dish="x"), dead_letters=False)
