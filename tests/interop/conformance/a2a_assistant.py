"""Serve an assistant by A2A for the protocol's technology compatibility kit: print its address, and run until the input ends.

The kit says by the id of a message what the agent is to do, and sends no token. So each request gets the token here, and a message gets
the words that make the assistant do it. Files in answers and answers without a task are what an assistant has not.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from coterie.conversation import Conversations, ToolContext, tool
from coterie.interop import AccessToken
from coterie.interop.a2a.application import create_a2a_application
from coterie.models import ModelReply, ModelRequest, RuleModel, TextMessage, ToolCall
from coterie.storage import open_database

TOKEN = "the-token-of-the-conformance-run"  # noqa: S105 - of a test
GENERATED = "Generated text content"
WORDS = {
    "tck-input-required": "pay",
    "test-resubscribe-message-id": "wait",
    "tck-artifact-text": GENERATED,
    "tck-stream-artifact-text": GENERATED,
}
"""By the beginning of the id of a message: its words."""


@tool(confirm="May I pay this?", resources=["account"])
def pay() -> str:
    """Pay."""
    return "paid"


@tool(effect="read", long_running=True)
async def wait(context: ToolContext) -> str:
    """Take some seconds."""
    import asyncio  # noqa: PLC0415 - here only

    for step in range(5):
        await context.progress(step / 5)
        await asyncio.sleep(1)
    return "waited"


def answer(request: ModelRequest) -> ModelReply | str:
    """Call the tool that the message names."""
    last = request.exchanges[-1]
    if isinstance(last, TextMessage) and last.text == GENERATED:
        return GENERATED
    if isinstance(last, TextMessage) and last.text in WORDS.values():
        return ModelReply(calls=(ToolCall("1", last.text, {}),))
    return f"you said {last.text}" if isinstance(last, TextMessage) else f"[{getattr(last, 'content', '')}]"


class AddressedByTheKit:
    """Gives each request the token, and a message of the kit its words."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = [each for each in scope["headers"] if each[0] != b"content-length"]
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        body = _with_words(body)
        headers += [(b"authorization", f"Bearer {TOKEN}".encode()), (b"content-length", str(len(body)).encode())]
        given = False

        async def again() -> Any:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._application({**scope, "headers": headers}, again, send)


def _with_words(body: bytes) -> bytes:
    try:
        data = json.loads(body)
        message = data.get("params", data)["message"]
        words = next((each for begin, each in WORDS.items() if message["messageId"].startswith(begin)), None)
        if words is None or not message["parts"]:
            return body
        message["parts"][0]["text"] = words
        return json.dumps(data).encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        return body


def main() -> None:
    """Serve until the process is ended."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener,
        open_database(Path(folder) / "chats.db") as store,
        Conversations(RuleModel(answer, name="rules"), [pay, wait], store=Path(folder) / "chats.db") as conversations,
    ):
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        application = create_a2a_application(
            conversations, AccessToken(TOKEN), store=store, name="conformance", url=address, private_push=True
        )
        server = uvicorn.Server(uvicorn.Config(AddressedByTheKit(application), log_level="error"))
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
