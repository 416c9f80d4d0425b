"""Tools of the front end, and files, in a conversation without a server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import Conversation, Conversations, ConversationSettings, ResultsAwaited, ToolReturned, TurnEnded
from coterie.errors.conversation import InvalidText
from coterie.models import Attachment, TextMessage, ToolDefinition

from .scripted import Script, by_words, run

PAINT = ToolDefinition("paint", "Paint the page.", {"type": "object"})
PICTURE = Attachment(media_type="image/png", data=b"png", name="a.png")


async def until_awaited(stream: Any) -> ResultsAwaited:
    async for event in stream:
        if isinstance(event, ResultsAwaited):
            return event
    raise AssertionError("no result is awaited")


def test_a_turn_goes_on_with_the_results_of_the_front_end() -> None:
    async def work() -> None:
        model = Script(by_words)
        async with Conversation(model) as chat:
            stream = chat.send("!paint\n!paint\n!check_status", tools=[PAINT])
            first, second = (await until_awaited(stream)).calls
            assert await chat.supply("call-99-0", "no") == 0
            assert await chat.supply(first, "red") == 1
            assert await chat.supply(first, "again") == 0
            assert await chat.supply(second, "it broke", failed=True) == 1
            assert "red; it broke" in await stream.answer()
            assert "paint" in {each.name for each in model.requests[0].tools}
            # The tools are those of one turn.
            assert "there is no tool 'paint'" in await chat.send("!paint").answer()

    run(work)


@pytest.mark.parametrize("supplied", ["at once", "when asked again", "never"])
def test_a_turn_that_waits_for_the_front_end_goes_on_after_the_process_has_ended(tmp_path: Path, supplied: str) -> None:
    patient = ConversationSettings(frontend_timeout=30.0, shutdown_grace=0, cancel_grace=1)
    settings = ConversationSettings(frontend_timeout=0.05) if supplied == "never" else patient

    async def before() -> str:
        host = Conversations(Script(by_words), store=tmp_path / "chats.db", settings=patient)
        chat = host.open("t")
        stream = chat.send("!paint\n!check_status", tools=[PAINT], id="m")
        (call,) = (await until_awaited(stream)).calls
        # As after a crash: the turn has not ended, and its call has no result.
        await asyncio.to_thread(host.close)
        return call

    async def after(call: str) -> None:
        model = Script(by_words)
        async with Conversations(model, store=tmp_path / "chats.db", settings=settings) as host:
            chat = host.open("t")
            if supplied == "at once":
                await chat.ready()
                assert await chat.supply(call, "red") == 1
                assert await chat.supply(call, "blue") == 0
            stream = chat.send("!paint\n!check_status", tools=[PAINT], id="m")
            if supplied == "when asked again":
                assert (await until_awaited(stream)).calls == (call,)
                assert await chat.supply(call, "red") == 1
            assert ("gave no result" if supplied == "never" else "red") in await stream.answer()
            assert "paint" in {each.name for each in model.requests[0].tools}

    call = run(before)
    run(lambda: after(call))


@pytest.mark.parametrize("end", ["time", "message", "stop"])
def test_a_turn_does_not_wait_for_the_front_end_forever(end: str) -> None:
    async def work() -> None:
        settings = ConversationSettings(frontend_timeout=0.01 if end == "time" else 30.0)
        async with Conversation(Script(by_words), settings=settings) as chat:
            stream = chat.send("!paint", tools=[PAINT])
            (call,) = (await until_awaited(stream)).calls
            if end == "message":
                chat.send("hello")
            elif end == "stop":
                await chat.stop()
            events = [event async for event in stream]
            assert any(isinstance(each, ToolReturned) and each.failed and "gave no result" in each.content for each in events)
            assert isinstance(events[-1], TurnEnded)
            assert await chat.supply(call, "late") == 0

    run(work)


def test_files_reach_models_that_take_them_and_others_are_told() -> None:
    class Picky(Script):
        def accepts(self, media_type: str) -> bool:
            return media_type != "image/png"

    async def work(model: Script, kept: int) -> None:
        async with Conversation(model) as chat:
            await chat.send(
                "look", attachments=[PICTURE, Attachment(media_type="application/pdf", url="https://x.example/a")]
            ).answer()
            await chat.send("again").answer()
        shown = model.requests[-1].exchanges[0]
        assert isinstance(shown, TextMessage)
        assert (len(shown.attachments), "a.png (image/png) is attached" in shown.text) == (kept, kept == 1)

    run(lambda: work(Script(by_words), 2))
    run(lambda: work(Picky(by_words), 1))


@pytest.mark.parametrize(
    ("attachment", "problem"),
    [
        (Attachment(media_type="png", data=b"x"), "media type"),
        (Attachment(media_type="image/png"), "either data or a url"),
        (Attachment(media_type="image/png", data=b"x", url="https://x.example"), "either data or a url"),
        (Attachment(media_type="image/png", data=bytes(20_000_000)), "20000000 bytes, and at most 10000000"),
    ],
)
def test_a_file_that_cannot_be_sent_is_refused(attachment: Attachment, problem: str) -> None:
    async def work() -> None:
        async with Conversation(Script(by_words)) as chat:
            with pytest.raises(InvalidText, match=problem):
                chat.send("look", attachments=[attachment])
            assert await chat.send("hello").answer() == "you said hello"

    run(work)
