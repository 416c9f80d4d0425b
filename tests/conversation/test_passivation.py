"""Idle conversations are passivated and activated again without loss."""

import asyncio
import gc

from coterie.conversation import Conversation, Conversations, ConversationSettings, TurnBegan, TurnEnded, tool
from coterie.runtime import Runtime
from coterie.testing import ManualClock

from .scripted import Gate, Script, by_words, run, state_of

SETTINGS = ConversationSettings(idle_timeout=60)


async def until(condition: object) -> None:
    assert callable(condition)
    while not condition():
        await asyncio.sleep(0.001)


def test_an_idle_conversation_is_passivated_and_activated_again() -> None:
    async def work() -> None:
        clock = ManualClock()
        async with Conversations(Script(by_words), settings=SETTINGS, clock=clock) as host:
            chat = host.open("a")
            assert await chat.send("one").answer() == "you said one"
            await chat.settle()
            last = chat.last_event
            for _ in range(3):
                await advance_until(clock, lambda: host.metrics().conversations == 0)
                assert host.open("a") is chat
                assert await chat.send("two").answer() == "you said two"
                assert host.metrics().conversations == 1
            found = [each async for each in up_to(chat, last, 3)]
            assert [each.text for each in found] == ["you said two"] * 3
            assert len(chat.transcript()) == 8

    run(work)


async def advance_until(clock: ManualClock, condition: object) -> None:
    assert callable(condition)
    while not condition():
        clock.advance(61)
        await asyncio.sleep(0.001)


async def up_to(chat: Conversation, after: int, turns: int):  # type: ignore[no-untyped-def]
    async for event in chat.events(after):
        if isinstance(event, TurnEnded):
            yield event
            turns -= 1
            if not turns:
                return


def test_a_passivated_conversation_without_references_is_released_until_it_is_opened() -> None:
    async def work() -> None:
        clock = ManualClock()
        async with Conversations(Script(by_words), settings=SETTINGS, clock=clock) as host:
            await host.open("a").send("one").answer()
            await advance_until(clock, lambda: host.metrics().conversations == 0)
            gc.collect()
            chat = host.open("a")
            assert [each.text for each in chat.transcript()] == ["one", "you said one"]
            assert await chat.send("two").answer() == "you said two"

    run(work)


def test_a_conversation_with_readers_or_running_work_is_not_passivated() -> None:
    gate = Gate()

    @tool(long_running=True)
    async def work_on() -> str:
        await gate
        return "done"

    async def work() -> None:
        clock = ManualClock()
        async with Conversations(Script(by_words), [work_on], settings=SETTINGS, clock=clock) as host:
            read, works = host.open("read"), host.open("works")
            reading = asyncio.ensure_future(anext(read.events()))
            await works.send("!work_on").answer()
            await asyncio.sleep(0)
            for _ in range(20):
                clock.advance(61)
                await asyncio.sleep(0.002)
            assert host.metrics().conversations == 2
            assert state_of(works, 1) == "running"
            await read.send("hello").answer()
            assert isinstance(await reading, TurnBegan)
            gate.set()
            await works.settle()

    run(work)


def test_messages_at_the_moment_of_rest_are_all_answered() -> None:
    async def work() -> None:
        async with Conversations(Script(by_words), settings=ConversationSettings(idle_timeout=0.01)) as host:

            async def talk(name: str) -> None:
                chat = host.open(name)
                for number in range(20):
                    assert await chat.send(f"{number}").answer() == f"you said {number}"
                    await asyncio.sleep(0.008 + number % 5 * 0.001)
                assert len(chat.transcript()) == 40

            await asyncio.gather(*(talk(f"c{number}") for number in range(8)))

    run(work)


def test_a_host_is_closed_with_conversations_at_rest() -> None:
    async def work() -> None:
        host = Conversations(Script(by_words), settings=ConversationSettings(idle_timeout=0.01))
        chat = host.open("a")
        await chat.send("one").answer()
        await until(lambda: host.metrics().conversations == 0)
        await host.aclose()
        async for _ in chat.events():
            raise AssertionError("it is over")

    run(work)


def test_reading_ends_when_the_runtime_is_stopped() -> None:
    async def work() -> None:
        runtime = Runtime()
        host = Conversations(Script(by_words), runtime=runtime)
        chat = host.open("a")
        await chat.send("one").answer()

        async def read() -> None:
            async for _ in chat.events(0):
                pass

        reading = asyncio.ensure_future(read())
        await asyncio.to_thread(runtime.stop, drain=False)
        await reading
        await host.aclose()

    run(work)
