"""A reader gets the whole text of an answer, however slow it is, however late it comes, and whatever cut the answer off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from coterie.conversation import (
    AnyConversationEvent,
    Conversation,
    ConversationSettings,
    TextWritten,
    ToolCalled,
    TurnEnded,
    TurnOutcome,
    tool,
)
from coterie.errors import ModelError
from coterie.models import Finish, ModelReply, ModelRequest, TextDelta, TextMessage, ToolCall, ToolResult
from tests.conversation.scripted import Script, run

LONG = " ".join(f"word{k}" for k in range(2_000))
FEW = ConversationSettings(kept_events=16)


@tool(effect="read")
def weather() -> str:
    """Tell the weather."""
    return "rain"


def two_texts(request: ModelRequest) -> ModelReply:
    if isinstance(request.exchanges[-1], ToolResult):
        return ModelReply(text=f"after {LONG}")
    return ModelReply(text=f"before {LONG}", calls=(ToolCall("c", "weather", {}),))


async def read_all(events: AsyncIterator[AnyConversationEvent], pause: float) -> list[AnyConversationEvent]:
    found = []
    async for event in events:
        found.append(event)
        if isinstance(event, TextWritten):
            await asyncio.sleep(pause)
        if isinstance(event, TurnEnded):
            break
    return found


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kept", [1, 16, 512])
def test_the_pieces_that_a_slow_reader_gets_make_up_each_text_in_its_place(kept: int, late: bool) -> None:
    async def work() -> None:
        async with Conversation(Script(two_texts), [weather], settings=ConversationSettings(kept_events=kept)) as chat:
            stream = chat.send("go")
            if late:
                await chat.settle()
            found = await read_all(stream, 0.0005)
            texts = [""]
            for event in found:
                if isinstance(event, ToolCalled):
                    texts.append("")
                elif isinstance(event, TextWritten):
                    assert event.offset == len(texts[-1])
                    texts[-1] += event.text
            assert texts == [f"before {LONG}", f"after {LONG}"]
            assert [event.id for event in found] == sorted(event.id for event in found)

    run(work)


def test_a_reader_that_begins_in_the_middle_of_a_text_gets_the_rest_and_nothing_twice() -> None:
    async def work() -> None:
        model = Script(lambda _: LONG)
        reached, go = model.hold("turn")
        async with Conversation(model) as chat:
            stream = chat.send("go")
            await reached
            middle = chat.last_event
            events = chat.events(after=middle)
            go.set()
            rest = await read_all(events, 0)
            whole = await read_all(stream, 0)
            assert "".join(each.text for each in rest if isinstance(each, TextWritten)) == "word1999"
            assert "".join(each.text for each in whole if isinstance(each, TextWritten)) == LONG

    run(work)


class Slow:
    """Writes for longer than the limit for silence; then, if so told, fails or falls silent."""

    name = "slow"

    def __init__(self, end: str) -> None:
        self.end = end
        self.requests: list[ModelRequest] = []

    async def ask(self, request: ModelRequest) -> ModelReply:
        raise NotImplementedError

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        self.requests.append(request)
        for k in range(8):
            yield TextDelta(f"w{k} ")
            await asyncio.sleep(0.05)
        if self.end == "silent" and len(self.requests) == 1:
            await asyncio.sleep(30)
        if self.end == "fails" and len(self.requests) == 1:
            raise ModelError("the line broke")
        yield ModelReply(text="".join(f"w{k} " for k in range(8)))


@pytest.mark.parametrize("end", ["ends", "silent", "fails"])
def test_the_limit_of_a_model_is_for_silence_and_the_shown_text_is_kept(end: str) -> None:
    async def work() -> None:
        model = Slow(end)
        async with Conversation(model, settings=ConversationSettings(model_timeout=0.2)) as chat:
            found = await read_all(chat.send("go"), 0)
            ended = found[-1]
            assert isinstance(ended, TurnEnded)
            assert ended.outcome is (TurnOutcome.ANSWERED if end == "ends" else TurnOutcome.FAILED)
            assert "w0 w1 w2 w3 w4 w5 w6 w7" in ended.text
            assert "".join(each.text for each in found if isinstance(each, TextWritten)) == ended.text
            await chat.send("and now?").end()
            shown = [each.text for each in model.requests[-1].exchanges if isinstance(each, TextMessage)]
            assert shown == ["go", ended.text, "and now?"]

    run(work)


@pytest.mark.parametrize("finish", [Finish.LENGTH, Finish.FILTERED])
def test_the_calls_of_a_reply_that_is_not_complete_are_not_run(finish: Finish) -> None:
    sent = []

    @tool(effect="write", resources=["mail"])
    def send_mail(to: str, body: str = "") -> str:
        """Send a mail."""
        sent.append((to, body))
        return "sent"

    def answer(request: ModelRequest) -> ModelReply:
        last = request.exchanges[-1]
        if isinstance(last, ToolResult):
            return ModelReply(text=last.content)
        return ModelReply(calls=(ToolCall("c", "send_mail", {"to": "all"}), ToolCall("d", "list", {})), finish=finish)

    async def work() -> None:
        async with Conversation(Script(answer), [send_mail]) as chat:
            assert str(finish) in await chat.send("go").answer()
            assert not chat.operations()
        assert not sent

    run(work)


def test_a_model_whose_replies_are_always_cut_ends_the_turn() -> None:
    async def work() -> None:
        model = Script(lambda _: ModelReply(calls=(ToolCall("c", "weather", {}),), finish=Finish.LENGTH))
        async with Conversation(model, [weather]) as chat:
            assert (await chat.send("go").end()).outcome is TurnOutcome.FAILED
            assert len(model.requests) <= 5

    run(work)
