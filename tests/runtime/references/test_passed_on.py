"""An agent that returns the reply of another ask passes its own on: waiting follows it."""

from typing import Any

import pytest

from coterie import Agent, AgentRef, Dedicated, HandlerFailed, Leased, Message, Request, Runtime, WaitCycle, on
from coterie.runtime import Dispatcher


class Know(Message):
    others: dict[str, AgentRef]


class Wait(Request[int]):
    """Ask along a path of agents, and wait for each answer."""

    path: list[str]


class WaitLater(Wait):
    """The same, in an ``async`` handler."""


class PassOn(Wait):
    """Ask along a path of agents, and pass the ask on."""


class Knower(Agent):
    def __init__(self) -> None:
        self.others: dict[str, AgentRef] = {}

    @on
    def know(self, message: Know) -> None:
        self.others = message.others

    def next(self, path: list[str]) -> tuple[AgentRef, Wait]:
        """Return the next agent of a path, and the request that it says to send."""
        how = {"w": Wait, "l": WaitLater, "p": PassOn}[path[0][0]]
        return self.others[path[0][1]], how(path[1:])

    @on
    def wait(self, message: Wait) -> int:
        if not message.path:
            return 1
        agent, request = self.next(message.path)
        return agent.ask(request).result()

    @on
    async def wait_later(self, message: WaitLater) -> int:
        if not message.path:
            return 1
        agent, request = self.next(message.path)
        return await agent.ask(request)

    @on
    def pass_on(self, message: PassOn) -> Any:
        if not message.path:
            return 1
        agent, request = self.next(message.path)
        return agent.ask(request)


def ask(path: str, *, dispatcher: Dispatcher, strict: bool = False) -> int:
    """Ask agents along a path such as "wa pb wc": a asks b and waits, b passes on to c, c waits for nothing."""
    with Runtime(dispatcher=dispatcher, strict=strict, ask_timeout=30) as runtime:
        agents = {name: runtime.spawn(Knower, name=name) for name in "abcd"}
        for agent in agents.values():
            agent.tell(Know(agents))
        steps = path.split()
        how = {"w": Wait, "l": WaitLater, "p": PassOn}[steps[0][0]]
        return agents[steps[0][1]].ask(how(steps[1:])).result(10)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
@pytest.mark.parametrize(
    "path", ["wa pb wc wa", "la pb lc la", "wa pb pc pd wb wa", "wa pb wa", "la pb pc la", "wa pb pc wd pa"]
)
def test_a_circle_through_asks_that_were_passed_on_is_an_error_at_once(
    path: str, dispatcher: Dispatcher, *, strict: bool
) -> None:
    with pytest.raises(HandlerFailed) as caught:
        ask(path, dispatcher=dispatcher, strict=strict)
    causes: list[BaseException] = [caught.value]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    assert isinstance(causes[-1], WaitCycle)


@pytest.mark.parametrize("path", ["wa pb wc", "la pb pc ld", "pa pb wa", "pa pb pc pa pb", "wa pb wc wb"])
def test_an_ask_that_was_passed_on_is_answered_where_there_is_no_circle(path: str) -> None:
    assert ask(path, dispatcher=Leased()) == 1
