"""What goes over the wire is what Pydantic AI, alone, would send."""

import asyncio
from typing import Any

import pytest
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from coterie.models import ModelRequest, TextMessage, ToolCall, ToolDefinition, ToolResult
from coterie.models.providers import translation
from coterie.testing import ModelServer
from tests.models.asking import gateway_to

LOOK = ToolDefinition("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
REQUESTS = [
    ModelRequest(instructions="Be kind.", exchanges=(TextMessage("user", "hello"),)),
    ModelRequest(
        exchanges=(
            TextMessage("user", "look"),
            TextMessage("assistant", "I look."),
            ToolCall("c1", "look", {"at": "ä"}),
            ToolResult("c1", "look", "dark", failed=True),
        ),
        tools=(LOOK,),
        temperature=0.5,
        max_tokens=7,
    ),
    ModelRequest(
        exchanges=(TextMessage("user", "a number"),), schema={"type": "object", "properties": {"n": {"type": "integer"}}}
    ),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("request_", REQUESTS)
def test_the_body_is_that_of_pydantic_ai_alone(server: ModelServer, request_: ModelRequest, streamed: bool) -> None:
    async def alone() -> None:
        model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=server.url, api_key="none-of-it"))
        given: dict[str, Any] = {
            "model_settings": translation._settings(request_),
            "model_request_parameters": translation._parameters(request_, model),
        }
        if streamed:
            async with model_request_stream(model, translation._history(request_), **given) as response:
                async for _ in response:
                    pass
        else:
            await model_request(model, translation._history(request_), **given)
        await model.client.close()

    with gateway_to(server) as gateway:
        if streamed:
            list(gateway.stream_blocking(request_, 10))
        else:
            gateway.ask_blocking(request_, 10)
    asyncio.run(alone())
    ours, theirs = server.requests
    assert ours == theirs
    assert {name: server.headers[0].get(name) for name in ("user-agent", "accept", "content-type")} == {
        name: server.headers[1].get(name) for name in ("user-agent", "accept", "content-type")
    }
