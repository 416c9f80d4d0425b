"""The requirements of the A2A specification 1.0 that concern a server without gRPC, extensions and signed cards, each with a check.

`REQUIREMENTS` is the table: the section, the requirement, and the function that checks it against a server, by plain JSON. The
deliveries to receivers, streams that are resumed and the restart of a server are in `test_a2a.py`.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn

from coterie.concurrency import start_thread
from coterie.conversation import Conversations, ConversationSettings, tool
from coterie.interop import AccessToken
from coterie.interop.a2a.application import create_a2a_application
from coterie.storage import open_database
from tests.conversation.scripted import Gate, Script, by_words

TOKEN, BENS = "t" * 20, "b" * 20
STATES = {
    f"TASK_STATE_{each}"
    for each in ("SUBMITTED", "WORKING", "COMPLETED", "FAILED", "CANCELED", "INPUT_REQUIRED", "REJECTED", "AUTH_REQUIRED")
}
NOT_FOUND, NOT_CANCELABLE, UNSUPPORTED, MEDIA, VERSION = -32001, -32002, -32004, -32005, -32009


class Agent:
    """A server that runs, and plain requests to it."""

    def __init__(self, http: httpx.Client, end: Gate) -> None:
        self.http, self.end = http, end

    def rpc(self, method: str, headers: dict[str, str] | None = None, **params: Any) -> dict[str, Any]:
        """Return the answer to a request by JSON-RPC."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return dict(self.http.post("/", json=body, headers=headers).json())

    def result(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a request that succeeds."""
        answer = self.rpc(method, **params)
        assert "result" in answer, answer
        return dict(answer["result"])

    def error(self, method: str, **params: Any) -> int:
        """Return the code of the error of a request that fails."""
        answer = self.rpc(method, **params)
        assert "error" in answer, answer
        return int(answer["error"]["code"])

    def sent(self, text: str = "hello", configuration: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Return the task of a message."""
        params = {"message": said(text, **more), "configuration": configuration or {}}
        return dict(self.result("SendMessage", **params)["task"])

    def events(self, response: httpx.Response) -> list[dict[str, Any]]:
        """Return the events of a stream."""
        return [json.loads(line[5:]) for line in response.iter_lines() if line.startswith("data:")]


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"text": text}], **more}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    path, end = tmp_path_factory.mktemp("a2a") / "chats.db", Gate()

    @tool(effect="read", long_running=True)
    async def work() -> str:
        """Work."""
        await end
        return "worked"

    settings = ConversationSettings(patience=5, shutdown_grace=0, cancel_grace=30)
    with open_database(path) as store, Conversations(Script(by_words), [work], store=path, settings=settings) as conversations:
        application = create_a2a_application(
            conversations, AccessToken(TOKEN), store=store, name="desk", private_push=True, users={"ben": AccessToken(BENS)}
        )
        server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error"))
        up, startup = threading.Event(), server.startup

        async def announce(sockets: Any = None) -> None:
            await startup(sockets)
            up.set()

        server.startup = announce  # type: ignore[method-assign] # to know when it is ready
        thread = start_thread(server.run, "a2a")
        try:
            assert up.wait(20)
            address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            headers = {"Authorization": f"Bearer {TOKEN}", "A2A-Version": "1.0"}
            with httpx.Client(base_url=address, headers=headers, timeout=30) as http:
                yield Agent(http, end)
        finally:
            end.set()
            server.should_exit = True
            thread.join(20)


# The card.


def card_is_public(agent: Agent) -> None:
    found = httpx.get(agent.http.base_url.join("/.well-known/agent-card.json"))
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("application/json")


def card_is_whole(agent: Agent) -> None:
    card = agent.http.get("/.well-known/agent-card.json").json()
    needed = {
        "name", "description", "version", "supportedInterfaces", "capabilities", "defaultInputModes", "defaultOutputModes", "skills"
    }  # fmt: skip
    assert needed <= card.keys()
    assert all({"id", "name", "description", "tags"} <= each.keys() for each in card["skills"])


def card_declares_its_bindings(agent: Agent) -> None:
    interfaces = agent.http.get("/.well-known/agent-card.json").json()["supportedInterfaces"]
    assert [each["protocolBinding"] for each in interfaces] == ["JSONRPC", "HTTP+JSON"]
    assert all(each["url"].startswith("http") and each["protocolVersion"] == "1.0" for each in interfaces)


