"""The scripted model and the model server."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from coterie.errors import RateLimited
from coterie.models import ModelReply, ModelRequest, TextDelta, TextMessage, Usage
from coterie.testing import ManualClock, ModelServer, ScriptedModel, Served, Together, eventually
from coterie.testing.models.responses import fill

REQUEST = ModelRequest(exchanges=(TextMessage("user", "one two"),))


def post(server: ModelServer, **body: Any) -> dict[str, Any]:
    data = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi you"}], **body}).encode()
    request = urllib.request.Request(f"{server.url}/chat/completions", data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - of this machine
        answer: dict[str, Any] = json.loads(response.read())
    return answer


def test_a_script_is_answered_in_order_and_its_errors_are_raised() -> None:
    model = ScriptedModel(["a b", RateLimited("m", "x"), ModelReply(text="c", usage=Usage(7, 8), model="other")])

    async def main() -> None:
        first = await model.ask(REQUEST)
        assert (first.text, first.usage, first.model) == ("a b", Usage(2, 2), "scripted")
        with pytest.raises(RateLimited):
            await model.ask(REQUEST)
        assert [piece async for piece in model.stream(REQUEST)] == [
            TextDelta("c"),
            ModelReply(text="c", usage=Usage(7, 8), model="other"),
        ]
        with pytest.raises(AssertionError, match="asked 4 times, and its script has 3 answers"):
            await model.ask(REQUEST)

    asyncio.run(main())
    assert model.requests == (REQUEST,) * 4
    assert (model.running, model.cancelled) == (0, 0)


def test_a_script_may_begin_anew_and_a_function_may_answer() -> None:
    again = ScriptedModel(["a", "b"], repeat=True)
    said = ScriptedModel(lambda request: request.step)
    assert [asyncio.run(again.ask(REQUEST)).text for _ in range(5)] == ["a", "b", "a", "b", "a"]
    assert asyncio.run(said.ask(ModelRequest(step="s"))).text == "s"


def test_a_delay_goes_by_the_manual_clock() -> None:
    clock = ManualClock()
    model = ScriptedModel(["late"], delay=5.0, clock=clock)
    replies: list[str] = []
    together = Together(lambda: replies.append(asyncio.run(model.ask(REQUEST)).text))
    eventually(lambda: model.running == 1 and model._timers is not None and model._timers.next_deadline() == 5.0)
    clock.advance(4.9)
    assert replies == []
    clock.advance(0.1)
    together.join()
    assert replies == ["late"]
    model.close()


def test_the_server_serves_plainly_and_counts() -> None:
    with ModelServer() as server:
        answer = post(server)
        assert answer["choices"][0]["message"]["content"] == "you said hi you"
        assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
        assert (server.answered, server.running, server.most_at_once, server.left) == (1, 0, 1, 0)
        with urllib.request.urlopen(f"{server.url}/models", timeout=10) as response:  # noqa: S310 - of this machine
            assert json.loads(response.read())["object"] == "list"
        server.play([Served.rate_limited(2)])
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(server)
        assert (caught.value.code, caught.value.headers["Retry-After"]) == (429, "2")
        caught.value.close()


def test_an_answer_fits_the_requested_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "minimum": 3},
            "b": {"$ref": "#/$defs/B"},
            "c": {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]},
            "d": {"enum": ["x", "y"]},
            "e": {"type": ["boolean", "null"]},
            "f": {"type": "array", "items": {"type": "number"}, "minItems": 2},
            "g": {"type": "string"},
        },
        "required": ["a", "b", "c", "d", "e", "f"],
        "$defs": {"B": {"const": 1}},
    }
    assert fill(schema) == {"a": 3, "b": 1, "c": "te", "d": "x", "e": True, "f": [1, 1]}
    with ModelServer() as server:
        answer = post(server, response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})
        assert json.loads(answer["choices"][0]["message"]["content"]) == fill(schema)


def test_an_invalid_request_does_not_end_the_server() -> None:
    with ModelServer() as server:
        request = urllib.request.Request(f"{server.url}/chat/completions", b"{not json", {})  # noqa: S310 - of this machine
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)  # noqa: S310 - of this machine
        assert caught.value.code == 400
        caught.value.close()
        assert post(server)


def test_a_script_that_raises_is_a_fault_of_the_server() -> None:
    with ModelServer(lambda request: Served() if request["messages"] else 1 // 0) as server:  # type: ignore[arg-type, return-value]
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(server, messages=[])
        assert (caught.value.code, server.running) == (500, 0)
        caught.value.close()
        assert post(server)
