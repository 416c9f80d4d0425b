"""A secret is found as it was typed, on word boundaries, and leaves by no result, error, refusal or progress of a tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from coterie.conversation import Conversation, Secret, tool
from coterie.conversation.tools.redaction import SecretRedactor
from coterie.models import ModelReply, ModelRequest, TextMessage, ToolCall
from tests.conversation.scripted import Script, all_events, run


@pytest.mark.parametrize(
    ("secret", "text", "masked"),
    [
        ("482913", "code 482 913, or 482-913.", "code [secret], or [secret]."),
        ("482 913", "482913", "[secret]"),
        ("123", "07700900123, 1234 High Street, a123b, (123)", "07700900123, 1234 High Street, a123b, ([secret])"),
        ("p@ss.word", "it is p@ss.word!", "it is [secret]!"),
    ],
)
def test_a_secret_is_masked_as_it_was_typed_and_never_inside_a_longer_word(secret: str, text: str, masked: str) -> None:
    redactor = SecretRedactor()
    redactor.add([secret])
    assert redactor.mask(text) == masked


def returns(user: str, code: Annotated[str, Secret]) -> str:
    """Repeat the code in the result."""
    return f"{user}: {code} is right"


def raises(user: str, code: Annotated[str, Secret]) -> str:
    """Repeat the code in an error."""
    raise RuntimeError(f"{user}: {code} is wrong")


@pytest.mark.parametrize(
    ("function", "options", "user"),
    [
        (returns, {}, "ann"),
        (raises, {}, "ann"),
        (returns, {"guard": lambda code: f"{code} is refused"}, "ann"),
        (returns, {"confirm": "really?"}, "ann"),
        (returns, {}, 7),
    ],
)
def test_a_secret_is_kept_nowhere_whatever_becomes_of_the_call(
    tmp_path: Path, function: Any, options: dict[str, Any], user: object
) -> None:
    sign_in = tool(effect="write", resources=["s"], name="sign_in", **options)(function)

    def answer(request: ModelRequest) -> ModelReply | str:
        last = request.exchanges[-1]
        if isinstance(last, TextMessage) and "SECRET-9XQ7" in last.text:
            return ModelReply(calls=(ToolCall("c", "sign_in", {"user": user, "code": "SECRET-9XQ7"}),))
        return "fine"

    async def work() -> None:
        model = Script(answer)
        async with Conversation(model, [sign_in], store=tmp_path / "c.db") as chat:
            await chat.send("the code is SECRET-9XQ7").end()
            await chat.settle()
            await chat.send("thanks").end()
            assert "9XQ7" not in repr(await all_events(chat))
            assert "9XQ7" not in repr(chat.operations())
            assert "9XQ7" not in repr(model.requests[-1])

    run(work)