def card_can_be_cached(agent: Agent) -> None:
    found = agent.http.get("/.well-known/agent-card.json")
    assert "max-age" in found.headers["cache-control"]
    again = agent.http.get("/.well-known/agent-card.json", headers={"If-None-Match": found.headers["etag"]})
    assert again.status_code == 304


def no_extended_card(agent: Agent) -> None:
    assert agent.error("GetExtendedAgentCard") in (UNSUPPORTED, -32007)


# Access.


def every_request_is_authenticated(agent: Agent) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong"}):
        for path in ("/", "/message:send"):
            assert httpx.post(agent.http.base_url.join(path), json={}, headers=headers).status_code == 401


def tasks_of_others_look_unknown(agent: Agent) -> None:
    task, bens = agent.sent(), {"Authorization": f"Bearer {BENS}"}
    for method in ("GetTask", "CancelTask", "SubscribeToTask"):
        answers = [agent.rpc(method, bens, id=each)["error"] for each in (task["id"], "nothing")]
        assert [each["code"] for each in answers] == [NOT_FOUND, NOT_FOUND]
    listed = agent.rpc("ListTasks", bens)["result"].get("tasks", [])
    assert task["id"] not in {each["id"] for each in listed}


# Messages and tasks.


def message_becomes_a_task(agent: Agent) -> None:
    task = agent.sent()
    assert {"id", "contextId", "status"} <= task.keys()
    assert task["status"]["state"] in STATES
    (artifact,) = task["artifacts"]
    assert artifact["artifactId"]
    assert artifact["parts"] == [{"text": "you said hello"}]


def times_are_utc(agent: Agent) -> None:
    stamp = agent.sent()["status"]["timestamp"]
    assert stamp.endswith("Z")
    dt.datetime.fromisoformat(stamp)


def unknown_fields_are_ignored(agent: Agent) -> None:
    assert agent.sent(strange={"field": 1})["status"]["state"] == "TASK_STATE_COMPLETED"


def missing_fields_are_refused(agent: Agent) -> None:
    whole = said("hello")
    for field in ("messageId", "role", "parts"):
        assert agent.error("SendMessage", message={name: each for name, each in whole.items() if name != field}) == -32602


def strange_media_types_are_refused(agent: Agent) -> None:
    message = said("x", parts=[{"raw": "AAAA", "mediaType": "application/x-strange"}])
    assert agent.error("SendMessage", message=message) == MEDIA


def blocking_waits_for_the_end(agent: Agent) -> None:
    assert agent.sent()["status"]["state"] == "TASK_STATE_COMPLETED"


def not_blocking_answers_at_once_and_cancel_ends_it(agent: Agent) -> None:
    task = agent.sent("!work", {"returnImmediately": True})
    assert task["status"]["state"] in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING")
    assert not agent.end.done
    while not any("operation" in each.get("metadata", {}) for each in [agent.result("GetTask", id=task["id"])]):
        time.sleep(0.01)
    assert agent.result("CancelTask", id=task["id"])["status"]["state"] == "TASK_STATE_CANCELED"
    assert agent.error("CancelTask", id=task["id"]) == NOT_CANCELABLE


def ended_tasks_take_no_messages(agent: Agent) -> None:
    task = agent.sent()
    assert agent.error("SendMessage", message=said("more", taskId=task["id"])) == UNSUPPORTED


def ended_tasks_are_not_cancelled(agent: Agent) -> None:
    assert agent.error("CancelTask", id=agent.sent()["id"]) == NOT_CANCELABLE


def unknown_tasks_are_not_found(agent: Agent) -> None:
    for method in ("GetTask", "CancelTask", "SubscribeToTask"):
        assert agent.error(method, id="nothing") == NOT_FOUND
    assert agent.error("SendMessage", message=said("x", taskId="nothing")) == NOT_FOUND


def get_returns_the_state(agent: Agent) -> None:
    task = agent.sent()
    assert agent.result("GetTask", id=task["id"])["status"] == task["status"]


def contexts_are_made_kept_and_inferred(agent: Agent) -> None:
    first, second = agent.sent(), agent.sent()
    assert first["contextId"] != second["contextId"]
    assert first["id"] != second["id"]
    assert agent.sent(contextId="mine")["contextId"] == "mine"


def contexts_that_do_not_fit_are_refused(agent: Agent) -> None:
    task = agent.sent()
    assert agent.error("SendMessage", message=said("x", taskId=task["id"], contextId="another")) == -32602


