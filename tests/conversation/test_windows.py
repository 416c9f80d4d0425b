"""A prompt that the model's window does not hold is cut, oldest first, and the conversation goes on."""

from __future__ import annotations

import functools

from coterie.conversation import Conversation, TurnOutcome, tool
from coterie.errors import ContextTooLong
from coterie.models import ModelReply, ModelRequest, TextMessage, ToolCall, ToolResult
from tests.conversation.scripted import Script, run


@tool(effect="read")
def transcript(n: int) -> str:
    """Return a long text."""
    return str(n) * 40_000


def length(request: ModelRequest) -> int:
    texts = [each.content if isinstance(each, ToolResult) else getattr(each, "text", "") for each in request.exchanges]
    return sum(map(len, texts))


def test_a_full_window_is_left_at_once_whatever_filled_it() -> None:
    for window in (100_000, 250_000):

        def answer(request: ModelRequest, window: int = window) -> ModelReply | str | Exception:
            if length(request) > window:
                return ContextTooLong("script", f"{length(request)} characters")
            last = request.exchanges[-1]
            if isinstance(last, TextMessage) and last.text.startswith("read"):
                return ModelReply(calls=tuple(ToolCall(str(k), "transcript", {"n": k}) for k in range(4)))
            return "fine"

        async def work(model: Script) -> None:
            async with Conversation(model, [transcript]) as chat:
                for k in range(4):
                    assert (await chat.send(f"read {k}").end()).outcome is TurnOutcome.ANSWERED
                assert (await chat.send("hello").end()).text == "fine"

        model = Script(answer)
        run(functools.partial(work, model))
        last = next(each for each in reversed(model.requests) if each.step.startswith("turn"))
        shown = [each.text for each in last.exchanges if isinstance(each, TextMessage)]
        assert shown[-1] == "hello"


def test_a_window_that_holds_nothing_fails_the_turn_and_ends() -> None:
    model = Script(lambda _: ContextTooLong("script", "none"))

    async def work() -> None:
        async with Conversation(model, []) as chat:
            assert (await chat.send("x" * 50_000).end()).outcome is TurnOutcome.FAILED
        assert len(model.requests) < 12

    run(work)
