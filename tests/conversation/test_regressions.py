"""Regressions: faults of an earlier design that must not return."""

import asyncio
from typing import Any

from coterie.conversation import (
    CancelAnswer,
    Conversation,
    Conversations,
    ConversationSettings,
    Delivered,
    OperationState,
    ToolContext,
    TurnOutcome,
    tool,
)
from coterie.conversation.events import Lane
from coterie.models import TextMessage

from .scripted import Gate, Script, all_events, by_words, next_delivery, operation, run, state_of

SETTINGS = ConversationSettings(synthesis_wait=0.1, cancel_grace=0.2)


def gated(name: str = "work", resource: str = "a") -> tuple[Any, Gate, Gate]:
    began, gate = Gate(), Gate()

    @tool(name=name, long_running=True, resources=[resource])
    async def work(context: ToolContext) -> str:
        await context.progress(0.5, f"{name} goes on")
        began.set()
        await gate
        return f"{name} is done"

    return work, began, gate


def test_one_customers_number_is_never_used_in_anothers_call() -> None:
    seen: dict[str, set[str]] = {}

    @tool(long_running=True)
    async def look_up(context: ToolContext, number: str) -> str:
        await asyncio.sleep(0)
        seen.setdefault(context.user, set()).add(number)
        return f"{context.user} {context.namespace[-1]} {number}"

    async def work() -> None:
        async with Conversations(Script(by_words), [look_up]) as host:
            users = {f"user {number}": f"0{number}" for number in range(30)}
            chats = {user: host.open(("customer", number), user=user) for user, number in users.items()}
            streams = [chats[user].send(f'!look_up {{"number": "{number}"}}') for user, number in users.items()]
            for stream in streams:
                await stream.answer()
            for user, chat in chats.items():
                await chat.settle()
                told = [each for each in await all_events(chat) if isinstance(each, Delivered)]
                assert [each.text for each in told] == [f"{user} {users[user]} {users[user]}"]
        assert seen == {user: {number} for user, number in users.items()}

    run(work)


def test_an_interim_answer_that_ends_late_writes_into_no_later_turn() -> None:
    work_tool, _, gate = gated()
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, [work_tool], settings=SETTINGS) as chat:
            await chat.send("!work").answer()
            reached, go = script.hold("turn 2")
            late = chat.send("tell me a long story")
            await reached
            gate.set()
            assert (await late.end()).outcome is TurnOutcome.CUT
            await next_delivery(chat, 0)
            go.set()
            assert await chat.send("something else").answer() == "you said something else"
            last = script.requests[-1]
            assert not last.step.startswith("delivery")
            assert [each.text for each in last.exchanges if isinstance(each, TextMessage)].count("tell me a long story") == 1

    run(work)


def test_the_first_interim_question_is_stored_with_its_answer() -> None:
    work_tool, _, gate = gated()
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, [work_tool], settings=SETTINGS) as chat:
            await chat.send("!work").answer()
            await chat.send("first question").answer()
            gate.set()
            await next_delivery(chat, 0)
            said = [each.text for each in chat.transcript()]
            assert said[2:4] == ["first question", "you said first question"]
        merging = next(each for each in script.requests if each.step.startswith("delivery"))
        texts = [each.text for each in merging.exchanges if isinstance(each, TextMessage)]
        assert texts[-2:] == ["first question", "you said first question"]

    run(work)


def test_messages_during_one_operation_are_not_merged_into_the_next() -> None:
    one, _, first = gated("one")
    two, _, second = gated("two")

    async def work() -> None:
        async with Conversation(Script(by_words), [one, two], settings=SETTINGS) as chat:
            await chat.send("!one").answer()
            await chat.send("chatter").answer()
            first.set()
            assert (await next_delivery(chat, 0)).merged
            last = chat.last_event
            await chat.send("!two").answer()
            second.set()
            delivered = await next_delivery(chat, last)
            # Nothing was said during this one, so there is nothing to merge.
            assert (delivered.merged, delivered.text) == (False, "two is done")

    run(work)


def test_an_answer_is_not_dropped_for_the_words_in_it() -> None:
    work_tool, _, gate = gated()
    text = "Your package is complete and its status includes roaming: finished, done, 100%"

    async def work() -> None:
        async with Conversation(Script(by_words), [work_tool], settings=SETTINGS) as chat:
            await chat.send("!work").answer()
            assert await chat.send(text).answer() == f"you said {text}"
            gate.set()
            await next_delivery(chat, 0)
            assert f"you said {text}" in [each.text for each in chat.transcript()]

    run(work)


def test_messages_right_after_a_long_tool_began_go_to_the_second_lane() -> None:
    work_tool, _, gate = gated()

    async def work() -> None:
        async with Conversation(Script(by_words), [work_tool], settings=SETTINGS) as chat:
            streams = [chat.send("!work"), chat.send("and now"), chat.send("!work")]
            ends = [await each.end() for each in streams]
            assert [each.lane for each in ends] == [Lane.MAIN, Lane.SECOND, Lane.SECOND]
            assert "queue it with request" in ends[2].text
            assert len(chat.operations()) == 1
            gate.set()
            await chat.settle()

    run(work)


def test_a_tool_that_raises_ends_and_the_next_turn_is_free() -> None:
    @tool(long_running=True)
    async def broken() -> None:
        raise RuntimeError("the line is down")

    async def work() -> None:
        async with Conversation(Script(by_words), [broken], settings=SETTINGS) as chat:
            await chat.send("!broken").answer()
            delivered = await next_delivery(chat, 0)
            assert "RuntimeError: the line is down" in delivered.text
            assert state_of(chat, 1) is OperationState.FAILED
            assert (await chat.send("hello").end()).lane is Lane.MAIN

    run(work)


def test_two_operations_do_not_overwrite_each_others_status() -> None:
    one, first_began, first = gated("one", "a")
    two, second_began, second = gated("two", "b")

    async def work() -> None:
        async with Conversation(Script(by_words), [one, two], settings=SETTINGS) as chat:
            await chat.send("!one\n!two").answer()
            await first_began
            await second_began
            status = await chat.send("!check_status").answer()
            assert "op-1 one is running" in status
            assert "op-2 two is running" in status
            second.set()
            await next_delivery(chat, 0)
            assert [state_of(chat, 1), state_of(chat, 2)] == [OperationState.RUNNING, OperationState.SUCCEEDED]
            assert "one goes on" in operation(chat, 1).line
            first.set()
            await chat.settle()
            assert operation(chat, 1).content == "one is done"

    run(work)


def test_a_request_to_cancel_is_heard_while_the_tool_runs_and_while_the_model_speaks() -> None:
    work_tool, began, _ = gated()
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, [work_tool], settings=ConversationSettings(synthesis_wait=30)) as chat:
            await chat.send("!work").answer()
            await began
            reached, go = script.hold("turn 2")
            stream = chat.send("a b c")
            await reached
            assert await chat.cancel("op-1") is CancelAnswer.STOPPED
            go.set()
            assert await stream.answer() == "you said a b c"
            await chat.settle()

    run(work)
