"""A page that is loaded anew, several tabs, and the stop of an answer over HTTP."""

from pathlib import Path
from typing import Any

from coterie.concurrency import start_thread

from .served import Served, served


def get(server: Served, path: str) -> Any:
    with server.client() as client:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


def test_a_page_gets_all_turns_with_ids_and_what_runs_now(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        for n in range(5):
            server.run("t", f"hello {n}", message=f"m{n}")
        server.run("t", "pay 5")
        server.run("t", "work box")
        assert server.held.halfway.wait(20)
        found = get(server, "/agui/t/transcript?limit=4")
        assert [each["role"] for each in found["messages"]] == ["user", "assistant"] * 2
        paid = found["messages"][1]["toolCalls"][0]
        assert (paid["function"], paid["operation"]) == ({"name": "pay", "arguments": '{"amount":5}'}, "op-1")
        assert {each["operation"]: each["state"] for each in found["operations"]} == {
            "op-1": "awaiting approval",
            "op-2": "running",
        }
        assert [each["id"] for each in found["interrupts"]] == ["op-1.1"]
        whole = [*get(server, f"/agui/t/transcript?before={found['before']}")["messages"], *found["messages"]]
        assert [each["content"] for each in whole if each["role"] == "user"][:5] == [f"hello {n}" for n in range(5)]
        assert (whole[0]["id"], whole[1]["id"]) == ("m0", f"answer-{whole[0]['eventId']}")
        with server.client() as client:
            assert client.get("/agui/t/transcript?before=x").status_code == 400
            assert client.get("/agui/t/transcript?limit=0").status_code == 400
            assert client.get("/agui/other/transcript").json()["messages"] == []


def test_an_answer_is_stopped_from_another_tab(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        runs: list[list[Any]] = []
        running = start_thread(lambda: runs.append(server.run("t", "slowly")), "a tab")
        while (page := get(server, "/agui/t/transcript")["running"]) is None or not page["content"]:
            pass
        with server.client() as client:
            assert client.post("/agui/t/stop", json={"turn": 9}).json() == {"stopped": False}
            assert client.post("/agui/t/stop").json() == {"stopped": True}
            assert client.post("/agui/t/stop", json={"turn": "x"}).status_code == 422
        running.join(20)
        assert runs[0][-1].outcome.type == "cancelled"
        said = get(server, "/agui/t/transcript")["messages"]
        assert (said[-1]["outcome"], said[-1]["content"].strip()) == ("stopped", "you")


def test_a_message_is_sent_without_a_run(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        sent = client.post("/agui/t/messages", json={"content": "hello", "id": "m1"})
        assert (sent.status_code, sent.json()["turn"]) == (202, 1)
        assert client.post("/agui/t/messages", json={"content": "hello", "id": "m1"}).json() == sent.json()
        assert client.post("/agui/t/messages", json={"content": 7}).status_code == 422
        while not (said := get(server, "/agui/t/transcript")["messages"][1:]):
            pass
        assert said[0]["content"] == "you said hello"


def test_pages_of_other_origins_are_a_setting(tmp_path: Path) -> None:
    options: Any = {"origins": ("https://chat.example",), "origin_headers": ("X-Trace",), "credentials": True}
    with served(tmp_path, **options) as server, server.client(None) as client:
        asked = {
            "Origin": "https://chat.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "X-Trace",
        }
        answer = client.options("/agui", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "X-Trace" in answer.headers["access-control-allow-headers"]
        assert client.options("/agui", headers=asked | {"Origin": "https://other.example"}).status_code == 400
