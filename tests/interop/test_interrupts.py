"""Approval and resolution by people over HTTP, and by AG-UI's interrupt and resume."""

from pathlib import Path
from typing import Any

import pytest

from .served import Served, served, texts, types


def resume(name: str, payload: Any = None, status: str = "resolved") -> list[dict[str, Any]]:
    return [{"interruptId": name, "status": status, "payload": payload}]


def interrupt_of(events: list[Any]) -> Any:
    outcome = events[-1].outcome
    assert outcome.type == "interrupt", events[-1]
    return outcome.interrupts[-1]


def operation(server: Served, thread: str, number: int = 1) -> Any:
    with server.client() as client:
        return client.get(f"/agui/{thread}/operations").json()["operations"][number - 1]


def test_a_run_ends_with_an_interrupt_and_resumes_with_its_answer(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        asked = interrupt_of(server.run("t", "pay 5"))
        assert (asked.id, asked.message, asked.reason) == ("op-1.1", "Really pay?", "tool_call")
        assert asked.metadata["operation"]["arguments"] == {"amount": 5}
        assert asked.expires_at is not None
        resumed = server.run("t", None, resume=resume("op-1.1", {"approved": True}))
        assert types(resumed)[-1] == "RUN_FINISHED"
        assert resumed[-1].outcome.type == "success"
        assert list(texts(resumed).values()) == ["5 is paid"]
        assert server.held.done == ["paid 5"]
        # A second time, and late.
        with server.client() as client:
            body = {"threadId": "t", "runId": "again", "messages": [], "resume": resume("op-1.1", True)}
            again = client.post("/agui", json=body)
            assert (again.status_code, "approved" in again.text) == (409, True)
            assert client.post("/agui", json=body | {"resume": resume("op-1.1", None, "cancelled")}).status_code == 200
            assert client.post("/agui", json=body | {"resume": resume("op-9.1", True)}).status_code == 404
            assert client.post("/agui", json=body | {"resume": resume("op-1.1", "perhaps")}).status_code == 422
        assert server.held.done == ["paid 5"]


def test_a_resumed_run_can_change_arguments_or_reject(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        server.run("t", "pay 5")
        with server.client() as client:
            body = {"threadId": "t", "runId": "r", "messages": []}
            wrong = resume("op-1.1", {"approved": True, "arguments": {"amount": "a lot"}})
            assert client.post("/agui", json=body | {"resume": wrong}).status_code == 422
        changed = server.run("t", None, resume=resume("op-1.1", {"approved": True, "editedArgs": {"amount": 6}}))
        assert list(texts(changed).values()) == ["6 is paid"]
        assert interrupt_of(server.run("t", "pay 7")).id == "op-2.1"
        rejected = server.run("t", None, resume=resume("op-2.1", {"approved": False, "reason": "too dear"}))
        assert "too dear" in "".join(texts(rejected).values())
        server.run("t", "pay 8")
        server.run("t", None, resume=resume("op-3.1", status="cancelled"))
        assert operation(server, "t", 3)["state"] == "cancelled"
        assert server.held.done == ["paid 6"]


def test_operations_are_decided_on_over_http(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        for amount in (1, 2, 3):
            server.run("t", f"pay {amount}")
        at = "/agui/t/operations"
        assert [each["state"] for each in client.get(at).json()["operations"]] == ["awaiting approval"] * 3
        edited = client.post(f"{at}/op-1/edit", json={"arguments": {"amount": 10}}).json()["operation"]
        assert (edited["state"], edited["consent"], edited["arguments"]) == ("awaiting approval", 2, {"amount": 10})
        assert client.post(f"{at}/op-1/approve", json={"consent": 1}).status_code == 409
        assert client.post(f"{at}/op-1/approve").json()["operation"]["consent"] == 2
        assert client.post(f"{at}/op-2/reject", json={"why": "no"}).json()["operation"]["state"] == "cancelled"
        refused = client.post(f"{at}/op-3/approve", headers={"X-Approver": "child"})
        assert (refused.status_code, "too young" in refused.text) == (403, True)
        assert client.post(f"{at}/op-3/approve", headers={"X-Approver": "boss"}).json()["operation"]["approver"] == "boss"
        for path, body, status in (
            ("op-9/approve", {}, 404), ("op-1/edit", {}, 422), ("op-1/edit", {"arguments": []}, 422), ("op-1/reject", {"why": 1}, 422),
            ("op-1/approve", {"consent": "x"}, 422), ("op-1/resolve", {"outcome": "maybe"}, 422), ("op-1/approve", [], 422),
            ("op-1/resolve", {"outcome": "succeeded"}, 409),
        ):  # fmt: skip
            answer = client.post(f"{at}/{path}", json=body)
            assert answer.status_code == status, (path, answer.text)


@pytest.mark.parametrize("payload", [{"outcome": "perhaps"}, 7, None])
def test_a_resume_without_a_meaning_is_refused(tmp_path: Path, payload: Any) -> None:
    with served(tmp_path) as server, server.client() as client:
        body = {"threadId": "t", "runId": "r", "messages": [], "resume": resume("op-1", payload)}
        assert client.post("/agui", json=body).status_code == 422


def test_of_several_answers_each_has_an_outcome_of_its_own(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        for amount in (1, 2, 3, 4):
            server.run("t", f"pay {amount}")
        given = [
            *resume("op-1.1", {"approved": True}),
            *resume("op-2.7", {"approved": True}),  # another request than the latest
            *resume("op-3.1", {"approved": False, "reason": "too dear"}),
            *resume("op-4.1", {"approved": True, "arguments": {"amount": "a lot"}}),
            *resume("op-9.1", {"approved": True}),
        ]
        events = server.run("t", None, resume=given)
        (told,) = [each for each in events if each.type.value == "CUSTOM"]
        assert told.name == "REFUSED"
        assert [(each["interruptId"], each["status"]) for each in told.value] == [
            ("op-2.7", 409), ("op-4.1", 422), ("op-9.1", 404),
        ]  # fmt: skip
        assert "amount" in told.value[1]["message"]
        # Both outcomes came in this run, as one delivery.
        assert list(texts(events).values()) == ["merged"]
        states = [operation(server, "t", number)["state"] for number in (1, 2, 3, 4)]
        assert states == ["succeeded", "awaiting approval", "cancelled", "awaiting approval"]
        # What was refused is asked still, by the interrupts of the same run.
        assert [each.id for each in events[-1].outcome.interrupts] == ["op-2.1", "op-4.1"]
        assert server.held.done == ["paid 1"]
        # With a message the run answers that too.
        mixed = server.run("t", "hello", resume=[*resume("op-2.1", {"approved": True}), *resume("op-1.1", {"approved": True})])
        assert [each.value[0]["interruptId"] for each in mixed if each.type.value == "CUSTOM"] == ["op-1.1"]
        assert "you said hello" in texts(mixed).values()
        body = {"threadId": "t", "runId": "r", "messages": [], "resume": [*resume("op-1.1", True), *resume("op-9.1", True)]}
        both = client.post("/agui", json=body)
        assert both.status_code == 409
        assert ("op-1.1: " in both.text, "op-9.1: " in both.text) == (True, True)
