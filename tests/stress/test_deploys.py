"""A service is restarted under load as a deploy does it: SIGTERM, a grace, and now and then SIGKILL.

Nothing is unknown that could be known, nothing that was taken is lost, and nothing is told twice.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from coterie.conversation import Delivered, OperationChanged, OperationState, TurnBegan, TurnEnded
from coterie.conversation.operations.machine import blocked_by_unknown
from coterie.kernel import stream
from tests.runs import LONG

RESTARTS = int(os.environ.get("COTERIE_RESTARTS", "200" if LONG else "3"))
SECRET = "correct-horse-battery-staple"  # noqa: S105 - of a test
PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from coterie.conversation import Conversations, ConversationSettings, Finding, ToolContext, tool
from coterie.interop import AccessToken, ServingOptions, create_application, serve
from coterie.models import ModelReply, TextDelta, TextMessage, ToolCall
from coterie.storage import open_database

STORE, EFFECTS = sys.argv[1:3]

def effect(line):
    with open(EFFECTS, "a") as file:
        file.write(line + "\\n")
        file.flush()
        os.fsync(file.fileno())

def effects():
    return Path(EFFECTS).read_text().split("\\n") if Path(EFFECTS).exists() else []

async def work(context, what):
    # From very short to longer than the grace.
    for step in range(sum(map(ord, what)) % 7):
        await context.progress(step / 7)
        await asyncio.sleep(0.07)
    await context.point_of_no_return()
    effect(f"{context.idempotency_key} {what}")
    await asyncio.sleep(0.03)
    return f"did {what}"

@tool(long_running=True, resources=["a"])
async def blind(context: ToolContext, what: str) -> str:
    return await work(context, what)

def look(context, what):
    done = f"{context.idempotency_key} {what}" in effects()
    return Finding.done(f"did {what}") if done else Finding.resume()

@tool(long_running=True, resources=["b"], check=look)
async def checked(context: ToolContext, what: str) -> str:
    return await work(context, what)

@tool(long_running=True, resources=["c"], idempotent=True)
async def again(context: ToolContext, what: str) -> str:
    line = f"{context.idempotency_key} {what}"
    return f"did {what}" if line in effects() else await work(context, what)

@tool(resources=["a"], effect="read")
async def reading(context: ToolContext, what: str) -> str:
    await asyncio.sleep(0.05)
    return f"read {what}"

class Rules:
    name = "rules"
    async def stream(self, request):
        last = request.exchanges[-1]
        reply = ModelReply(text="so it is")
        if not request.step.startswith("delivery") and isinstance(last, TextMessage):
            name, _, what = last.text.partition(" ")
            if name in ("blind", "checked", "again", "reading"):
                asked = "/second/" in request.step and name != "reading"
                call = ("request", {"tool": name, "arguments": {"what": what}}) if asked else (name, {"what": what})
                reply = ModelReply(calls=(ToolCall("x", *call),))
        yield TextDelta(reply.text)
        yield reply

TOOLS = [blind, checked, again, reading]
SETTINGS = ConversationSettings(queue=1000, patience=0.1, grace=0.01, shutdown_grace=0.2, cancel_grace=2.0)

def open_host():
    return Conversations(Rules(), TOOLS, store=STORE, settings=SETTINGS)

if __name__ == "__main__":
    with open_host() as host, open_database(STORE) as store:
        options = ServingOptions(port=0, drain=1.0)
        application = create_application(host, AccessToken(sys.argv[3]), store=store, options=options)
        serve(application, options, ready=lambda address: print(address, flush=True))
"""


