"""A service that is drained leaves no run that seems whole and is not, and goes on with what it had taken."""

import asyncio

import pytest

from coterie.conversation import OperationState
from tests.interop.served import Served, decoded, texts, types, user


def drain(server: Served) -> None:
    asyncio.run(server.conversations.drain(0))


def settle(server: Served, *namespace: str) -> None:
    chat = server.conversations.open(namespace)
    asyncio.run(chat.settle())


def test_a_run_whose_answer_was_not_whole_when_the_service_stopped_ends_with_an_error(server: Served) -> None:
    body = {"threadId": "t", "runId": "r", "messages": [user("slowly", "m1")]}
    with server.client() as client, client.stream("POST", "/agui", json=body) as reply:
        lines = reply.iter_lines()
        shown = list(iter(lambda: next(lines), ""))  # RUN_STARTED is there
        drain(server)
        server.held.word.set()
        events = decoded("\n".join([*shown, *lines]))
    assert types(events)[-1] == "RUN_ERROR"
    assert "the service is stopping" in events[-1].message
    # The message was taken, so it is answered once, whatever the front end does.
    settle(server, "agui", "-", "t")
    again = server.run("t", "slowly", message="m1")
    assert list(texts(again).values()) == ["you said slowly"]
    assert types(again)[-1] == "RUN_FINISHED"


@pytest.mark.parametrize("stream", [False, True])
def test_completions_go_on_after_the_service_was_drained(server: Served, stream: bool) -> None:
    def say(text: str) -> str:
        body = {"model": "test", "messages": [{"role": "user", "content": text}], "stream": stream}
        with server.client() as client:
            reply = client.post("/v1/chat/completions", json=body, headers={"X-Thread-Id": "one"})
        assert reply.status_code == 200
        return reply.text

    say("work a")
    assert server.held.halfway.wait(20)
    drain(server)
    assert "hello" in say("hello")
    settle(server, "completions", "-", "named one")
    chat = server.conversations.open(("completions", "-", "named one"))
    assert [each.state for each in chat.operations()] == [OperationState.CANCELLED]
    assert [each.text for each in chat.transcript() if each.role == "assistant"][-1] in ("you said hello", "merged")
