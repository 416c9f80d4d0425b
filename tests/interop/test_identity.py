"""Who the user of a request is: by a token of the user's own, or by the header of whoever holds the shared token."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.served import ANNS, SECRET, Served, user


def complete(server: Served, body: dict[str, Any], headers: dict[str, str], token: str = SECRET) -> int:
    with server.client(token) as client:
        given = {"model": "test", "messages": [{"role": "user", "content": "hello"}]} | body
        reply = client.post("/v1/chat/completions", json=given, headers={"X-Thread-Id": "t"} | headers)
        return reply.status_code


def opened(server: Served) -> set[tuple[str, ...]]:
    return set(server.conversations.namespaces())


@pytest.mark.parametrize("key", ["user", "safety_identifier"])
def test_the_body_never_beats_the_header(server: Served, key: str) -> None:
    assert complete(server, {key: "bob"}, {"X-User": "ann"}) == 200
    assert opened(server) == {("completions", "ann", "named t")}


def test_the_body_never_determines_the_user(server: Served) -> None:
    assert complete(server, {}, {"X-User": "bob"}) == 200
    assert complete(server, {"user": "bob"}, {}) == 200
    assert complete(server, {"user": "eve"}, {}) == 200
    assert opened(server) == {
        ("completions", "bob", "named t"),
        ("completions", "-", "bob", "named t"),
        ("completions", "-", "eve", "named t"),
    }


@pytest.mark.parametrize("named", ["", "ann"])
def test_a_token_of_a_user_determines_the_user(server: Served, named: str) -> None:
    headers = {"X-User": named} if named else {}
    assert complete(server, {"user": "bob"}, headers, ANNS) == 200
    with server.client(ANNS) as client:
        body = {"threadId": "t", "runId": "r", "messages": [user("hello", "m")]}
        assert client.post("/agui", json=body, headers=headers).status_code == 200
    assert opened(server) == {("completions", "ann", "named t"), ("agui", "ann", "t")}
    assert {server.conversations.open(each).user for each in opened(server)} == {"ann"}


def test_a_token_of_a_user_does_not_open_conversations_of_others(server: Served) -> None:
    with server.client(ANNS) as client:
        assert client.get("/agui/t/operations", headers={"X-User": "bob"}).status_code == 403
        assert client.get("/agui/t/operations", headers=[("X-User", "ann"), ("X-User", "bob")]).status_code == 400
    assert not opened(server)