def history_has_the_asked_length(agent: Agent) -> None:
    task = agent.sent(configuration={"historyLength": 0})
    assert not task.get("history")
    assert not agent.result("GetTask", id=task["id"], historyLength=0).get("history")
    (kept,) = agent.result("GetTask", id=task["id"], historyLength=1)["history"]
    assert kept["parts"] == [{"text": "hello"}]


# Lists.


def lists_have_pages(agent: Agent) -> None:
    made = [agent.sent(contextId="pages")["id"] for _ in range(3)]
    first = agent.result("ListTasks", contextId="pages", pageSize=2)
    assert [each["id"] for each in first["tasks"]] == made[:0:-1]
    last = agent.result("ListTasks", contextId="pages", pageSize=2, pageToken=first["nextPageToken"])
    assert [each["id"] for each in last["tasks"]] == made[:1]
    assert not last.get("nextPageToken")


def lists_leave_artifacts_out(agent: Agent) -> None:
    agent.sent(contextId="artifacts")
    (short,) = agent.result("ListTasks", contextId="artifacts")["tasks"]
    (whole,) = agent.result("ListTasks", contextId="artifacts", includeArtifacts=True)["tasks"]
    assert "artifacts" not in short
    assert whole["artifacts"]


# Streams.


def streams_begin_with_the_task_and_end_with_its_end(agent: Agent) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": {"message": said("one two three")}}
    with agent.http.stream("POST", "/", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [each["result"] for each in agent.events(response)]
    assert "task" in events[0]
    assert events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    pieces = [each["artifactUpdate"] for each in events if "artifactUpdate" in each]
    written = "".join(each["artifact"]["parts"][0]["text"] for each in pieces if not each.get("lastChunk"))
    assert written == "you said one two three"


def ended_tasks_are_not_subscribed_to(agent: Agent) -> None:
    assert agent.error("SubscribeToTask", id=agent.sent()["id"]) == UNSUPPORTED


# Push notifications.


def push_configurations_are_made_shown_listed_and_deleted(agent: Agent) -> None:
    task, url = agent.sent()["id"], "http://127.0.0.1:9/hook"
    made = agent.result("CreateTaskPushNotificationConfig", taskId=task, id="c1", url=url)
    assert (made["id"], made["url"]) == ("c1", url)
    assert agent.result("GetTaskPushNotificationConfig", taskId=task, id="c1")["url"] == url
    assert [each["id"] for each in agent.result("ListTaskPushNotificationConfigs", taskId=task)["configs"]] == ["c1"]
    for _ in range(2):
        agent.rpc("DeleteTaskPushNotificationConfig", taskId=task, id="c1")
    assert agent.error("GetTaskPushNotificationConfig", taskId=task, id="c1") == NOT_FOUND
    assert agent.error("CreateTaskPushNotificationConfig", taskId="nothing", id="c1", url=url) == NOT_FOUND


# The bindings.


def json_rpc_errors_have_their_codes(agent: Agent) -> None:
    def code(content: str) -> int:
        found = agent.http.post("/", content=content, headers={"Content-Type": "application/json"}).json()
        assert found["jsonrpc"] == "2.0"
        return int(found["error"]["code"])

    assert code("{") == -32700
    assert code('{"jsonrpc": "1.0", "id": 1, "method": "GetTask"}') == -32600
    assert code('{"jsonrpc": "2.0", "id": 1, "method": "Nothing"}') == -32601
    assert code('{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": 5}}') == -32602


def errors_have_information(agent: Agent) -> None:
    (detail,) = agent.rpc("GetTask", id="nothing")["error"]["data"]
    assert (detail["reason"], detail["domain"]) == ("TASK_NOT_FOUND", "a2a-protocol.org")
    found = agent.http.get("/tasks/nothing")
    assert found.status_code == 404
    error = found.json()["error"]
    assert (error["code"], error["status"], error["details"][0]["reason"]) == (404, "NOT_FOUND", "TASK_NOT_FOUND")


def both_bindings_say_the_same(agent: Agent) -> None:
    found = agent.http.post("/message:send", json={"message": said("hello")})
    assert found.headers["content-type"].startswith("application/a2a+json")
    task = found.json()["task"]
    assert agent.http.get(f"/tasks/{task['id']}").json() == agent.result("GetTask", id=task["id"])
    assert task["id"] in {each["id"] for each in agent.http.get("/tasks", params={"pageSize": 50}).json()["tasks"]}
    assert agent.http.post(f"/tasks/{task['id']}:cancel", json={}).status_code in (400, 409)
    with agent.http.stream("POST", "/message:stream", json={"message": said("hello")}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert agent.events(response)[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


def versions_are_checked(agent: Agent) -> None:
    for version, fits in (("1.0", True), ("1.0.7", True), ("99.0", False)):
        answer = agent.rpc("GetTask", {"A2A-Version": version}, id="nothing")
        assert answer["error"]["code"] == (NOT_FOUND if fits else VERSION)


class Requirement(NamedTuple):
    """A requirement: its section of the specification, what it says, and the check."""

    section: str
    text: str
    check: Callable[[Agent], None]


REQUIREMENTS = [
    Requirement("8.1", "an agent makes its card available", card_is_public),
    Requirement("4.4.1", "a card has all required fields", card_is_whole),
    Requirement("8.3", "a card declares each binding with its address and version", card_declares_its_bindings),
    Requirement("8.6.1", "a card has Cache-Control and ETag", card_can_be_cached),
    Requirement("3.1.11", "an extended card that is not configured is an error of its own", no_extended_card),
    Requirement("7.4", "every request is authenticated", every_request_is_authenticated),
    Requirement("13.1", "results are the caller's own, and others' tasks are not revealed", tasks_of_others_look_unknown),
    Requirement("3.1.1", "a message is answered by a task, with its required fields", message_becomes_a_task),
    Requirement("5.6.1", "times are in ISO 8601, in UTC", times_are_utc),
    Requirement("5.7", "fields that are unknown are ignored", unknown_fields_are_ignored),
    Requirement("5.7", "fields that are required must be there", missing_fields_are_refused),
    Requirement("3.1.1", "a media type that is not supported is refused", strange_media_types_are_refused),
    Requirement("3.2.2", "a blocking request waits for the end, or for input", blocking_waits_for_the_end),
    Requirement(
        "3.2.2", "another returns at once; a cancelled task is cancelled", not_blocking_answers_at_once_and_cancel_ends_it
    ),
    Requirement("3.1.1", "a task that has ended takes no message", ended_tasks_take_no_messages),
    Requirement("3.1.5", "a task that has ended is not cancelled", ended_tasks_are_not_cancelled),
    Requirement("3.1.3", "an unknown task is not found, by all methods", unknown_tasks_are_not_found),
    Requirement("3.1.3", "the state of a task is as it stands", get_returns_the_state),
    Requirement(
        "3.4.1", "contexts are made, or those of the client; ids of tasks are unique", contexts_are_made_kept_and_inferred
    ),
    Requirement("3.4.3", "a context that is not that of the task is refused", contexts_that_do_not_fit_are_refused),
    Requirement("3.2.4", "the history is no longer than asked for", history_has_the_asked_length),
    Requirement("3.1.4", "lists have pages, the latest first, and an empty token at the end", lists_have_pages),
    Requirement("3.1.4", "lists leave artifacts out unless they are asked for", lists_leave_artifacts_out),
    Requirement(
        "3.1.2", "a stream begins with the task, is in order, and ends", streams_begin_with_the_task_and_end_with_its_end
    ),
    Requirement("3.1.6", "a task that has ended is not subscribed to", ended_tasks_are_not_subscribed_to),
    Requirement(
        "3.1.7", "push configurations are made, shown, listed, deleted", push_configurations_are_made_shown_listed_and_deleted
    ),
    Requirement("9.5", "errors of JSON-RPC have their codes", json_rpc_errors_have_their_codes),
    Requirement("9.5, 11.6", "errors of the protocol have information about them", errors_have_information),
    Requirement("5.1", "both bindings do the same", both_bindings_say_the_same),
    Requirement("3.6", "a version is compared without its last part; another is refused", versions_are_checked),
]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda each: each.check.__name__)
def test_a_requirement_of_the_specification(agent: Agent, requirement: Requirement) -> None:
    requirement.check(agent)


def test_files_of_a_message_go_to_the_model(tmp_path: Path) -> None:
    from a2a.types import Message, Part  # noqa: PLC0415 - of this test only

    from coterie.interop.a2a.executor import _files  # noqa: PLC0415 - as above

    parts = [Part(text="see"), Part(raw=b"x", filename="a.pdf"), Part(url="https://there/b.png", media_type="image/png")]
    found = _files(Message(parts=parts))
    assert [(each.media_type, each.data, each.url, each.name) for each in found] == [
        ("application/pdf", b"x", "", "a.pdf"),
        ("image/png", b"", "https://there/b.png", ""),
    ]
