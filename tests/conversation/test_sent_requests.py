"""Requests to the model are kept as they were sent: bounded, masked, and stored if the settings ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from coterie.conversation import Conversation, ConversationSettings, Secret, StoredConversations, forget_user, tool
from coterie.errors import InvalidSetting, ModelError
from coterie.models import Attachment, ModelRequest, TextMessage, ToolCall
from coterie.storage import open_database

from .scripted import Script, by_words, run


@tool(effect="read")
def double(n: int) -> str:
    """Double a number."""
    return str(2 * n)


@tool(effect="write", resources=["s"])
def sign_in(code: Annotated[str, Secret]) -> str:
    """Sign in."""
    return f"in with {len(code)} letters"


def test_each_request_is_kept_as_it_was_sent_with_its_end() -> None:
    async def work() -> None:
        script = Script(by_words)
        async with Conversation(script, [double]) as chat:
            await chat.send('!double {"n": 4}').answer()
            kept = chat.requests()
            assert [each.request for each in kept] == script.requests
            assert [(each.number, each.turn, each.model, each.outcome) for each in kept] == [
                (1, 1, "script", "stop"),
                (2, 1, "script", "stop"),
            ]
            assert "double" in [each.name for each in kept[0].request.tools]
            assert all(each.seconds is not None for each in kept)
            assert chat.requests(turn=2) == ()
            assert chat.requests(newest=1) == kept[1:]
            script.answer = lambda _: ModelError("the line is dead")
            await chat.send("hello").end()
            assert chat.requests(turn=2)[-1].outcome == "failed"
            assert "the line is dead" in chat.requests(turn=2)[-1].problem

    run(work)


def test_a_request_can_be_read_while_the_model_answers_and_the_oldest_is_dropped() -> None:
    async def work() -> None:
        script = Script(by_words)
        reached, go_on = script.hold("turn 4/")
        async with Conversation(script, settings=ConversationSettings(kept_requests=2)) as chat:
            for text in ("a", "b", "c"):
                await chat.send(text).answer()
            stream = chat.send("the last")
            await reached
            open_one = chat.requests()[-1]
            assert (open_one.number, open_one.seconds, open_one.outcome) == (4, None, "")
            go_on.set()
            await stream.answer()
            assert [each.number for each in chat.requests()] == [3, 4]

    run(work)


def test_a_secret_is_masked_in_all_requests_also_in_stored_ones(tmp_path: Path) -> None:
    def answer(request: ModelRequest) -> object:
        last = request.exchanges[-1]
        if isinstance(last, TextMessage) and "sign in" in last.text:
            from coterie.models import ModelReply  # noqa: PLC0415

            return ModelReply(calls=(ToolCall("c", "sign_in", {"code": "SECRET-9XQ7"}),))
        return "fine"

    async def work() -> None:
        script = Script(answer)  # type: ignore[arg-type]
        settings = ConversationSettings(stored_requests=100)
        async with Conversation(script, [sign_in], store=tmp_path / "c.db", settings=settings) as chat:
            await chat.send("my code is SECRET-9XQ7").answer()
            await chat.send("sign in with it").answer()
            assert "9XQ7" in repr(script.requests[1])
            assert "9XQ7" not in repr(chat.requests())

    run(work)
    with StoredConversations(tmp_path / "c.db") as stored:
        kept = stored.requests("default")
        assert len(kept) == 3
        assert "9XQ7" not in repr(kept)
        assert "[secret]" in repr(kept[0])


def test_requests_are_stored_only_if_asked_for_and_bounded_and_counted_on(tmp_path: Path) -> None:
    async def talk(stored: int, *texts: str) -> list[int]:
        settings = ConversationSettings(stored_requests=stored, kept_requests=0)
        async with Conversation(Script(by_words), store=tmp_path / "c.db", settings=settings, user="ann") as chat:
            for text in texts:
                picture = Attachment(media_type="image/png", data=b"x" * 1000, name="p.png")
                await chat.send(text, attachments=[picture]).answer()
            return [each.number for each in chat.requests()]

    assert run(lambda: talk(0, "a")) == []
    assert run(lambda: talk(3, "b", "c")) == [1, 2]
    assert run(lambda: talk(3, "d", "e")) == [2, 3, 4]
    with StoredConversations(tmp_path / "c.db") as stored:
        last = stored.requests("default")[-1]
        assert [each.request.exchanges[-1].text for each in stored.requests("default", turn=5)] == ["e"]  # type: ignore[union-attr]
        assert "p.png, 1,000 bytes" in repr(last)
        assert b"xxxx" not in repr(last).encode()
    with open_database(tmp_path / "c.db") as database:
        forget_user(database, "ann")
    with StoredConversations(tmp_path / "c.db") as stored:
        assert stored.requests("default") == ()


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="kept_requests"):
        ConversationSettings(kept_requests=-1)
    with pytest.raises(InvalidSetting, match="stored_requests"):
        ConversationSettings(stored_requests=-1)
