"""A server with a scripted assistant whose tools the tests hold and release."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from ag_ui.core import Event
from pydantic import TypeAdapter

from coterie.concurrency import start_thread
from coterie.conversation import Conversations, ConversationSettings, Effect, ToolContext, tool
from coterie.interop import AccessToken, ServingOptions, create_application
from coterie.kernel import Clock
from coterie.models import ModelReply, ModelRequest, RuleModel, TextMessage, ToolCall
from coterie.storage import open_database

ANNS = "the-token-of-ann-and-of-nobody-else"
SECRET = "correct-horse-battery-staple"  # noqa: S105 - of a test
EVENTS: TypeAdapter[Any] = TypeAdapter(Event)


@dataclass
class Held:
    """What the tools of a test wait for."""

    go: threading.Event = field(default_factory=threading.Event)
    halfway: threading.Event = field(default_factory=threading.Event)
    """Set when the work has begun, and said so."""
    word: threading.Event = field(default_factory=threading.Event)
    """What the model waits for in the middle of an answer to "slowly"."""
    done: list[str] = field(default_factory=list)


def answer(request: ModelRequest) -> ModelReply | str:
    """Call `work` for "work NAME", `look` for "look"; else repeat what was said."""
    last = request.exchanges[-1]
    if not isinstance(last, TextMessage):
        return f"[{getattr(last, 'content', '')}]"
    words = last.text.split()
    offered = {each.name for each in request.tools}
    if not offered:
        return "merged"
    if last.attachments:
        return ", ".join(f"{each.media_type} {len(each.data) or each.url}" for each in last.attachments)
    asked = call_for(words, offered)
    if asked is not None:
        return ModelReply(text="A moment." if asked.name == "set_colour" else "", calls=(asked,))
    if words[0] == "fail":
        raise RuntimeError("a model's fault")
    return f"you said {last.text}"


def call_for(words: list[str], offered: set[str]) -> ToolCall | None:
    """Return the call that a message asks for, or None."""
    if words[0] == "colour" and "set_colour" in offered:
        return ToolCall("x", "set_colour", {"to": words[1]})
    if words[0] == "pay":
        return ToolCall("x", "pay", {"amount": int(words[1])})
    if words[0] == "work" and "work" in offered:
        return ToolCall("x", "work", {"name": words[1]})
    return ToolCall("x", "request", {"tool": "work", "arguments": {"name": words[1]}}) if words[0] == "work" else None


class Slow(RuleModel):
    """Says one word of an answer to "slowly", and then waits to be let go on."""

    def __init__(self, held: Held) -> None:
        super().__init__(answer)
        self._held = held

    async def stream(self, request: ModelRequest) -> Any:
        last = request.exchanges[-1]
        slowly = isinstance(last, TextMessage) and last.text == "slowly"
        first = True
        async for piece in super().stream(request):
            yield piece
            if slowly and first:
                import asyncio  # noqa: PLC0415 - here only

                await asyncio.to_thread(self._held.word.wait, 30)
            first = False


@dataclass
class Served:
    """A server that runs, and how to talk to it."""

    address: str
    held: Held
    conversations: Conversations

    def client(self, token: str | None = SECRET, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return httpx.Client(base_url=self.address, headers=headers, timeout=30, **options)

    def run(
        self,
        thread: str,
        text: str | None,
        *,
        message: str = "",
        messages: list[Any] | None = None,
        who: str = "",
        **more: Any,
    ) -> list[Any]:
        """Do a run of AG-UI, and return its events, each decoded by the protocol's own types."""
        with self.client() as client:
            given = messages if messages is not None else [] if text is None else [user(text, message or f"m-{text}")]
            body = {"threadId": thread, "runId": f"run of {text}", "messages": given, **more}
            reply = client.post("/agui", json=body, headers={"X-User": who} if who else {})
            assert reply.status_code == 200, reply.text
            assert reply.headers["content-type"].startswith("text/event-stream")
            return decoded(reply.text)


def user(text: str, identity: str) -> dict[str, str]:
    return {"id": identity, "role": "user", "content": text}


def decoded(text: str) -> list[Any]:
    return [EVENTS.validate_python(json.loads(line[6:])) for line in text.splitlines() if line.startswith("data: ")]


def types(events: list[Any]) -> list[str]:
    return [each.type.value for each in events]


def texts(events: list[Any]) -> dict[str, str]:
    """Return the messages of a stream by their ids."""
    found: dict[str, str] = {}
    for each in events:
        if each.type.value == "TEXT_MESSAGE_CONTENT":
            found[each.message_id] = found.get(each.message_id, "") + each.delta
    return found


@contextlib.contextmanager
def served(folder: Path, held: Held | None = None, clock: Clock | None = None, **options: Any) -> Iterator[Served]:
    held = held if held is not None else Held()

    @tool(effect=Effect.WRITE, resources=lambda name: [name], long_running=True)
    async def work(context: ToolContext, name: str) -> str:
        import asyncio  # noqa: PLC0415 - here only

        await context.progress(0.5, "halfway")
        held.halfway.set()
        await asyncio.to_thread(held.go.wait, 30)
        held.done.append(name)
        return f"{name} is done"

    @tool(confirm="Really pay?", resources=["money"], approver=lambda person: person != "child" or "too young")
    def pay(amount: int) -> str:
        held.done.append(f"paid {amount}")
        return f"{amount} is paid"

    path = folder / "chats.db"
    settings = ConversationSettings(grace=0.0, patience=0.0)
    with (
        Conversations(Slow(held), [work, pay], store=path, settings=settings) as conversations,
        open_database(path) as store,
    ):
        application = create_application(
            conversations,
            AccessToken(SECRET),
            store=store,
            name="test",
            options=ServingOptions(heartbeat=0.2, **options),
            clock=clock,
            users={"ann": AccessToken(ANNS)},
        )
        config = uvicorn.Config(application, port=0, access_log=False, log_level="error", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        up = threading.Event()
        startup = server.startup

        async def announce(sockets: Any = None) -> None:
            await startup(sockets)
            up.set()

        server.startup = announce  # type: ignore[method-assign] # to know when it is ready
        thread = start_thread(server.run, "server")
        assert up.wait(20)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Served(f"http://127.0.0.1:{port}", held, conversations)
        finally:
            held.go.set()
            held.word.set()
            application.state.server.closing.set()
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
