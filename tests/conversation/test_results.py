"""Typed results of turns: validated, with the model told of its mistakes."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from coterie.conversation import Conversation, ConversationSettings, TextWritten, tool
from coterie.errors import InvalidSetting, ModelError, NoResult
from coterie.models import ModelReply, TextMessage, ToolResult

from .scripted import Script, calls, run


class Invoice(BaseModel):
    number: int
    total: float = Field(ge=0)


@dataclasses.dataclass
class Point:
    x: int
    y: int


def test_a_turn_returns_a_typed_value_after_a_tool_and_mistakes() -> None:
    @tool(effect="read")
    def look_up(number: int) -> str:
        return f"{number}: 12.5"

    replies: Iterator[ModelReply | str] = iter([
        calls(("look_up", {"number": 7})), "it is 12.50", '{"number": 7, "total": -1}',
        'Here you are:\n```json\n{"number": 7, "total": 12.5}\n```',
    ])  # fmt: skip
    model = Script(lambda _: next(replies))

    async def work() -> None:
        async with Conversation(model, [look_up]) as chat:
            stream = chat.send("the invoice, please", result=Invoice)
            texts = [event.text async for event in stream if isinstance(event, TextWritten)]
            # Only what fits is shown.
            assert len(texts) == 1
            model.answer = lambda _: '{"number": 8, "total": 1}'
            assert await chat.send("and the next", result=Invoice) == Invoice(number=8, total=1)
            model.answer = lambda _: "as text again"
            assert await chat.send("thanks").answer() == "as text again"

    run(work)
    assert all(each.schema is not None and each.schema["required"] == ["number", "total"] for each in model.requests[:4])
    assert model.requests[-1].schema is None
    told = [each.text for each in model.requests[3].exchanges if isinstance(each, TextMessage) and "does not fit" in each.text]
    assert ["no JSON" in told[0], "total" in told[1]] == [True, True]
    # Later prompts do not have the mistakes.
    assert not any("does not fit" in getattr(each, "text", "") for each in model.requests[-1].exchanges)
    assert any(isinstance(each, ToolResult) for each in model.requests[3].exchanges)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(Point, '{"x": 1, "y": 2}', Point(1, 2)), (list[int], '{"value": [1, 2]}', [1, 2]), (int, '{"value": 3}', 3), (dict[str, int], '{"a": 1}', {"a": 1})],
)  # fmt: skip
def test_any_type_with_a_schema_can_be_a_result(kind: Any, text: str, value: Any) -> None:
    async def work() -> None:
        async with Conversation(Script(lambda _: text)) as chat:
            assert await chat.send("go", result=kind) == value

    run(work)


@pytest.mark.parametrize("answer", ["never", ModelError("down")])
def test_a_turn_without_a_result_says_why(answer: Any) -> None:
    async def work() -> None:
        model = Script(lambda _: answer)
        async with Conversation(model, settings=ConversationSettings(mistakes=2)) as chat:
            stream = chat.send("go", result=Invoice)
            with pytest.raises(NoResult, match=r"Invoice: (it is no JSON|ModelError: down|down)"):
                await stream
            assert len(model.requests) == (3 if answer == "never" else 1)
            assert chat.page().messages[-1].outcome == "failed"

    run(work)


def test_the_result_of_a_turn_that_a_crash_cut_off_is_asked_for_in_the_same_form(tmp_path: Path) -> None:
    async def work() -> None:
        model = Script(lambda _: '{"number": 1, "total": 2}')
        reached, _ = model.hold("turn 1")
        chat = Conversation(model, store=tmp_path / "chats.db")
        chat.send("go", id="m1", result=Invoice)
        await reached
        chat.close()
        model.gates.clear()
        async with Conversation(model, store=tmp_path / "chats.db") as chat:
            assert await chat.send("go", id="m1", result=Invoice) == Invoice(number=1, total=2)
        assert model.requests[-1].schema is not None

    run(work)


def test_a_type_without_a_schema_is_refused() -> None:
    async def work() -> None:
        async with Conversation(Script(lambda _: "")) as chat:
            with pytest.raises(InvalidSetting, match=r"send\.result"):
                chat.send("go", result=object())

    run(work)
