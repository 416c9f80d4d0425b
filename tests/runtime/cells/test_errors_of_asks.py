"""Errors that concern a message, and not the agent that handles it."""

import asyncio
import logging

import pytest

from coterie import Agent, AgentRef, HandlerFailed, Message, Request, Runtime, Supervision, on
from coterie.testing import eventually


class Ask(Request[int]):
    pass


class NeverAnswered(Request[int]):
    pass


class Do(Request[str]):
    how: str


class NotFoundError(Exception):
    pass


class Broken(Agent):
    @on
    def ask(self, message: Ask) -> int:
        raise ValueError("as always")

    @on
    async def never(self, message: NeverAnswered) -> int:
        await asyncio.sleep(3600.0)
        return 1


class Doer(Agent):
    def __init__(self, broken: AgentRef) -> None:
        self.broken = broken

    @on(raises=NotFoundError)
    async def do(self, message: Do) -> str:
        await getattr(self, message.how)()
        return "done"

    @on(raises=NotFoundError)
    def start(self, message: "Start") -> None:
        self.context.create_task(getattr(self, message.how)())

    async def ask(self) -> int:
        return await self.broken.ask(Ask())

    async def nothing(self) -> None: ...

    async def not_found(self) -> None:
        raise NotFoundError("no such thing")

    async def fault(self) -> None:
        raise KeyError("a fault")

    async def group_of_news(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.not_found())
            group.create_task(self.ask())

    async def nested_group(self) -> None:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [NotFoundError()]), NotFoundError()])

    async def group_with_a_fault(self) -> None:
        raise ExceptionGroup("both", [NotFoundError(), KeyError()])

    async def timeout_around_an_ask(self) -> None:
        async with asyncio.timeout(0.01):
            await self.broken.ask(NeverAnswered())

    async def wait_for_an_ask(self) -> None:
        await asyncio.wait_for(self.broken.ask(NeverAnswered()), 0.01)

    async def timeout_around_a_sleep(self) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(3600.0)


class Start(Message):
    how: str


NEWS = ["ask", "not_found", "group_of_news", "nested_group", "timeout_around_an_ask", "wait_for_an_ask"]
FAULTS = ["fault", "group_with_a_fault", "timeout_around_a_sleep"]


@pytest.mark.parametrize("how", NEWS + FAULTS)
def test_an_error_of_an_ask_or_a_declared_one_fails_the_message_alone(how: str) -> None:
    with Runtime(supervision=Supervision(backoff=0.0)) as runtime:
        doer = runtime.spawn(Doer, runtime.spawn(Broken), name="doer")
        with pytest.raises(HandlerFailed):
            doer.ask(Do(how=how)).result(10)
        assert doer.ask(Do(how="nothing")).result(10) == "done"
        assert runtime.health()["doer"].restarts == (how in FAULTS)


@pytest.mark.parametrize("how", NEWS + FAULTS)
def test_the_same_holds_for_background_tasks(how: str, caplog: pytest.LogCaptureFixture) -> None:
    ended = "a background task ended with" if how in NEWS else "failed, restart 1 follows"
    with Runtime(supervision=Supervision(backoff=0.0)) as runtime, caplog.at_level(logging.WARNING):
        doer = runtime.spawn(Doer, runtime.spawn(Broken), name="doer")
        doer.tell(Start(how=how))
        eventually(lambda: ended in caplog.text)
        assert ("doer: failed, restart" in caplog.text) is (how in FAULTS)