@dataclass
class FrontEnd:
    """A front end of one user, which keeps the messages and sends again what was not answered."""

    name: str
    messages: list[dict[str, str]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    told_again: list[str] = field(default_factory=list)
    unanswered: dict[str, str] | None = None
    acknowledged: set[str] = field(default_factory=set)

    def next_message(self, life: int) -> dict[str, str]:
        number = len(self.sent)
        text = f"{('blind', 'again', 'checked', 'reading', 'hello')[number % 5]} {self.name}-{life}-{number}"
        self.sent.append(text)
        return {"id": f"m{number}", "role": "user", "content": text}

    async def talk(self, client: httpx.AsyncClient, life: int) -> None:
        """Talk until the service is gone."""
        while True:
            message = self.unanswered = self.unanswered or self.next_message(life)
            given = [*self.messages[-100:], message]
            known = {each["id"] for each in given}
            body = {"threadId": self.name, "runId": message["id"], "messages": given}
            kinds: list[str] = []
            with contextlib.suppress(httpx.HTTPError):
                async with client.stream("POST", "/agui", json=body, headers={"X-User": self.name}) as reply:
                    async for line in reply.aiter_lines():
                        if line.startswith("data: "):
                            self.read(json.loads(line[6:]), kinds, known)
            if kinds and kinds[-1] != "RUN_ERROR":
                # A run that fails may not have taken the message; one that began has.
                self.acknowledged.add(message["content"])
            if not kinds or kinds[-1] != "RUN_FINISHED":
                return
            self.messages.append(message)
            self.unanswered = None

    def read(self, event: dict[str, Any], kinds: list[str], known: set[str]) -> None:
        kinds.append(event["type"])
        if event["type"] == "TEXT_MESSAGE_END":
            identity = event["messageId"]
            if identity in known and identity.startswith("delivery-"):
                self.told_again.append(identity)
            self.messages.append({"id": identity, "role": "assistant", "content": "-"})


async def live(command: list[str], front_ends: list[FrontEnd], life: int, chance: random.Random) -> tuple[bool, float]:
    """Run the service under load until a deploy ends it; return whether it was killed, and how long its end took."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603, ASYNC220 - our own program
        assert child.stdout is not None
        address = (await asyncio.to_thread(child.stdout.readline)).strip()
        assert address, "the service did not start"
        headers = {"Authorization": f"Bearer {SECRET}"}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=30) as client:
            talking = asyncio.gather(*(each.talk(client, life) for each in front_ends))
            await asyncio.sleep(chance.uniform(0.1, 0.8))
            began = time.monotonic()  # noqa: TID251 - of another process
            child.send_signal(signal.SIGTERM)
            killed = chance.random() < 0.4
            if killed:
                await asyncio.sleep(chance.uniform(0.0, 0.4))
                child.kill()
            await asyncio.wait_for(asyncio.to_thread(child.wait), 30)
            took = time.monotonic() - began  # noqa: TID251 - as above
            await asyncio.wait_for(talking, 30)
        assert child.returncode in (-signal.SIGKILL, 128 + signal.SIGTERM), child.returncode
        return child.returncode == -signal.SIGKILL, took


@pytest.mark.stress
@pytest.mark.timeout(3600)
def test_a_service_that_is_restarted_under_load_loses_nothing_and_asks_nothing_that_could_be_known(tmp_path: Path) -> None:
    program, store, effects = tmp_path / "program.py", tmp_path / "chats.db", tmp_path / "effects"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(store), str(effects), SECRET]
    chance = stream(7)
    front_ends = [FrontEnd(f"u{number}") for number in range(4)]
    kills: list[tuple[float, float]] = []
    ends: list[float] = []
    for life in range(RESTARTS):
        began = time.time()  # noqa: TID251 - the wall time of another process
        killed, took = asyncio.run(live(command, front_ends, life, chance))
        (kills if killed else []).append((began, time.time()))  # noqa: TID251 - as above
        ends.append(took)

    namespace: dict[str, Any] = {"__name__": "child"}
    before, sys.argv = sys.argv, command[1:]
    try:
        exec(compile(PROGRAM, "child", "exec"), namespace)  # noqa: S102 - our own program, read back
    finally:
        sys.argv = before
    done = Counter(effects.read_text().split("\n")[:-1])
    assert [line for line, times in done.items() if times > 1] == [], "something was done twice"
    states: Counter[str] = Counter()
    with namespace["open_host"]() as host:
        for front_end in front_ends:
            chat = host.open(("agui", front_end.name, front_end.name), user=front_end.name)
            states.update(asyncio.run(check(chat, front_end, effects, kills)))
    print(f"{RESTARTS} restarts, {len(kills)} killed, the slowest end took {max(ends):.1f} s, {dict(states)}")  # noqa: T201 - figures


async def check(chat: Any, front_end: FrontEnd, effects: Path, kills: list[tuple[float, float]]) -> list[str]:
    """Check one conversation, and return the states of its operations."""
    await chat.settle()
    lines = await asyncio.to_thread(effects.read_text)
    done = Counter(line.partition(" ")[2] for line in lines.split("\n")[:-1])
    operations = chat.operations()
    waiting = blocked_by_unknown(operations)
    for each in operations:
        took_effect = done[each.arguments["what"]]
        match each.state:
            case OperationState.UNKNOWN:
                # Nobody can tell, because the process was killed while it ran.
                assert any(start <= each.started_at <= end for start, end in kills), each
                assert each.tool == "blind" or (each.tool == "again" and each.interrupted >= 2), each
                assert each.reported
            case OperationState.SUCCEEDED:
                assert took_effect == (each.tool != "reading"), each
            case OperationState.CANCELLED:
                assert not took_effect, each
                assert each.tool == "blind"
            case OperationState.QUEUED:
                assert each in waiting, each
            case _:
                # A read that the end of the process interrupted three times is given up.
                assert each.tool == "reading", each
    events = [event async for event in chat.events(0, follow=False)]
    begun = Counter(each.turn for each in events if isinstance(each, TurnBegan))
    ended = Counter(each.turn for each in events if isinstance(each, TurnEnded))
    assert begun == ended
    assert set(begun.values()) <= {1}
    said = Counter(each.text for each in chat.transcript() if each.role == "user")
    assert front_end.acknowledged <= set(said), "a message that was taken is lost"
    assert set(said.values()) <= {1}, "a message was taken twice"
    told = Counter((one.number, one.state) for each in events if isinstance(each, Delivered) for one in each.operations)
    assert set(told.values()) <= {1}
    assert front_end.told_again == []
    finished = Counter(each.operation.number for each in events if isinstance(each, OperationChanged) and each.operation.ended)
    assert set(finished.values()) <= {1}
    background = {each.number for each in operations if each.background and each not in waiting}
    assert {number for number, _ in told} == background
    return [str(each.state) for each in operations]
