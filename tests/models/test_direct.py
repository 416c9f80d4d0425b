"""The direct way sends and returns what Pydantic AI sends and returns, also for errors and odd responses."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from openai import AsyncOpenAI

from coterie.errors import ModelError
from coterie.models import ModelRequest, TextMessage
from coterie.models.providers import ProviderModel
from coterie.models.providers.known_request import KnownRequest, Redirected
from coterie.testing import ModelServer
from coterie.testing.models.responses import Served
from tests.models.asking import gateway_to

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
SHAPES = [
    ModelRequest(instructions="Be kind.", exchanges=(TextMessage("user", "one"),)),
    ModelRequest(exchanges=(TextMessage("user", "one"),), schema=SCHEMA, temperature=0.5, max_tokens=7),
    ModelRequest(
        instructions="Be kind.",
        exchanges=(TextMessage("user", "one"), TextMessage("assistant", "two"), TextMessage("user", "three")),
    ),
    ModelRequest(instructions="Be kind.", exchanges=(TextMessage("user", "one"), TextMessage("user", "two"))),
]


def other(request: ModelRequest) -> ModelRequest:
    """Return a request of the same shape with other texts."""
    texts = tuple(TextMessage(each.role, f"{each.text} ä") for each in request.exchanges if isinstance(each, TextMessage))
    return msgspec.structs.replace(request, exchanges=texts, instructions=request.instructions and "Be brief.")


@pytest.mark.parametrize("request_", SHAPES)
def test_a_further_request_of_a_shape_is_sent_as_the_first_of_another_gateway_is(
    server: ModelServer, request_: ModelRequest
) -> None:
    with gateway_to(server) as warm:
        warm.ask_blocking(request_, 10)
        direct = warm.ask_blocking(other(request_), 10)
    with gateway_to(server) as cold:
        usual = cold.ask_blocking(other(request_), 10)
    _, ours, theirs = server.requests
    assert ours == theirs
    assert direct == usual
    names = ("user-agent", "accept", "content-type", "authorization")
    assert [server.headers[1].get(name) for name in names] == [server.headers[2].get(name) for name in names]


def test_a_further_request_does_without_the_layers_of_the_client(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    post = AsyncOpenAI.post

    async def counted(client: AsyncOpenAI, path: str, **options: Any) -> Any:
        calls.append(path)
        return await post(client, path, **options)

    monkeypatch.setattr(AsyncOpenAI, "post", counted)
    with gateway_to(server) as gateway:
        for _ in range(3):
            gateway.ask_blocking(SHAPES[0], 10)
    assert calls == ["/chat/completions"]  # that of the first
    assert len(server.requests) == 3


def test_what_the_client_must_follow_is_sent_by_the_client(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def moved(_request: KnownRequest, _body: dict[str, Any]) -> Any:
        raise Redirected

    monkeypatch.setattr(KnownRequest, "send", moved)
    with gateway_to(server) as gateway:
        assert [gateway.ask_blocking(SHAPES[0], 10).text for _ in range(2)] == ["you said one"] * 2
    assert len(server.requests) == 2


def completion(message: dict[str, Any], **fields: Any) -> str:
    whole = {"role": "assistant", "content": None, **message}
    choice = {"index": 0, "message": whole, "finish_reason": fields.pop("finish", "stop")}
    frame = {"id": "c1", "object": "chat.completion", "created": 1700000000, "model": "gpt-4o-mini", "choices": [choice]}
    return json.dumps({**frame, "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}, **fields})


CACHED = {"prompt_tokens": 2000, "completion_tokens": 2, "total_tokens": 2002, "prompt_tokens_details": {"cached_tokens": 1900}}
CALL = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


CASES = [
    Served.rate_limited(2),
    Served.failing(503),
    Served.too_long(),
    Served(status=401, error="wrong key"),
    Served(status=404, error="no such model"),
    Served(body="{"),
    Served(body="[]"),
    Served(body='"text"'),
    Served(body="{}"),
    Served(break_after=0),
    Served(body=completion({"content": "plain"})),
    Served(body=completion({"content": "cut"}, finish="length")),
    Served(body=completion({"content": "filtered"}, finish="content_filter")),
    Served(body=completion({"content": "<think>why</think>so"})),
    Served(body=completion({"content": "so", "reasoning_content": "why"})),
    Served(body=completion({"content": "so"}, usage=CACHED)),
    Served(body=completion({"content": "so"}, usage=None)),
    Served(body=completion({"content": "so"}, service_tier="flex")),
    Served(body=completion({"content": "so"}, finish=None)),
    Served(body=completion({"content": ""})),
    Served(body=completion({"refusal": "I will not"})),
    Served(body=completion({"tool_calls": [CALL]}, finish="tool_calls")),
    Served(body=completion({"content": "\ud800 so"})),
]


def test_errors_and_odd_responses_are_those_of_the_usual_way() -> None:
    async def outcome(model: ProviderModel) -> Any:
        try:
            return await model.ask(other(SHAPES[0]))
        except ModelError as error:
            return type(error), str(error), getattr(error, "retry_after", None)

    async def compare(server: ModelServer) -> list[tuple[Any, Any]]:
        direct, usual = (ProviderModel("openai:gpt-4o-mini", base_url=server.url) for _ in range(2))
        usual._direct = None
        await direct.ask(SHAPES[0])
        pairs = [(await outcome(direct), await outcome(usual)) for _ in CASES]
        await direct.aclose()
        await usual.aclose()
        return pairs

    with ModelServer([Served(), *(each for case in CASES for each in (case, case))]) as server:
        pairs = asyncio.run(compare(server))
        # No way has asked twice.
        assert len(server.requests) == 1 + 2 * len(CASES)
    for case, (direct, usual) in zip(CASES, pairs, strict=True):
        assert direct == usual, case
    assert pairs[10][0].text == "plain"
