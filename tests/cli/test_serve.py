"""`coterie serve`: the telephone company over HTTP, as a front end finds it."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from ag_ui.core import Event
from pydantic import TypeAdapter

from coterie.conversation import Conversations, OperationState
from coterie.models import RuleModel
from tests.cli.talking import CODE, COTERIE, Talk, scenario, talking

SECRET = "correct-horse-battery-staple"  # noqa: S105 - of a test
EVENTS: TypeAdapter[Any] = TypeAdapter(Event)


class Front:
    """A front end of one thread: it keeps the messages, as front ends do."""

    def __init__(self, client: httpx.Client, thread: str) -> None:
        self.client = client
        self.thread = thread
        self.messages: list[dict[str, Any]] = []
        self.activities: dict[str, dict[str, Any]] = {}

    def say(self, text: str | None) -> str:
        """Do a run; return what was said in it."""
        if text is not None:
            self.messages.append({"id": f"user-{len(self.messages)}", "role": "user", "content": text})
        body = {"threadId": self.thread, "runId": f"run-{len(self.messages)}", "messages": self.messages}
        with self.client.stream("POST", "/agui", json=body) as reply:
            assert reply.status_code == 200, reply.read()
            return self.read(reply.iter_lines(), "RUN_FINISHED")

    def listen(self, words: str) -> str:
        """Listen between the runs until some words have come."""
        with self.client.stream("GET", f"/agui/{self.thread}/events") as reply:
            return self.read(reply.iter_lines(), "TEXT_MESSAGE_END", words)

    def read(self, lines: Iterator[str], last: str, words: str = "") -> str:
        said: list[str] = []
        for line in lines:
            if not line.startswith("data: "):
                continue
            event = EVENTS.validate_python(json.loads(line[6:]))
            kind = event.type.value
            assert kind != "RUN_ERROR", event
            if kind == "TEXT_MESSAGE_START":
                self.messages.append({"id": event.message_id, "role": "assistant", "content": ""})
                said.append("")
            elif kind == "TEXT_MESSAGE_CONTENT":
                self.messages[-1]["content"] += event.delta
                said[-1] += event.delta
            elif kind == "ACTIVITY_SNAPSHOT":
                self.activities[event.message_id] = event.content
            elif kind == "ACTIVITY_DELTA":
                for patch in event.patch:
                    assert patch.path[1:] in self.activities[event.message_id]
                    self.activities[event.message_id][patch.path[1:]] = patch.value
            if kind == last and words in " ".join(said):
                return "\n".join(said)
        raise AssertionError(f"the stream ended; there was {said}")


@contextmanager
def serving(path: Path, runs: Path, *options: object) -> Iterator[tuple[Talk, httpx.Client]]:
    with talking("serve", path, "--out", runs, "--port", 0, *options, COTERIE_TOKEN=SECRET) as talk:
        talk.expect("telco is served at ")
        address = talk.expect("\n").strip()
        headers = {"Authorization": f"Bearer {SECRET}"}
        with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
            yield talk, client


def log_in(front: Front, number: str = "07700 900101") -> str:
    assert "6 digits" in front.say(number)
    return front.say(CODE)


def test_a_long_operation_with_status_questions_over_agui(tmp_path: Path) -> None:
    with serving(scenario(tmp_path, time_scale=0.3), tmp_path / "runs") as (talk, client):
        front = Front(client, "alice")
        assert "telephone number?" in front.say("close my contract")
        assert "Shall I go on?" in log_in(front)
        assert "is under way" in front.say("yes")
        assert re.search(r"\d+ % done", front.say("how far is it?"))
        assert front.activities["operation-3"]["state"] == "running"
        assert "Spain is in zone Europe" in front.say("what does roaming in Spain cost?")
        assert front.listen("is closed") == "Contract C-1001 is closed. The final bill is £17.50."
        assert front.activities["operation-3"]["state"] == "succeeded"
        assert front.say("thanks") == "You are welcome."
        assert "text message to +447700900101" in talk.expect(f"Your code is {CODE}")


def test_a_quick_question_over_agui(tmp_path: Path) -> None:
    with serving(scenario(tmp_path), tmp_path / "runs") as (_, client):
        front = Front(client, "quick")
        assert front.say("what packages are there?").startswith("These are our packages.")
        assert front.say("what is running?") == "There is nothing under way."


def test_interactive_over_completions(tmp_path: Path) -> None:
    with serving(scenario(tmp_path, time_scale=0.05), tmp_path / "runs") as (_, client):
        history: list[dict[str, str]] = []

        def say(text: str) -> str:
            history.append({"role": "user", "content": text})
            reply = client.post("/v1/chat/completions", json={"model": "telco", "messages": history})
            assert reply.status_code == 200, reply.text
            history.append(reply.json()["choices"][0]["message"])
            return history[-1]["content"]

        assert "telephone number?" in say("switch me to plus 60")
        assert "6 digits" in say("07700 900101")
        assert "Shall I go on?" in say(CODE)
        assert "is under way" in say("yes")
        said = ""
        for _ in range(100):
            said += say("is it done?")
            if "The package is Plus 60 now" in said:
                break
        assert "The package is Plus 60 now" in said
        assert "Plus 60" in say("what is my package?")


def test_one_front_end_never_reaches_anothers_customer(tmp_path: Path) -> None:
    with serving(scenario(tmp_path), tmp_path / "runs") as (_, client):
        alice, mallory = Front(client, "alice"), Front(client, "mallory")
        alice.say("what is my package?")
        assert "Everyday 20" in log_in(alice)
        assert "telephone number?" in mallory.say("what is my package?")
        mallory.say("07700 900102")
        assert "Starter 5" in mallory.say(CODE)
        assert "Everyday 20" in alice.say("what is my package?")


def test_killed_and_started_again_the_result_comes_once(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with serving(scenario(tmp_path, time_scale=50), runs) as (talk, client):
        front = Front(client, "alice")
        front.say("close my contract")
        log_in(front)
        front.say("yes")
        talk.kill()
    messages = front.messages
    with serving(scenario(tmp_path, time_scale=0.05), runs) as (_, client):
        front = Front(client, "alice")
        front.messages = messages
        assert "is closed" in front.listen("is closed")
        assert front.say("thanks") == "You are welcome."


def test_the_token_is_made_up_and_printed_once(tmp_path: Path) -> None:
    with talking("serve", scenario(tmp_path), "--out", tmp_path / "runs", "--port", 0, COTERIE_TOKEN="") as talk:
        talk.expect("telco is served at ")
        address = talk.expect("\n").strip()
        assert address.startswith("http://127.0.0.1:")
        talk.expect("The token, for this time only: ")
        token = talk.expect("\n").strip()
        assert httpx.get(f"{address}/v1/models").status_code == 401
        assert httpx.get(f"{address}/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert httpx.get(f"{address}/health").json() == {"status": "ok"}
        talk.process.send_signal(signal.SIGINT)
        shown = talk.end()
    assert shown.count(token) == 1
    assert "Traceback" not in shown
    kept = b"".join(path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file())
    assert token.encode() not in kept


def refused(*arguments: object, key: str = SECRET) -> str:
    done = subprocess.run(  # noqa: S603 - our own command
        [COTERIE, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, env={"COTERIE_TOKEN": key}
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_unsafe_and_impossible_options_are_refused_with_a_remedy(tmp_path: Path) -> None:
    path, runs = scenario(tmp_path), tmp_path / "runs"
    assert "set expose and a token" in refused("serve", path, "--out", runs, "--host", "0.0.0.0")  # noqa: S104 - refused
    assert "of your own" in refused("serve", path, "--out", runs, "--host", "0.0.0.0", "--expose", key="")  # noqa: S104
    assert "at least 16 printable characters" in refused("serve", path, "--out", runs, key="weak")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be served on" in refused("serve", path, "--out", runs, "--port", port)


def test_after_sigterm_running_work_ends_and_is_reported_before_the_process_ends(tmp_path: Path) -> None:
    with serving(scenario(tmp_path, time_scale=0.1), tmp_path / "runs") as (talk, client):
        front = Front(client, "alice")
        front.say("close my contract")
        log_in(front)
        front.say("yes")
        with client.stream("GET", "/agui/alice/events") as reply:
            lines = reply.iter_lines()
            next(lines)
            talk.process.send_signal(signal.SIGTERM)
            assert "is closed" in front.read(lines, "TEXT_MESSAGE_END", "is closed")
            assert not [line for line in lines if line.startswith("data: ")]
        assert "Traceback" not in talk.end()
    with Conversations(RuleModel(lambda _: "hm"), store=tmp_path / "runs" / "telco" / "conversations.db") as kept:
        operations = kept.open(("agui", "-", "alice")).operations()
        assert [each.state for each in operations if each.tool == "close_contract"] == [OperationState.SUCCEEDED]
