"""What becomes of the value that a handler returns."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from coterie import Agent, AgentRef, AskTimeout, Request, Runtime, on


class GetList(Request[list[int]]):
    pass


class GetDict(Request[dict[str, int]]):
    pass


class Holder(Agent):
    def __init__(self) -> None:
        self.numbers = [1, 2]
        self.table = {"a": 1}

    @on
    def get_list(self, message: GetList) -> list[int]:
        return self.numbers

    @on
    async def get_dict(self, message: GetDict) -> dict[str, int]:
        return self.table


def test_an_asker_may_change_its_answer_and_the_agent_keeps_its_state() -> None:
    with Runtime() as runtime:
        holder = runtime.spawn(Holder)
        holder.ask(GetList()).result(10).clear()
        holder.ask(GetDict()).result(10).clear()
        assert holder.ask(GetList()).result(10) == [1, 2]
        assert holder.ask(GetDict()).result(10) == {"a": 1}


class Answer(Request[int]):
    how: str


class Returning(Agent):
    def __init__(self, other: AgentRef | None = None) -> None:
        self.other = other

    async def seven(self) -> int:
        await asyncio.sleep(0)
        return 7

    @on
    def answer(self, message: Answer) -> Any:
        return getattr(self, message.how)()

    @on
    async def answer_later(self, message: "AnswerLater") -> Any:
        return getattr(self, message.how)()

    def coroutine(self) -> Awaitable[int]:
        return self.seven()

    def task(self) -> Awaitable[int]:
        return self.context.create_task(self.seven())

    def blocking_call(self) -> Awaitable[int]:
        return self.context.run_blocking(lambda: 7)

    def reply(self) -> Awaitable[int]:
        assert self.other is not None
        return self.other.ask(Answer(how="coroutine"))


class AnswerLater(Answer):
    pass


@pytest.mark.parametrize("kind", [Answer, AnswerLater])
@pytest.mark.parametrize("how", ["coroutine", "task", "blocking_call", "reply"])
@pytest.mark.parametrize("strict", [False, True])
def test_an_awaitable_that_a_handler_returns_is_awaited(kind: type[Answer], how: str, *, strict: bool) -> None:
    with Runtime(strict=strict) as runtime:
        agent = runtime.spawn(Returning, runtime.spawn(Returning))
        assert agent.ask(kind(how=how)).result(10) == 7


class Wait(Request[int]):
    pass


class Waiting(Agent):
    ended = 0

    @on
    async def wait(self, message: Wait) -> int:
        try:
            await asyncio.sleep(3600.0)
        finally:
            type(self).ended += 1
        return 1


class Forwarding(Agent):
    def __init__(self, to: AgentRef) -> None:
        self.to = to

    @on
    def wait(self, message: Wait) -> int:
        return self.to.ask(message)  # type: ignore[return-value] # the reply is passed on


def test_the_end_of_an_ask_ends_the_ask_that_it_was_passed_on_to() -> None:
    with Runtime() as runtime:
        waiting = runtime.spawn(Waiting)
        with pytest.raises(AskTimeout):
            runtime.spawn(Forwarding, waiting).ask(Wait(), timeout=0.02).result(10)
        waiting.stop().result(10)
        assert Waiting.ended == 1
