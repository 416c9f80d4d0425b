"""A process that talks and works is killed at any moment: nothing is done twice, nothing is answered twice, nothing is lost."""

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from coterie.conversation import (
    AnyConversationEvent,
    Conversation,
    Delivered,
    OperationChanged,
    OperationState,
    TurnBegan,
    TurnEnded,
)
from coterie.conversation.operations.machine import blocked_by_unknown
from coterie.kernel import stream
from tests.runs import LONG

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from coterie.conversation import Conversation, ConversationSettings, Finding, ToolContext, tool
from coterie.models import ModelReply, TextMessage, TextDelta, ToolCall

EFFECTS = sys.argv[2]

def effect(line):
    with open(EFFECTS, "a") as file:
        file.write(line + "\\n")
        file.flush()
        os.fsync(file.fileno())

def effects():
    return Path(EFFECTS).read_text().split("\\n") if Path(EFFECTS).exists() else []

async def work(context, what):
    for step in range(3):
        await context.progress(step / 3)
        await asyncio.sleep(0.004)
    effect(f"{context.operation} {what}")
    await asyncio.sleep(0.004)
    return f"{context.operation} did {what}"

@tool(long_running=True, resources=["a"])
async def blind(context: ToolContext, what: str) -> str:
    return await work(context, what)

def look(context, what):
    done = f"{context.operation} {what}" in effects()
    return Finding.done(f"{context.operation} did {what}") if done else Finding.not_done()

@tool(long_running=True, resources=["b"], check=look)
async def checked(context: ToolContext, what: str) -> str:
    return await work(context, what)

@tool(resources=["c"])
def quick(context: ToolContext, what: str) -> str:
    effect(f"{context.operation} {what}")
    return f"{context.operation} did {what}"

class Model:
    name = "rules"
    async def stream(self, request):
        last = request.exchanges[-1]
        if request.step.startswith("delivery") or not isinstance(last, TextMessage):
            reply = ModelReply(text="so it is")
        else:
            name, _, what = last.text.partition(" ")
            reply = ModelReply(text="hm")
            if name in ("blind", "checked", "quick"):
                in_second = "/second/" in request.step
                call = ("request", {"tool": name, "arguments": {"what": what}}) if in_second else (name, {"what": what})
                reply = ModelReply(calls=(ToolCall("x", *call),))
        yield TextDelta(reply.text)
        yield reply

TOOLS = [blind, checked, quick]

def open_chat():
    return Conversation(Model(), TOOLS, store=sys.argv[1], settings=ConversationSettings(queue=1000))

async def main():
    life = sys.argv[3]
    async with open_chat() as chat:
        for n in range(1000):
            what = f"{life}-{n}"
            name = ("blind", "quick", "checked", "chatter")[n % 4]
            await chat.send(f"{name} {what}", id=what).answer()
            print(what, flush=True)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def settled(chat: Conversation) -> list[AnyConversationEvent]:
    """Return all that the log tells when all is quiet."""
    await chat.settle()
    return [event async for event in chat.events(0, follow=False)]


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_a_conversation_survives_being_killed_at_any_moment(tmp_path: Path) -> None:
    program, store, effects = tmp_path / "program.py", tmp_path / "chats.db", tmp_path / "effects"
    program.write_text(PROGRAM)
    acknowledged: list[str] = []
    random = stream(1)
    for life in range(60 if LONG else 6):
        command = [sys.executable, str(program), str(store), str(effects), str(life)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - our own program
            assert child.stdout is not None
            for _ in range(random.randrange(1, 12)):
                line = child.stdout.readline()
                assert line, "the child ended by itself"
                acknowledged.append(line.strip())
            child.kill()
            acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]

    namespace: dict[str, Any] = {"__name__": "child"}
    before = sys.argv
    sys.argv = ["child", str(store), str(effects)]
    try:
        exec(compile(PROGRAM, "child", "exec"), namespace)  # noqa: S102 - our own program, read back

        async def look() -> tuple[list[AnyConversationEvent], list[Any], tuple[Any, ...]]:
            async with namespace["open_chat"]() as chat:
                return await settled(chat), list(chat.operations()), chat.transcript()

        events, operations, transcript = asyncio.run(look())
    finally:
        sys.argv = before

    done = Counter(effects.read_text().split("\n")[:-1])
    assert [line for line, times in done.items() if times > 1] == [], "something was done twice"
    # What was queued behind one of unknown outcome waits for the user to say what became of that.
    waiting = blocked_by_unknown(operations)
    for each in operations:
        took_effect = f"{each.id} {each.arguments['what']}" in done
        assert each.ended or each.state is OperationState.UNKNOWN or each in waiting
        if each.state is OperationState.SUCCEEDED:
            assert took_effect
        if each.tool == "checked":
            assert each.state is (OperationState.SUCCEEDED if took_effect else OperationState.FAILED)
        elif each in waiting:
            assert not took_effect
        elif each.state is not OperationState.SUCCEEDED:
            # Nobody can tell, so the user was asked.
            assert each.state is OperationState.UNKNOWN
            assert each.reported
    # Everything that was said was answered, once.
    began = Counter(each.turn for each in events if isinstance(each, TurnBegan))
    ended = Counter(each.turn for each in events if isinstance(each, TurnEnded))
    assert began == ended
    assert set(began.values()) == {1}
    said = {each.text.split(" ")[-1] for each in transcript if each.role == "user"}
    assert set(acknowledged) <= said
    # Every outcome was told once, and each operation came to one end.
    told = Counter((one.number, one.state) for each in events if isinstance(each, Delivered) for one in each.operations)
    assert set(told.values()) <= {1}
    ends = Counter(each.operation.number for each in events if isinstance(each, OperationChanged) and each.operation.ended)
    assert set(ends.values()) <= {1}
    background = {each.number for each in operations if each.background and each not in waiting}
    assert {number for number, _ in told} == background
