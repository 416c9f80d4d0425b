"""An invalid model reply costs one turn and never the conversation; it is stored in a sanitized form."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import Conversation, ConversationSettings, TurnOutcome, tool
from coterie.errors import ModelError
from coterie.models import ModelReply, ModelRequest, TextDelta, ToolCall

from .scripted import Script, by_words, run

HALF = "\ud800"
"""Half of a pair: what ``json.loads`` makes of an escape that a model has broken off."""


@tool(effect="read")
def echo(x: Any) -> str:
    return repr(x)


class Says:
    """A model that says these pieces, or raises them."""

    name = "says"

    def __init__(self, *pieces: Any) -> None:
        self.pieces = pieces

    async def ask(self, _request: ModelRequest) -> ModelReply:
        raise NotImplementedError

    async def stream(self, _request: ModelRequest) -> AsyncIterator[Any]:
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece


class RaisesAtOnce:
    name = "raises"

    def stream(self, _request: ModelRequest) -> Any:
        raise ValueError("no stream")


def call(name: Any, arguments: Any) -> ModelReply:
    return ModelReply(calls=(ToolCall("1", name, arguments),))


NONSENSE: dict[str, Any] = {
    "half a character in a call": Says(call("echo", {"x": HALF})),
    "a value without a form": Says(call("echo", {"x": object()})),
    "an integer that is too large": Says(call("echo", {"x": 10**30})),
    "not a number": Says(call("echo", {"x": float("nan")})),
    "arguments that are a text": Says(call("echo", "no object")),
    "arguments that are a list": Says(call("echo", [1])),
    "no arguments": Says(call("echo", None)),
    "keys that are no texts": Says(call("echo", {1: 2})),
    "a tool without a name": Says(call(None, {})),
    "half a character in a name": Says(call(HALF, {})),
    "half a character in a request": Says(call("request", {"tool": "echo", "arguments": {"x": HALF}})),
    "a text that is none": Says(ModelReply(text=None)),  # type: ignore[arg-type]
    "calls that are none": Says(ModelReply(calls=(None,))),  # type: ignore[arg-type]
    "a piece that is none": Says(TextDelta(3)),  # type: ignore[arg-type]
    "an interrupt": Says(KeyboardInterrupt()),
    "an exit": Says(SystemExit(2)),
    "the end of a generator": Says(GeneratorExit()),
    "an error with half a character": Says(ModelError(HALF)),
    "no stream at all": RaisesAtOnce(),
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_of_a_model_fails_the_turn_and_leaves_a_conversation_that_can_be_opened(nonsense: Any, tmp_path: Path) -> None:
    async def work() -> None:
        async with Conversation(nonsense, [echo], store=tmp_path / "x.db") as chat:
            end = await chat.send("hello").end()
            assert end.outcome is TurnOutcome.FAILED
            assert end.text.startswith("I am sorry")
        async with Conversation(Script(by_words), [echo], store=tmp_path / "x.db") as chat:
            assert await chat.send("again").answer() == "you said again"

    run(work)


def test_half_a_character_in_an_answer_becomes_a_question_mark() -> None:
    async def work() -> None:
        async with Conversation(Says(TextDelta("a" + HALF), ModelReply(text="a" + HALF))) as chat:
            assert await chat.send("hello").answer() == "a?"

    run(work)


def test_arguments_that_come_as_the_text_of_an_object_are_read() -> None:
    replies: Any = iter([call("echo", '{"x": 7}'), "done"])
    script = Script(lambda _: next(replies))

    async def work() -> None:
        async with Conversation(script, [echo]) as chat:
            await chat.send("hello").answer()
            assert [(each.arguments, each.content) for each in chat.operations()] == [({"x": 7}, "7")]

    run(work)


def test_a_fault_of_our_own_in_a_turn_costs_that_turn_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from coterie.conversation.session.tool_calls import ToolCallPolicy  # noqa: PLC0415 - the one use

    async def broken(*_: Any, **__: Any) -> Any:
        raise LookupError("a fault")

    async def work() -> None:
        async with Conversation(Script(by_words), [echo], settings=ConversationSettings(patience=5)) as chat:
            with monkeypatch.context() as patch:
                patch.setattr(ToolCallPolicy, "decide", broken)
                end = await chat.send('!echo {"x": 1}').end()
            assert (end.outcome, end.problem) == (TurnOutcome.FAILED, "LookupError: a fault")
            assert await chat.send('!echo {"x": 1}').answer() == "1"

    run(work)


def test_a_model_that_blocks_its_thread_holds_up_no_other_conversation() -> None:
    class Blocks(Script):
        async def stream(self, request: ModelRequest) -> Any:
            if "block" in str(request.exchanges):
                time.sleep(0.3)  # noqa: ASYNC251 - it is what is tried
            async for piece in super().stream(request):
                yield piece

    from coterie.conversation import Conversations  # noqa: PLC0415 - the one use

    async def work() -> None:
        async with Conversations(Blocks(by_words)) as host:
            slow = asyncio.ensure_future(host.open("a").send("block").answer())
            await host.open("b").send("hello").answer()
            assert not slow.done()
            await slow

    run(work)
