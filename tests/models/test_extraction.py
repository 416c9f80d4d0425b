"""Answers as values of a type."""

import asyncio
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

from coterie.errors import InvalidSetting
from coterie.errors.models import MalformedReply
from coterie.models import Finish, ModelGateway, ModelReply, cost_table, extract, extract_blocking
from coterie.testing import ModelServer, ScriptedModel, Served
from tests.models.asking import gateway_to, question


class Mood(enum.StrEnum):
    GOOD = "good"
    BAD = "bad"


class Part(msgspec.Struct):
    name: str


class Answer(msgspec.Struct):
    mood: Mood
    age: int
    parts: list[Part]


class Judged(pydantic.BaseModel):
    score: int = pydantic.Field(ge=1, le=5)
    why: str


@dataclass
class Plain:
    x: float


def answering(*texts: str | ModelReply) -> ScriptedModel:
    return ScriptedModel(texts)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Answer, '{"mood": "good", "age": 3, "parts": [{"name": "a"}]}', Answer(Mood.GOOD, 3, [Part("a")])),
        (Judged, '{"score": 4, "why": "so"}', Judged(score=4, why="so")),
        (Plain, '{"x": 1.5}', Plain(1.5)),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (int | None, '{"value": null}', None),
        (bool, 'Sure! Here it is:\n```json\n{"value": true}\n```\nAnything else?', True),
        (Plain, 'It is {"x": 2} I think', Plain(2.0)),
    ],
)
def test_a_reply_becomes_a_value_of_the_type(kind: Any, text: str, value: object) -> None:
    model = answering(text)
    assert asyncio.run(extract(model, kind, question())) == value
    schema = model.requests[0].schema
    assert schema is not None
    assert schema["type"] == "object"
    assert "$ref" not in schema


@pytest.mark.parametrize("kind", [Answer, Judged, Plain, list[Answer], dict[str, int], Mood, tuple[int, str]])
def test_every_schema_is_understood_over_http(server: ModelServer, kind: Any) -> None:
    with gateway_to(server) as gateway:
        assert extract_blocking(gateway, kind, question()) is not None


def test_a_misfitting_reply_goes_back_to_the_model_with_its_fault() -> None:
    model = answering('{"score": 9}', "five!", '{"score": 5, "why": "x"}')
    assert asyncio.run(extract(model, Judged, question(agent="ann", step="1"))) == Judged(score=5, why="x")
    first, second, third = model.requests
    assert [first.agent, second.agent, third.step] == ["ann", "ann", "1"]
    assert second.exchanges[1].text == '{"score": 9}'  # type: ignore[union-attr]
    told = second.exchanges[-1].text  # type: ignore[union-attr]
    assert "score: Input should be less than or equal to 5" in told
    assert "why: Field required" in told
    assert "it is no JSON" in third.exchanges[-1].text  # type: ignore[union-attr]
    assert len(third.exchanges) == 5


@pytest.mark.parametrize("attempts", [1, 3])
def test_it_gives_up_with_the_last_reply_as_it_came(attempts: int) -> None:
    model = ScriptedModel(lambda _: "no " * 300)
    with pytest.raises(MalformedReply) as caught:
        asyncio.run(extract(model, Judged, question(), attempts=attempts))
    assert caught.value.text == "no " * 300
    assert len(str(caught.value)) < 800
    assert len(model.requests) == attempts


def test_a_reply_that_was_cut_is_said_to_be_cut() -> None:
    model = answering(ModelReply(text='{"score": ', finish=Finish.LENGTH))
    with pytest.raises(MalformedReply, match="cut at max_tokens"):
        asyncio.run(extract(model, Judged, question(), attempts=1))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"x": NaN}', '{"x": ' + "9" * 5000 + "}", "\x00", "", "null"])
def test_nonsense_is_malformed_and_nothing_else(text: str) -> None:
    with pytest.raises(MalformedReply):
        asyncio.run(extract(answering(text), dict[str, int], question(), attempts=1))


def test_a_type_without_a_schema_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"extract\.kind"):
        asyncio.run(extract(answering(), object.__new__, question()))
    with pytest.raises(InvalidSetting, match=r"extract\.attempts"):
        asyncio.run(extract(answering(), int, question(), attempts=0))


def test_the_cost_table_has_a_line_for_each_agent_and_the_total(server: ModelServer) -> None:
    with gateway_to(server) as gateway:
        for agent in ("bob", "ann", "ann"):
            gateway.ask_blocking(question("one two", agent=agent))
        table = cost_table(gateway)
    assert [(row.agent, row.requests, row.input_tokens) for row in table] == [("ann", 2, 4), ("bob", 1, 2), ("total", 3, 6)]
    assert table[-1].dollars == pytest.approx(sum(row.dollars for row in table[:-1]))
    header, first, *_ = table.csv().splitlines()
    assert header.startswith("agent,model,requests")
    assert first.startswith("ann,openai:gpt-4o-mini,2,0,0,0,4,")
    assert table.rows()[0]["agent"] == "ann"


def test_replayed_replies_cost_nothing(server: ModelServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with gateway_to(server, record=path) as gateway:
        paid = gateway.ask_blocking(question()).usage.cost
    with gateway_to(server, record=path, replay=path) as gateway:
        assert gateway.ask_blocking(question()).usage.cost == paid
        assert len(list(gateway.stream_blocking(question("more")))) > 1
        total = cost_table(gateway)[-1]
    assert (total.requests, total.replayed, total.unpriced) == (2, 1, 0)
    assert paid is not None
    assert 0 < total.dollars < paid * 1.5


def test_a_model_without_schemas_gets_the_schema_as_text(server: ModelServer) -> None:
    server.play([Served(text='{"value": 3}')])
    with ModelGateway("openai:gpt-3.5-turbo", base_url=server.url) as gateway:
        gateway._assembly.core._opened.model.profile = {"supports_json_schema_output": False}  # type: ignore[union-attr]
        assert extract_blocking(gateway, int, question()) == 3
    assert "response_format" not in server.requests[0] or server.requests[0]["response_format"]["type"] != "json_schema"
    assert '"value"' in str(server.requests[0]["messages"])


def test_an_empty_cost_table_has_a_total_of_zero() -> None:
    with ModelGateway(ScriptedModel([])) as gateway:
        assert [(row.agent, row.requests, row.seconds) for row in cost_table(gateway)] == [("total", 0, 0.0)]
