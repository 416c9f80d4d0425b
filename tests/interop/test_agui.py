"""AG-UI front ends: runs, activities, the event stream between runs, and disconnects."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import StorageUnavailable
from coterie.testing import ManualClock
from tests.interop.served import Held, Served, decoded, served, texts, types, user


def test_a_run_is_a_message_and_its_answer(server: Served) -> None:
    events = server.run("t", "hello")
    assert types(events)[:2] == ["RUN_STARTED", "TEXT_MESSAGE_START"]
    assert types(events)[-2:] == ["TEXT_MESSAGE_END", "RUN_FINISHED"]
    assert list(texts(events).values()) == ["you said hello"]
    assert (events[0].thread_id, events[0].run_id) == ("t", "run of hello")
    assert events[-1].outcome.type == "success"


def test_an_operation_is_an_activity_and_its_progress_are_deltas(server: Served) -> None:
    first = server.run("t", "work a")
    assert types(first)[1:5] == ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "ACTIVITY_SNAPSHOT"]
    assert json.loads(first[2].delta) == {"name": "a"}
    assert first[4].message_id == "operation-1"
    assert first[4].activity_type == "OPERATION"
    assert first[4].content["state"] == "running"
    assert server.held.halfway.wait(20)
    with server.client() as client, client.stream("GET", "/agui/t/events", params={"after": 0}) as reply:
        seen = read_until(reply, lambda event: event.type.value == "ACTIVITY_SNAPSHOT" and event.content["fraction"] == 0.5)
        server.held.go.set()
        seen += read_until(reply, lambda event: event.type.value == "TEXT_MESSAGE_END")
    assert list(texts(seen).values()) == ["a is done"]
    deltas = [each for each in seen if each.type.value == "ACTIVITY_DELTA"]
    assert all(patch.op == "replace" for each in deltas for patch in each.patch)


def test_a_result_between_two_runs_comes_with_the_next_once(server: Served) -> None:
    server.run("t", "work a")
    server.held.go.set()
    server.conversations.open(("agui", "-", "t"))
    settle(server, "t")
    told = texts(server.run("t", "hello"))
    assert list(told.values()) == ["a is done", "you said hello"]
    assert list(texts(server.run("t", "again")).values()) == ["you said again"]


def test_a_run_without_a_new_message_sends_waiting_results(server: Served) -> None:
    server.run("t", "work a")
    server.held.go.set()
    settle(server, "t")
    events = server.run("t", None)
    assert list(texts(events).values()) == ["a is done"]
    assert types(events)[-1] == "RUN_FINISHED"
    assert texts(server.run("t", None)) == {}


def test_message_ids_of_a_front_end_name_its_known_events(server: Served) -> None:
    first = server.run("t", "work a")
    server.held.go.set()
    settle(server, "t")
    (answer,) = texts(first)
    history = [user("work a", "m-work a"), {"id": answer, "role": "assistant", "content": "…"}]
    second = server.run("t", None, messages=[*history, user("one", "m1")])
    assert "a is done" in texts(second).values()
    # As if that had never arrived: it has the same messages as before.
    third = server.run("t", None, messages=[*history, user("two", "m2")])
    assert "a is done" in texts(third).values()
    delivery = next(name for name, text in texts(third).items() if text == "a is done")
    fourth = server.run(
        "t", None, messages=[*history, {"id": delivery, "role": "assistant", "content": "…"}, user("three", "m3")]
    )
    assert list(texts(fourth).values()) == ["you said three"]


def test_a_message_that_is_sent_again_is_not_answered_again(server: Served) -> None:
    first = server.run("t", "hello", message="same")
    again = server.run("t", "hello", message="same")
    assert texts(first) == texts(again)
    assert len(server.conversations.open(("agui", "-", "t")).transcript()) == 2


def test_a_front_end_that_goes_away_in_the_middle_loses_nothing(server: Served) -> None:
    body = {"threadId": "t", "runId": "r", "messages": [user("slowly", "m1")]}
    with server.client() as client, client.stream("POST", "/agui", json=body) as reply:
        read_until(reply, lambda event: event.type.value == "TEXT_MESSAGE_CONTENT")
    server.held.word.set()
    settle(server, "t")
    assert "you said slowly" in texts(server.run("t", "hello")).values()
    assert list(texts(server.run("t", "again")).values()) == ["you said again"]


def test_work_goes_on_when_the_front_end_goes_away(server: Served) -> None:
    body = {"threadId": "t", "runId": "r", "messages": [user("work a", "m1")]}
    with server.client() as client, client.stream("POST", "/agui", json=body) as reply:
        read_until(reply, lambda event: event.type.value == "ACTIVITY_SNAPSHOT")
    assert server.held.halfway.wait(20)
    server.held.go.set()
    settle(server, "t")
    assert server.held.done == ["a"]
    assert "a is done" in texts(server.run("t", None)).values()


def test_a_listener_goes_on_behind_the_last_event_that_it_has(server: Served) -> None:
    server.run("t", "work a")
    with server.client() as client:
        with client.stream("GET", "/agui/t/events", params={"after": 0}) as reply:
            lines = iter(reply.iter_lines())
            last = next(int(line[4:]) for line in lines if line.startswith("id: ") and line != "id: 0")
        server.held.go.set()
        settle(server, "t")
        with client.stream("GET", "/agui/t/events", headers={"Last-Event-ID": str(last)}) as reply:
            seen = read_until(reply, lambda event: event.type.value == "TEXT_MESSAGE_END")
        assert list(texts(seen).values()) == ["a is done"]
        with client.stream("GET", "/agui/t/events", headers={"Last-Event-ID": str(last)}) as reply:
            again = read_until(reply, lambda event: event.type.value == "TEXT_MESSAGE_END")
        assert texts(again) == texts(seen)


def test_results_go_to_an_open_event_stream_and_not_to_runs(server: Served) -> None:
    server.run("t", "work a")
    with server.client() as client, client.stream("GET", "/agui/t/events") as reply:
        read_until(reply, lambda event: event.type.value == "RUN_STARTED")
        server.held.go.set()
        seen = read_until(reply, lambda event: event.type.value == "TEXT_MESSAGE_END")
        assert list(texts(seen).values()) == ["a is done"]
        assert list(texts(server.run("t", "hello")).values()) == ["you said hello"]


def test_a_silent_stream_sends_heartbeats(server: Served) -> None:
    with server.client() as client, client.stream("GET", "/agui/t/events") as reply:
        assert any(line == ": still here" for line in reply.iter_lines())


def test_two_runs_at_once_are_both_answered_each_in_its_own_stream(server: Served) -> None:
    answers: dict[str, list[Any]] = {}

    def ask(text: str) -> None:
        answers[text] = server.run("t", text)

    threads = [threading.Thread(target=ask, args=(f"question {number}",)) for number in range(6)]  # noqa: TID251 - clients
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {text: list(texts(events).values()) for text, events in answers.items()} == {
        f"question {number}": [f"you said question {number}"] for number in range(6)
    }


def test_operations_are_listed_moved_and_cancelled(server: Served) -> None:
    server.run("t", "work a")
    for number in (1, 2):
        server.run("t", "work a", message=f"more {number}")
    with server.client() as client:
        listed = client.get("/agui/t/operations").json()["operations"]
        assert [(each["operation"], each["state"]) for each in listed] == [
            ("op-1", "running"),
            ("op-2", "queued"),
            ("op-3", "queued"),
        ]
        moved = client.post("/agui/t/operations/op-3/place", json={"place": 0}).json()["queue"]
        assert [each["operation"] for each in moved] == ["op-3", "op-2"]
        assert client.post("/agui/t/operations/op-2/cancel").json() == {"answer": "stopped before effect"}
        assert client.post("/agui/t/operations/op-9/cancel").status_code == 404
        assert client.post("/agui/t/operations/op-1/place", json={"place": 0}).status_code == 409
        for place in (-1, True, "0", None, 1.5):
            assert client.post("/agui/t/operations/op-3/place", json={"place": place}).status_code == 422
        assert client.post("/agui/t/operations/op-3/place", json=[]).status_code == 422


ODD = ["a/b", "../../etc/passwd", "ü \N{SNOWMAN}", "x" * 150, "'; DROP TABLE x; --", "a%2Fb", "t/operations", "\U0001f600"]


def test_odd_threads_and_users_stay_apart(server: Served) -> None:
    for thread in ODD:
        server.run(thread, f"I am {thread!r}")
        with server.client() as client:
            listed = client.get(f"/agui/{quoted(thread)}/operations")
            assert listed.json() == {"operations": []}, listed.text
    for thread in ODD:
        assert len(server.conversations.open(("agui", "-", thread)).transcript()) == 2
    server.run("shared", "from alice", who="alice")
    server.run("shared", "from bob", who="bob")
    assert len(server.conversations.open(("agui", "alice", "shared")).transcript()) == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ({}, "threadId"),
        ({"threadId": "t", "runId": "r"}, "messages"),
        ({"threadId": 1, "runId": "r", "messages": []}, "threadId"),
        ({"threadId": "", "runId": "r", "messages": []}, "threadId"),
        ({"threadId": "t", "runId": "", "messages": []}, "runId"),
        ({"threadId": "a\nb", "runId": "r", "messages": []}, "threadId"),
        ({"threadId": "t", "runId": "r", "messages": [{"role": "nobody"}]}, "messages.0"),
        ({"threadId": "t", "runId": "r", "messages": [], "resume": [{"interruptId": "i", "status": "resolved"}]}, "resume.0"),
        (
            {
                "threadId": "t",
                "runId": "r",
                "messages": [
                    {
                        "id": "m",
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "data", "value": "?", "mimeType": "image/png"}}],
                    }
                ],
            },
            "messages",
        ),
    ],
)
def test_an_invalid_run_is_refused_with_the_key(server: Served, body: Any, param: str | None) -> None:
    with server.client() as client:
        reply = client.post("/agui", json=body)
    assert reply.status_code == 422, reply.text
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").startswith(param or "")


def test_a_text_that_cannot_be_said_ends_the_run_with_an_error(server: Served) -> None:
    for text in ("", "   ", "x" * 100_001):
        events = server.run("t", None, messages=[user(text, "m")])
        assert types(events) == ["RUN_STARTED", "RUN_ERROR"]
        assert events[-1].code == "invalid_input"


def test_a_model_that_fails_is_an_answer_too(server: Served) -> None:
    events = server.run("t", "fail now")
    assert types(events)[-1] == "RUN_FINISHED"
    assert "sorry" in next(iter(texts(events).values()))
    assert "fault" not in json.dumps([each.model_dump(mode="json") for each in events])


@pytest.mark.parametrize("after", ["x", "-1", "1.5.1", "1.", "9" * 30])
def test_an_invalid_event_id_is_refused(server: Served, after: str) -> None:
    with server.client() as client:
        assert client.get("/agui/t/events", params={"after": after}).status_code == 400


def test_the_last_sent_event_is_stored_over_a_restart(tmp_path: Path) -> None:
    held = Held()
    with served(tmp_path, held) as server:
        server.run("t", "work a")
        held.go.set()
        settle(server, "t")
    with served(tmp_path, Held()) as server:
        assert list(texts(server.run("t", "hello")).values()) == ["a is done", "you said hello"]
    with served(tmp_path, Held()) as server:
        assert types(server.run("t", None)) == ["RUN_STARTED", "RUN_FINISHED"]
        assert list(texts(server.run("t", "again")).values()) == ["you said again"]


def test_idle_threads_are_closed_and_go_on_when_they_are_asked_for(tmp_path: Path) -> None:
    clock = ManualClock()
    with served(tmp_path, clock=clock, open_threads=3) as server:
        server.run("busy", "work a")
        for number in range(6):
            server.run(f"t{number}", "hello")
        assert server.conversations.metrics().conversations == 7
        clock.advance(61)
        server.run("new", "hello")
        assert server.conversations.metrics().conversations == 3
        server.held.go.set()
        settle(server, "busy")
        assert "a is done" in texts(server.run("busy", None)).values()
        assert list(texts(server.run("t0", "again")).values()) == ["you said again"]
        assert len(server.conversations.open(("agui", "-", "t0")).transcript()) == 4


def test_endless_streams_end_with_the_server(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        client = server.client()
        stream = client.stream("GET", "/agui/t/events")
        reply = stream.__enter__()
        read_until(reply, lambda event: event.type.value == "RUN_STARTED")
    assert [line for line in lines_of(reply) if line.startswith("data")] == []
    client.close()


def read_until(reply: Any, found: Any) -> list[Any]:
    """Read a stream until an event is there, and return all that came."""
    seen: list[Any] = []
    for line in lines_of(reply):
        for event in decoded(line):
            seen.append(event)
            if found(event):
                return seen
    raise AssertionError(f"the stream ended after {types(seen)}")


def lines_of(reply: Any) -> Any:
    """Return the lines of a stream, the same ones however often they are asked for."""
    if not hasattr(reply, "lines_left"):
        reply.lines_left = iter(reply.iter_lines())
    return reply.lines_left


def settle(server: Served, thread: str) -> None:
    import asyncio  # noqa: PLC0415 - here only

    asyncio.run(server.conversations.open(("agui", "-", thread)).settle())


def quoted(thread: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - here only

    return quote(thread, safe="")


def test_an_internal_error_is_logged_and_hidden_from_clients(
    server: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.run("t", "hello")

    def broken(*_: object, **__: object) -> None:
        raise StorageUnavailable("/secret/place.db", "gone")

    monkeypatch.setattr(server.conversations.open(("agui", "-", "t")), "send", broken)
    events = server.run("t", "again")
    assert types(events) == ["RUN_STARTED", "RUN_ERROR"]
    with server.client() as client:
        monkeypatch.setattr(server.conversations.open(("completions", "-", "named x")), "send", broken)
        body = {"model": "test", "messages": [user("hello", "m")]}
        reply = client.post("/v1/chat/completions", json=body, headers={"X-Thread-Id": "x"})
    assert reply.status_code == 500
    assert "secret" not in events[-1].message + reply.text
    assert caplog.text.count("/secret/place.db") == 2


def test_a_message_is_kept_before_the_run_is_announced(server: Served) -> None:
    for number in range(5):
        body = {"threadId": f"left-{number}", "runId": "r", "messages": [user("hello", "m")]}
        with server.client() as client, client.stream("POST", "/agui", json=body) as reply:
            assert "RUN_STARTED" in next(reply.iter_lines())
            # What is in the log when the run is announced, whatever the front end does now.
            said = server.conversations.open(("agui", "-", f"left-{number}")).last_event
            assert said


def test_what_a_run_brings_and_the_assistant_does_not_use_is_named(server: Served) -> None:
    body = {
        "threadId": "t",
        "runId": "r",
        "messages": [user("hello", "m1")],
        "tools": [{"name": "paint", "description": "", "parameters": {}}],
        "context": [{"description": "the page", "value": "prices"}],
        "state": {"step": 1},
        "forwardedProps": {},
    }
    with server.client() as client:
        events = decoded(client.post("/agui", json=body).text)
    assert types(events)[:2] == ["RUN_STARTED", "CUSTOM"]
    assert events[1].name == "IGNORED"
    assert {key: events[1].value[key] for key in ("context", "state")} == {
        "context": ["the page"],
        "state": ["step"],
    }
    assert "forwardedProps" not in events[1].value
    assert "CUSTOM" not in types(server.run("t", "more"))
