"""Odd exceptions and results of tools have a clear outcome, and the conversation continues."""

import asyncio
from typing import Any

import pytest

from coterie.conversation import Conversation, ConversationSettings, Finding, OperationState, Tool, ToolContext, tool

from .scripted import Script, by_words, operation, run, state_of

HALF = "\ud800"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


class Traitor:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise KeyError("no")


@tool(effect="read")
def stops_iterating() -> None:
    raise StopIteration


@tool(effect="read")
async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@tool(effect="read")
def has_an_error_without_text() -> None:
    raise Unspeakable


@tool(effect="read")
def returns_a_traitor() -> Any:
    return Traitor()


@tool(effect="read")
def raises_half_a_character() -> None:
    raise ValueError(HALF)


@pytest.mark.parametrize(
    "odd", [stops_iterating, cancels_itself, has_an_error_without_text, returns_a_traitor, raises_half_a_character]
)
def test_any_exception_of_a_tool_is_reported_at_once(odd: Tool) -> None:
    async def work() -> None:
        async with Conversation(Script(by_words), [odd], settings=ConversationSettings(patience=60)) as chat:
            assert "failed" in await chat.send(f"!{odd.name}").answer()
            assert state_of(chat, 1) is OperationState.FAILED
            assert await chat.send("hello").answer() == "you said hello"

    run(work)


@tool(effect="read")
def says_half(context: ToolContext) -> str:
    context.progress(0.5, HALF + "x" * 10_000)
    return "ok"


@tool(effect="read", resources=lambda: [HALF])
def touches_half() -> str:
    return "ok"


@tool(effect="write", idempotency_key=lambda: HALF)
def keyed_by_half() -> str:
    return "ok"


@tool(effect="read", guard=lambda: HALF)
def guarded_by_half() -> str:
    return "ok"


@pytest.mark.parametrize(
    ("odd", "answer"), [(says_half, "ok"), (touches_half, "ok"), (keyed_by_half, "ok"), (guarded_by_half, "?")]
)
def test_half_a_character_from_a_tool_harms_nothing(odd: Tool, answer: str) -> None:
    async def work() -> None:
        async with Conversation(Script(by_words), [odd]) as chat:
            assert await chat.send(f"!{odd.name}").answer() == answer
            assert await chat.send("hello").answer() == "you said hello"

    run(work)


def test_a_too_long_result_is_cut_with_a_note() -> None:
    @tool(effect="read")
    def long() -> str:
        return "x" * 1_000

    async def work() -> None:
        async with Conversation(Script(by_words), [long], settings=ConversationSettings(longest_result=10)) as chat:
            assert await chat.send("!long").answer() == (
                "xxxxxxxxxx\n[cut: the result has 1000 characters, and the first 10 are shown]"
            )
            assert operation(chat, 1).content.startswith("xxxxxxxxxx\n[cut")

    run(work)


def test_calls_without_an_idempotency_key_of_their_own_are_not_one() -> None:
    @tool(effect="write", idempotency_key=lambda order: order)
    def buy(order: str | None = None) -> str:
        return f"bought {order}"

    async def work() -> None:
        async with Conversation(Script(by_words), [buy]) as chat:
            for _ in range(2):
                assert await chat.send("!buy").answer() == "bought None"
            assert len(chat.operations()) == 2

    run(work)


def test_functions_beside_a_tool_get_the_arguments_that_they_name() -> None:
    @tool(effect="read", resources=lambda number: [f"n{number}"], check=Finding.unknown)
    def look(number: int, more: bool = False) -> str:
        return f"{number} {more}"

    async def work() -> None:
        async with Conversation(Script(by_words), [look]) as chat:
            assert await chat.send('!look {"number": 3}').answer() == "3 False"
            assert operation(chat, 1).resources == ("n3",)

    run(work)
