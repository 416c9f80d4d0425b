"""A program that is killed: a team with handoffs, approvals, an MCP server that dies, and prompts that are trimmed.

Usage: killed_team.py FOLDER LIFE. It talks until it is killed, and prints each message that was answered. The life ``look`` opens the
conversation, waits until it is idle, and prints all that became of it.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from coterie.conversation import (
    AssistantRole,
    Conversation,
    ConversationSettings,
    Delivered,
    Finding,
    HandedOver,
    KeepLast,
    McpServer,
    McpToolPolicy,
    OperationChanged,
    OperationState,
    ToolContext,
    TurnBegan,
    TurnEnded,
    handoff,
    tool,
)
from coterie.errors import ConversationError
from coterie.models import ModelReply, TextDelta, TextMessage, ToolCall
from tests.conversation.scripted import assert_paired

FOLDER, LIFE = Path(sys.argv[1]), sys.argv[2]
EFFECTS, PROBLEMS = FOLDER / "effects", FOLDER / "problems"
SERVER = Path(__file__).parents[1] / "conversation" / "mcp_program.py"
KINDS = ("pay", "hand over", "small_echo", "long", "chatter", "pay", "small_die", "hand over")


def note(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def look(context: ToolContext, what: str) -> Finding:
    done = EFFECTS.exists() and f"{context.operation} {what}" in EFFECTS.read_text().split("\n")
    return Finding.done(f"paid {what}") if done else Finding.not_done()


@tool(confirm="Shall I pay?", resources=["account"], check=look)
async def pay(context: ToolContext, what: str) -> str:
    await asyncio.sleep(0.003)
    note(EFFECTS, f"{context.operation} {what}")
    await asyncio.sleep(0.003)
    return f"paid {what}"


@tool(effect="read", long_running=True, resources=["garden"])
async def long(context: ToolContext, what: str) -> str:
    for step in range(4):
        await context.progress(step / 4)
        await asyncio.sleep(0.01)
    return f"{what} is long " + "x" * 5_000


def reply_to(request: Any) -> ModelReply:
    """Do what the message says, if its tool is offered."""
    last, offered = request.exchanges[-1], {each.name for each in request.tools}
    if not isinstance(last, TextMessage) or request.step.startswith(("delivery", "summary")):
        return ModelReply(text="so it is")
    name, _, what = last.text.rpartition(" ")
    if name == "hand over":
        found = next((each for each in sorted(offered) if each.startswith("handoff_to_")), None)
        return ModelReply(calls=(ToolCall("x", found, {"reason": what}),)) if found else ModelReply(text="not now")
    given = {} if name == "small_die" else {"text" if name == "small_echo" else "what": what}
    if name in offered:
        return ModelReply(calls=(ToolCall("x", name, given),))
    if "request" in offered and name != "chatter":
        return ModelReply(calls=(ToolCall("x", "request", {"tool": name, "arguments": given}),))
    return ModelReply(text=f"hm, {what}")


class Checked:
    """A model by rules that sees to the pairing of calls and results in every prompt."""

    name = "rules"

    async def ask(self, request: Any) -> Any:
        raise NotImplementedError

    async def stream(self, request: Any) -> Any:
        try:
            assert_paired(request.exchanges)
        except AssertionError as error:
            note(PROBLEMS, f"{request.step}: {error}")
        reply = reply_to(request)
        yield TextDelta(reply.text)
        yield reply


def open_chat(server: McpServer) -> Conversation:
    desk = AssistantRole("desk", instructions="You are the desk.", tools=[pay, handoff("billing")])
    billing = AssistantRole("billing", instructions="You handle bills.", tools=[pay, handoff("desk")])
    settings = ConversationSettings(queue=1_000, history=KeepLast(3), window=2_000, patience=0.05, shutdown_grace=0)
    return Conversation(Checked(), [long, server], team=[desk, billing], store=FOLDER / "chats.db", settings=settings)


async def talk(chat: Conversation) -> None:
    for number in range(1_000):
        what = f"{LIFE}-{number}"
        await chat.send(f"{KINDS[number % len(KINDS)]} {what}", id=what).answer()
        print(what, flush=True)  # noqa: T201 - the parent reads it
        waiting = [each for each in chat.operations(unfinished=True) if each.state is OperationState.AWAITING_APPROVAL]
        for place, each in enumerate(waiting):
            try:
                if (number + place) % 4 == 0:
                    await chat.reject(each, "too dear")
                elif (number + place) % 4 < 3:
                    await chat.approve(each)
            except ConversationError:
                continue


async def describe(chat: Conversation) -> None:
    await chat.settle()
    events = [event async for event in chat.events(0, follow=False)]
    found = {
        "began": [each.turn for each in events if isinstance(each, TurnBegan)],
        "ended": [[each.turn, each.speaker] for each in events if isinstance(each, TurnEnded)],
        "told": [[one.number, str(one.state)] for each in events if isinstance(each, Delivered) for one in each.operations],
        "ends": [each.operation.number for each in events if isinstance(each, OperationChanged) and each.operation.ended],
        "speech": [
            ["hand over", each.source, each.target] if isinstance(each, HandedOver) else ["answer", each.speaker, each.speaker]
            for each in events
            if isinstance(each, HandedOver | TurnEnded)
        ],
        "operations": [[each.number, each.tool, str(each.state), dict(each.arguments)] for each in chat.operations()],
        "said": [each.text.split(" ")[-1] for each in chat.transcript() if each.role == "user"],
    }
    print(json.dumps(found), flush=True)  # noqa: T201 - as above


async def main() -> None:
    policies = {"echo": McpToolPolicy(effect="read"), "die": McpToolPolicy(resources=("death",))}
    server = McpServer(
        "small", command=sys.executable, arguments=[str(SERVER)], policies=policies, required=False, connect_timeout=30
    )
    async with server, open_chat(server) as chat:
        await (describe(chat) if LIFE == "look" else talk(chat))


if __name__ == "__main__":
    asyncio.run(main())
