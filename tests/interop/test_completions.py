"""OpenAI's chat completions, through OpenAI's own client."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.interop.served import SECRET, Served

SAYS = list[ChatCompletionMessageParam]


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key=SECRET, max_retries=0, timeout=30) as client:
        yield client


def say(client: openai.OpenAI, history: SAYS, text: str, **options: Any) -> str:
    """Say something as a front end does: with all that was said before."""
    history.append({"role": "user", "content": text})
    reply = client.chat.completions.create(model="test", messages=history, **options)
    assert reply.choices[0].finish_reason == "stop"
    answer = reply.choices[0].message.content or ""
    history.append({"role": "assistant", "content": answer})
    return answer


def threads(server: Served) -> int:
    return len([each for each in server.conversations.namespaces() if each[0] == "completions"])


def settle(server: Served) -> None:
    for namespace in server.conversations.namespaces():
        asyncio.run(server.conversations.open(namespace).settle())


def test_the_assistant_is_the_one_model(client: openai.OpenAI) -> None:
    assert [each.id for each in client.models.list()] == ["test"]
    assert client.models.retrieve("test").owned_by == "coterie"
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
        client.models.retrieve("gpt")


def test_a_history_goes_on_in_its_conversation(server: Served, client: openai.OpenAI) -> None:
    history: SAYS = [{"role": "system", "content": "Be brief."}]
    assert say(client, history, "hello") == "you said hello"
    assert say(client, history, "more") == "you said more"
    assert say(client, history, "yet more") == "you said yet more"
    assert threads(server) == 1


def test_a_stream_is_the_answer_in_pieces(server: Served, client: openai.OpenAI) -> None:
    history: SAYS = [{"role": "user", "content": "hello"}]
    chunks = list(
        client.chat.completions.create(model="test", messages=history, stream=True, stream_options={"include_usage": True})
    )
    pieces = [each.choices[0].delta.content or "" for each in chunks if each.choices]
    assert "".join(pieces) == "you said hello"
    assert len([piece for piece in pieces if piece]) == 3
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert len({each.id for each in chunks}) == 1
    history += [{"role": "assistant", "content": "".join(pieces)}]
    assert say(client, history, "more") == "you said more"
    assert threads(server) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_an_image_of_the_client_reaches_the_model(server: Served, client: openai.OpenAI, stream: bool) -> None:
    picture = f"data:image/png;base64,{base64.b64encode(b'12345').decode()}"
    history: SAYS = [
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": picture}}]}
    ]
    if stream:
        chunks = client.chat.completions.create(model="test", messages=history, stream=True)
        answer = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    else:
        answer = client.chat.completions.create(model="test", messages=history).choices[0].message.content or ""
    assert answer == "image/png 5"
    # The history with the image goes on in its conversation.
    history.append({"role": "assistant", "content": answer})
    assert say(client, history, "more") == "you said more"
    assert threads(server) == 1


def test_a_result_between_two_requests_stands_before_the_next_answer_once(server: Served, client: openai.OpenAI) -> None:
    history: SAYS = []
    assert say(client, history, "work a").startswith("[In the background: op-1")
    assert say(client, history, "hello") == "you said hello"
    server.held.go.set()
    settle(server)
    answer = say(client, history, "again")
    assert answer.endswith("\n\nyou said again")
    assert answer.startswith(("a is done", "merged"))
    assert say(client, history, "and again") == "you said and again"
    assert threads(server) == 1


def test_a_stream_starts_with_waiting_results(server: Served, client: openai.OpenAI) -> None:
    history: SAYS = []
    say(client, history, "work a")
    server.held.go.set()
    settle(server)
    history.append({"role": "user", "content": "hello"})
    chunks = client.chat.completions.create(model="test", messages=history, stream=True)
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "a is done\n\nyou said hello"


def test_two_clients_with_the_same_history_never_share_a_conversation(server: Served, client: openai.OpenAI) -> None:
    alice: SAYS = []
    bob: SAYS = []
    assert say(client, alice, "hello") == say(client, bob, "hello")
    say(client, alice, "work alices")
    say(client, bob, "work bobs")
    for namespace in server.conversations.namespaces():
        said = " ".join(each.text for each in server.conversations.open(namespace).transcript())
        assert not ("alices" in said and "bobs" in said)


def test_a_user_or_a_header_distinguishes_threads(server: Served, client: openai.OpenAI) -> None:
    for user in ("alice", "bob", "a/b", "ü'; --"):
        assert say(client, [], "hello", user=user) == "you said hello"
    header = {"X-Thread-Id": "one"}
    say(client, [], "first", extra_headers=header)
    say(client, [], "second", extra_headers=header)
    named = server.conversations.open(("completions", "-", "named one"))
    assert [each.text for each in named.transcript()] == ["first", "you said first", "second", "you said second"]


def test_an_abandoned_stream_is_sent_with_the_next_request(server: Served, client: openai.OpenAI) -> None:
    header = {"X-Thread-Id": "one"}
    with client.chat.completions.create(
        model="test", messages=[{"role": "user", "content": "slowly"}], stream=True, extra_headers=header
    ) as stream:
        assert any(each.choices[0].delta.content for each in stream)
    server.held.word.set()
    settle(server)
    assert say(client, [], "hello", extra_headers=header) == "you said slowly\n\nyou said hello"


def test_text_parts_are_joined(client: openai.OpenAI) -> None:
    parts: Any = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    reply = client.chat.completions.create(model="test", messages=[{"role": "user", "content": parts}])
    assert reply.choices[0].message.content == "you said one\ntwo"


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"model": "gpt-5"}, 404, "model"),
        ({"model": None}, 400, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": "hello"}, 400, "messages"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "hi"}]}, 400, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            400,
            "messages.0.content",
        ),
        ({"n": 2}, 400, "n"),
        ({"tools": [{"type": "function"}]}, 400, "tools"),
        ({"stream": "perhaps"}, 400, "stream"),
        ({"user": "x" * 600}, 400, "user"),
    ],
)
def test_an_invalid_request_is_refused_as_such_clients_know(
    server: Served, change: dict[str, Any], status: int, param: str
) -> None:
    body = {"model": "test", "messages": [{"role": "user", "content": "hello"}]} | change
    with server.client() as client:
        reply = client.post("/v1/chat/completions", json=body)
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_that_cannot_be_said_has_its_own_status(server: Served, client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="empty"):
        client.chat.completions.create(model="test", messages=[{"role": "user", "content": "  "}], stream=stream)
    with server.client() as plain:
        assert "running" in plain.get("/telemetry").json()


def test_sampling_parameters_are_read_over(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"temperature": 0.1, "top_p": 0.5, "max_tokens": 5, "seed": 1, "stop": ["x"], "tools": []}
    assert say(client, [], "hello", **options) == "you said hello"


def test_a_wrong_key_is_an_authentication_error(server: Served) -> None:
    with (
        openai.OpenAI(base_url=f"{server.address}/v1", api_key="sk-forged-token-of-some-length", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_telemetry_counts_by_tool(server: Served, client: openai.OpenAI) -> None:
    say(client, [], "work a")
    server.held.go.set()
    settle(server)
    with server.client() as plain:
        shown = plain.get("/telemetry").json()
        metrics = plain.get("/metrics").text
    assert shown["tools"]["work"]["succeeded"] == 1
    assert shown["tools"]["work"]["run"]["samples"] == 1
    assert 'coterie_operations_ended_total{outcome="succeeded",tool="work"} 1.0' in metrics
    assert 'coterie_operation_run_seconds_count{tool="work"} 1.0' in metrics
    assert json.dumps(shown)
