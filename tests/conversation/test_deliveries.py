"""Deliveries: once, between turns, merged with the messages in between."""

from typing import Any

from coterie.conversation import (
    Conversation,
    ConversationSettings,
    Delivered,
    OperationState,
    TextWritten,
    TurnEnded,
    TurnOutcome,
    tool,
)
from coterie.errors import ModelError
from coterie.models import ModelReply, ModelRequest, TextMessage, ToolResult

from .scripted import Gate, Script, all_events, by_words, next_delivery, run

SETTINGS = ConversationSettings(synthesis_wait=30)


def long_tool(name: str = "work", resource: str = "a") -> tuple[Any, Gate]:
    gate = Gate()

    @tool(name=name, long_running=True, resources=[resource])
    async def work() -> str:
        await gate
        return f"{name} is complete and its status is fine"

    return work, gate


def test_a_delivery_without_interim_messages_is_plain_and_asks_no_model() -> None:
    work_tool, gate = long_tool()
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, [work_tool], settings=SETTINGS) as chat:
            await chat.send("!work").answer()
            asked = len(script.requests)
            gate.set()
            delivered = await next_delivery(chat, 0)
            assert (delivered.text, delivered.merged) == ("work is complete and its status is fine", False)
            await chat.settle()
            assert len(script.requests) == asked

    run(work)


def test_with_something_said_meanwhile_a_model_merges_and_sees_all_of_it() -> None:
    work_tool, gate = long_tool()
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, [work_tool], settings=SETTINGS) as chat:
            await chat.send("!work").answer()
            await chat.send("what is the weather").answer()
            gate.set()
            delivered = await next_delivery(chat, 0)
            assert delivered.merged
            assert delivered.text.startswith("merged: ")
            written = [each for each in await all_events(chat) if isinstance(each, TextWritten) and each.delivery]
            assert "".join(each.text for each in written) == delivered.text

    run(work)
    prompt = script.requests[-1]
    assert prompt.step.startswith("delivery op-1")
    said = [each.text for each in prompt.exchanges if isinstance(each, TextMessage)]
    assert "what is the weather" in said
    assert "you said what is the weather" in said
    assert any("complete and its status is fine" in each.content for each in prompt.exchanges if isinstance(each, ToolResult))


def test_results_that_end_together_are_delivered_together() -> None:
    one, first = long_tool("one", "a")
    two, second = long_tool("two", "b")
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, [one, two], settings=SETTINGS) as chat:
            await chat.send("!one\n!two").answer()
            reached, go = script.hold("turn 2")
            stream = chat.send("tell me a story")
            await reached
            first.set()
            second.set()
            while chat.operations(unfinished=True):
                await chat.cancel("op-1")
            go.set()
            assert (await stream.end()).outcome is TurnOutcome.ANSWERED
            await chat.settle()
            delivered = [each for each in await all_events(chat) if isinstance(each, Delivered)]
            assert [[one.id for one in each.operations] for each in delivered] == [["op-1", "op-2"]]

    run(work)


def test_a_result_never_cuts_across_a_turn_and_waits_for_its_end() -> None:
    work_tool, gate = long_tool()
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, [work_tool], settings=SETTINGS) as chat:
            await chat.send("!work").answer()
            reached, go = script.hold("turn 2")
            stream = chat.send("one two three")
            await reached
            gate.set()
            while chat.operations(unfinished=True):
                await chat.cancel("op-1")
            assert not [each for each in await all_events(chat) if isinstance(each, Delivered)]
            go.set()
            assert await stream.answer() == "you said one two three"
            await chat.settle()
            kinds = [type(each) for each in await all_events(chat) if isinstance(each, TurnEnded | Delivered)]
            assert kinds == [TurnEnded, TurnEnded, Delivered]

    run(work)


def test_an_endless_answer_is_cut_after_synthesis_wait_and_its_text_is_stored() -> None:
    work_tool, gate = long_tool()
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, [work_tool], settings=ConversationSettings(synthesis_wait=0.1)) as chat:
            await chat.send("!work").answer()
            reached, _ = script.hold("turn 2")
            stream = chat.send("one two three")
            await reached
            gate.set()
            end = await stream.end()
            assert (end.outcome, end.text) == (TurnOutcome.CUT, "you said one two ")
            delivered = await next_delivery(chat, end.id)
            assert delivered.merged
            # And what was cut can write nothing into the next turn.
            assert await chat.send("hello").answer() == "you said hello"
            texts = [each.text for each in chat.transcript()]
            assert texts[2:4] == ["one two three", "you said one two "]

    run(work)


def test_a_model_that_fails_to_merge_does_not_lose_the_result() -> None:
    work_tool, gate = long_tool()

    def answer(request: ModelRequest) -> ModelReply | str | Exception:
        return ModelError("overloaded") if request.step.startswith("delivery") else by_words(request)

    async def work() -> None:
        async with Conversation(Script(answer), [work_tool], settings=SETTINGS) as chat:
            await chat.send("!work").answer()
            await chat.send("hello").answer()
            gate.set()
            delivered = await next_delivery(chat, 0)
            assert (delivered.text, delivered.merged) == ("work is complete and its status is fine", False)

    run(work)


def test_a_tool_may_word_its_own_delivery() -> None:
    @tool(long_running=True, report=lambda operation: f"your parcel: {operation.content}")
    async def send() -> str:
        return "on its way"

    @tool(long_running=True, report=lambda operation: str(1 / 0))
    async def other() -> str:
        return "other result"

    async def work() -> None:
        async with Conversation(Script(by_words), [send, other]) as chat:
            await chat.send("!send").answer()
            assert (await next_delivery(chat, 0)).text == "your parcel: on its way"
            last = chat.last_event
            await chat.send("!other").answer()
            assert (await next_delivery(chat, last)).text == "other result"

    run(work)


def test_each_outcome_is_delivered_once_also_over_a_restart(tmp_path: Any) -> None:
    work_tool, gate = long_tool()

    async def work() -> None:
        options: dict[str, Any] = {"store": tmp_path / "x.db", "settings": SETTINGS}
        async with Conversation(Script(by_words), [work_tool], **options) as chat:
            await chat.send("!work").answer()
            gate.set()
            await next_delivery(chat, 0)
        for _ in range(3):
            async with Conversation(Script(by_words), [work_tool], **options) as chat:
                await chat.settle()
                delivered = [each for each in await all_events(chat) if isinstance(each, Delivered)]
                assert len(delivered) == 1
                assert [each.state for each in chat.operations()] == [OperationState.SUCCEEDED]

    run(work)


def test_a_front_end_that_went_away_reads_on_where_it_was() -> None:
    work_tool, gate = long_tool()
    script = Script(by_words)

    async def work() -> None:
        async with Conversation(script, [work_tool], settings=ConversationSettings(kept_events=4)) as chat:
            reached, go = script.hold("turn 1")
            stream = chat.send("one two three")
            await anext(stream)
            await reached
            # It goes away in the middle; the work goes on, and the result waits.
            last = (await anext(stream)).id
            go.set()
            del stream
            await chat.send("!work").answer()
            gate.set()
            await chat.settle()
            later = [each async for each in until_delivered(chat, last)]
            assert next(each.text for each in later if isinstance(each, TurnEnded)) == "you said one two three"
            assert isinstance(later[-1], Delivered)
            assert [each.id for each in later] == sorted({each.id for each in later})
            assert all(each.id > last for each in later)

    run(work)


async def until_delivered(chat: Conversation, after: int) -> Any:
    async for event in chat.events(after):
        yield event
        if isinstance(event, Delivered):
            return
