"""Conversations on given runtimes, dispatchers, clocks and databases."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from coterie import Dedicated, Runtime
from coterie.conversation import Conversation, Conversations, OperationState, TextWritten, ToolContext, TurnEnded, tool
from coterie.testing import ManualClock

from .scripted import Gate, Script, by_words, next_delivery, run, state_of


@tool(effect="write", resources=["a"])
async def work_on(context: ToolContext, what: str) -> str:
    await context.progress(0.5, what)
    return f"{what} is done"


async def talk(host: Conversations) -> None:
    chats = [host.open(("customer", str(number))) for number in range(5)]
    for chat in chats:
        assert await chat.send('!work_on {"what": "it"}').answer() == "it is done"
        assert await chat.send("hello").answer() == "you said hello"
        await chat.settle()
        assert state_of(chat, 1) is OperationState.SUCCEEDED


@pytest.mark.parametrize(
    "make",
    [lambda: Runtime(strict=True), lambda: Runtime(dispatcher=Dedicated()), Runtime],
    ids=["strict", "dedicated", "leased"],
)
def test_conversations_run_on_a_runtime_that_is_given_and_leave_it_running(make: Callable[[], Runtime]) -> None:
    async def work() -> None:
        with make() as runtime:
            for _ in range(2):
                async with Conversations(Script(by_words), [work_on], runtime=runtime) as host:
                    await talk(host)
            assert runtime.agents() == []

    run(work)


def test_conversations_are_stored_in_postgres(postgres_url: str) -> None:
    async def work() -> None:
        async with Conversations(Script(by_words), [work_on], store=postgres_url) as host:
            await talk(host)
        async with Conversations(Script(by_words), [work_on], store=postgres_url) as host:
            assert len(host.namespaces()) == 5
            assert len(host.open(("customer", "3")).transcript()) == 4

    run(work)


def test_patience_uses_the_given_clock() -> None:
    clock, began, gate = ManualClock(), Gate(), Gate()

    @tool(patience=60)
    async def slow() -> str:
        began.set()
        await gate
        return "done"

    async def work() -> None:
        async with Conversation(Script(by_words), [slow], clock=clock) as chat:
            stream = chat.send("!slow")
            await began
            answer = asyncio.create_task(stream.answer())
            while not answer.done():
                # In steps, for nobody knows when the turn begins to wait.
                clock.advance(10)
                await asyncio.sleep(0.001)
            assert "In the background" in await answer
            assert clock.monotonic() >= 60
            gate.set()
            assert (await next_delivery(chat, 0)).text == "done"

    run(work)


def test_a_reading_that_was_cancelled_goes_on_where_it_was() -> None:
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script) as chat:
            reached, go = script.hold("turn 1")
            stream = chat.send("one two")
            await reached
            found: list[Any] = []

            async def read() -> None:
                while True:
                    found.append(await anext(stream))

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(), 0.05)
            go.set()
            found += [event async for event in stream]
            assert "".join(each.text for each in found if isinstance(each, TextWritten)) == "you said one two"
            assert isinstance(found[-1], TurnEnded)

    run(work)


def test_many_open_one_namespace_at_once_and_get_one_conversation() -> None:
    from coterie.testing import run_together  # noqa: PLC0415 - the one use

    with Conversations(Script(by_words)) as host:
        chats: list[Conversation] = []
        run_together(*[lambda: chats.append(host.open("a"))] * 8)
        assert len(set(map(id, chats))) == 1
