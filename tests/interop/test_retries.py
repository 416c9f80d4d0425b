"""A client's own retry does not repeat the work: by an idempotency key, or by its content when no answer reached the client."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from coterie.testing import ManualClock
from coterie.testing.waiting import eventually
from tests.interop.served import SECRET, Served, served


def body(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "test", "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def answer(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


def threads(server: Served) -> list[tuple[str, ...]]:
    return [each for each in server.conversations.namespaces() if each[0] == "completions"]


def questions(server: Served) -> list[str]:
    """Return what was said in all conversations, by users."""
    said: list[str] = []
    for namespace in threads(server):
        chat = server.conversations.open(namespace)
        asyncio.run(chat.settle())
        said += [each.text for each in chat.transcript() if each.role == "user"]
    return said


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Idempotency-Key"])
def test_requests_with_one_key_are_one(server: Served, client: httpx.Client, header: str) -> None:
    replies = [answer(client.post("/v1/chat/completions", json=body("work a"), headers={header: "k1"})) for _ in range(3)]
    assert len(set(replies)) == 1
    with client.stream("POST", "/v1/chat/completions", json=body("work a", stream=True), headers={header: "k1"}) as reply:
        assert replies[0][:20] in reply.read().decode()
    server.held.go.set()
    assert questions(server) == ["work a"]
    other = client.post("/v1/chat/completions", json=body("work b"), headers={header: "k1"})
    assert other.status_code == 422
    assert "used for another request" in other.text
    assert answer(client.post("/v1/chat/completions", json=body("work b"), headers={header: "k2"}))


def test_a_key_belongs_to_its_user(server: Served, client: httpx.Client) -> None:
    for user in ("ann", "bob"):
        assert answer(client.post("/v1/chat/completions", json=body("hello"), headers={"Idempotency-Key": "k", "X-User": user}))
    assert len(threads(server)) == 2


def test_requests_with_one_key_at_the_same_time_are_one(server: Served) -> None:
    async def three() -> list[str]:
        headers = {"Authorization": f"Bearer {SECRET}", "Idempotency-Key": "k1"}
        async with httpx.AsyncClient(base_url=server.address, headers=headers, timeout=30) as client:
            posts = [client.post("/v1/chat/completions", json=body("slowly")) for _ in range(3)]
            waiting = asyncio.gather(*posts)
            await asyncio.sleep(0)
            server.held.word.set()
            return [answer(each) for each in await waiting]

    assert set(asyncio.run(three())) == {"you said slowly"}
    assert questions(server) == ["slowly"]


def test_the_retries_of_a_client_that_gave_up_ask_once(server: Served) -> None:
    # As OpenAI's client does it: a new connection and the same body, after a time-out.
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key=SECRET, max_retries=2, timeout=0.3) as client:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="test", messages=[{"role": "user", "content": "slowly"}])
        server.held.word.set()
        patient = client.with_options(timeout=30)
        reply = patient.chat.completions.create(model="test", messages=[{"role": "user", "content": "slowly"}])
    assert reply.choices[0].message.content == "you said slowly"
    assert questions(server) == ["slowly"]


@pytest.mark.parametrize("named", [False, True])
def test_a_stream_that_broke_off_is_taken_up_by_the_same_request(server: Served, client: httpx.Client, named: bool) -> None:
    headers = {"X-Thread-Id": "one"} if named else {}
    with client.stream("POST", "/v1/chat/completions", json=body("slowly", stream=True), headers=headers) as reply:
        next(reply.iter_lines())
    server.held.word.set()
    assert answer(client.post("/v1/chat/completions", json=body("slowly"), headers=headers)) == "you said slowly"
    # It has been answered now: the same words are a new question.
    assert answer(client.post("/v1/chat/completions", json=body("slowly"), headers=headers)) == "you said slowly"
    assert questions(server) == ["slowly", "slowly"]


def test_a_lost_answer_is_forgotten_after_a_while(tmp_path: Path) -> None:
    clock = ManualClock()
    with served(tmp_path, clock=clock, retry_window=60.0) as server, server.client() as client:
        with client.stream("POST", "/v1/chat/completions", json=body("slowly", stream=True)) as reply:
            next(reply.iter_lines())
        server.held.word.set()
        clock.advance(61.0)

        def asks_anew() -> bool:
            # The server may need a moment to see that the first client has left.
            assert answer(client.post("/v1/chat/completions", json=body("slowly"))) == "you said slowly"
            return len(threads(server)) == 2

        eventually(asks_anew)


def test_strangers_who_say_the_same_at_once_share_nothing(server: Served) -> None:
    async def two() -> list[str]:
        async with httpx.AsyncClient(
            base_url=server.address, headers={"Authorization": f"Bearer {SECRET}"}, timeout=30
        ) as client:
            waiting = asyncio.gather(*(client.post("/v1/chat/completions", json=body("slowly")) for _ in range(2)))
            while len(threads(server)) < 2:
                await asyncio.sleep(0.01)
            server.held.word.set()
            return [answer(each) for each in await waiting]

    assert asyncio.run(asyncio.wait_for(two(), 30)) == ["you said slowly"] * 2
    assert questions(server) == ["slowly", "slowly"]


def test_a_message_that_was_refused_leaves_no_trace(server: Served, client: httpx.Client) -> None:
    for _ in range(2):
        assert client.post("/v1/chat/completions", json=body("  "), headers={"Idempotency-Key": "k"}).status_code == 422
    assert client.post("/v1/chat/completions", json=body("x"), headers={"Idempotency-Key": "k" * 501}).status_code == 400
    assert answer(client.post("/v1/chat/completions", json=body("hello"), headers={"Idempotency-Key": "k"}))
