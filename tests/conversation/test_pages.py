"""What a front end needs that is loaded anew: pages of the transcript, what runs now, and a way to stop an answer."""

import asyncio

import pytest

from coterie.conversation import (
    Conversation,
    ConversationSettings,
    TextWritten,
    TranscriptMessage,
    TurnEnded,
    TurnOutcome,
    tool,
)
from coterie.errors import InvalidSetting
from coterie.models import TextMessage

from .scripted import Gate, Script, by_words, run

SETTINGS = ConversationSettings(patience=30, grace=0.02)


@tool(effect="read")
def double(n: int) -> str:
    return str(2 * n)


def test_the_transcript_is_read_in_pages_from_the_end() -> None:
    async def work() -> None:
        async with Conversation(Script(by_words), [double], settings=SETTINGS) as chat:
            for n in range(12):
                await chat.send(f'!double {{"n": {n}}}' if n % 4 == 0 else f"m{n}", id=f"id-{n}").answer()
            whole = chat.page(limit=100)
            assert (len(whole.messages), whole.before, whole.running) == (24, None, None)
            assert whole.last_event == chat.last_event
            pages: list[tuple[TranscriptMessage, ...]] = []
            before = None
            while True:
                page = chat.page(before, limit=5)
                pages.insert(0, page.messages)
                before = page.before
                if before is None:
                    break
            assert sum(pages, ()) == whole.messages
            first, answer = whole.messages[:2]
            assert (first.role, first.message, first.id) == ("user", "id-0", answer.began)
            assert [(each.tool, each.content) for each in answer.calls] == [("double", "0")]
            assert (answer.text, answer.outcome) == ("0", "answered")
            for wrong in ({"limit": 0}, {"before": -1}, {"before": 1.5}):
                with pytest.raises(InvalidSetting):
                    chat.page(**wrong)

    run(work)


def test_a_page_has_the_answer_that_is_being_written_and_events_go_on_behind_it() -> None:
    async def work() -> None:
        script = Script(by_words)
        reached, go_on = script.hold("turn 2")
        async with Conversation(script, [double]) as chat:
            await chat.send("hello").answer()
            answering = chat.send("one two three")
            await reached
            page = chat.page()
            assert page.running is not None
            assert (page.running.turn, page.running.text) == (2, "you said one two ")
            assert [each.text for each in page.messages] == ["hello", "you said hello", "one two three"]
            go_on.set()
            rest = ""
            async for event in chat.events(after=page.last_event):
                if isinstance(event, TextWritten):
                    rest += event.text
                if isinstance(event, TurnEnded):
                    break
            assert page.running.text + rest == await answering.answer()
            assert chat.page().running is None

    run(work)


def test_an_answer_is_stopped_and_what_was_said_is_kept() -> None:
    async def work() -> None:
        script = Script(by_words)
        reached, _ = script.hold("turn 1")
        async with Conversation(script) as chat:
            assert not await chat.stop()
            answering = chat.send("one two three")
            await reached
            assert not await chat.stop(7)
            assert await chat.stop(1)
            ended = await answering.end()
            assert (ended.outcome, ended.text) == (TurnOutcome.STOPPED, "you said one two ")
            script.gates.clear()
            assert await chat.send("go on").answer() == "you said go on"
        assert TextMessage("assistant", "you said one two ") in script.requests[-1].exchanges

    run(work)


def test_a_stopped_turn_leaves_its_tool_running() -> None:
    async def work() -> None:
        begun, gate = Gate(), Gate()

        @tool(resources=["parcel"])
        async def send_parcel() -> str:
            begun.set()
            await gate
            return "sent"

        async with Conversation(Script(by_words), [send_parcel], settings=SETTINGS) as chat:
            answering = chat.send("!send_parcel")
            await begun
            while not await chat.stop():
                await asyncio.sleep(0)
            assert (await answering.end()).outcome is TurnOutcome.STOPPED
            gate.set()
            await chat.settle()
            assert chat.page().messages[-1].text == "sent"

    run(work)
