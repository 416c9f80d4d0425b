"""Serve an assistant by rules for the AG-UI client: print its address, and run until the input ends."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import uvicorn

from coterie.concurrency import start_thread
from coterie.conversation import Conversations, tool
from coterie.interop import AccessToken, ServingOptions, create_application
from coterie.models import ModelReply, ModelRequest, RuleModel, TextMessage, ToolCall
from coterie.storage import open_database

TOKEN = "the-token-of-the-conformance-run"  # noqa: S105 - of a test


@tool(confirm="May I pay this?", resources=["account"])
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"{amount} paid"


def answer(request: ModelRequest) -> ModelReply | str:
    """Call what the message asks for."""
    last = request.exchanges[-1]
    if not isinstance(last, TextMessage):
        return f"[{getattr(last, 'content', '')}]"
    if "pay" in last.text:
        return ModelReply(calls=(ToolCall("1", "pay", {"amount": 5}),))
    if "paint" in last.text:
        return ModelReply(text="A moment.", calls=(ToolCall("1", "paint", {"colour": "red"}),))
    return f"you said {last.text}"


def main() -> None:
    """Serve until the input ends."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Conversations(RuleModel(answer, name="rules"), [pay], store=Path(folder) / "chats.db") as conversations,
        open_database(Path(folder) / "chats.db") as store,
    ):
        application = create_application(conversations, AccessToken(TOKEN), store=store, options=ServingOptions(port=0))
        server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error"))
        up = threading.Event()
        startup = server.startup

        async def announce(sockets: object = None) -> None:
            await startup(sockets)  # type: ignore[arg-type]
            up.set()

        server.startup = announce  # type: ignore[method-assign] # to know when it is ready
        running = start_thread(server.run, "server")
        assert up.wait(30)
        port = server.servers[0].sockets[0].getsockname()[1]
        sys.stdout.write(f"http://127.0.0.1:{port}/agui {TOKEN}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.should_exit = True
        running.join(20)


if __name__ == "__main__":
    main()
