"""An HTTP application as an agent: requests reach it as messages, and its response is a stream. So it may be on another node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message

from coterie.interop.access import USER
from coterie.kernel.access import AccessToken
from coterie.messaging import Stream
from coterie.runtime import Agent, on

_AHEAD = 16
_LEFT_OUT = (b"authorization", b"origin", b"host", b"content-length", b"transfer-encoding", b"connection")
"""The headers that end at the front."""


class HTTPRequest(msgspec.Struct, frozen=True):
    """A request whose token has been checked."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    user: str
    """The user whose own token it brought; empty for the shared token."""
    body: bytes = b""


class HTTPPart(msgspec.Struct, frozen=True):
    """A part of a response: first its status and its headers, then its body."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


class RelayedRequest(Stream[bytes]):
    """An HTTP request, as a `HTTPRequest` in MessagePack. The items are `HTTPPart`, in the same form."""

    request: bytes


class RelayedApplication:
    """An ASGI application with its token, given to an agent as it is."""

    def __init__(self, application: ASGIApp, token: AccessToken) -> None:
        self.application = application
        self.token = token

    def __deepcopy__(self, memo: object) -> RelayedApplication:
        return self


class HTTPAgent(Agent):
    """Answers HTTP requests by an ASGI application, on the agent's own event loop."""

    def __init__(self, relayed: RelayedApplication) -> None:
        self._application = relayed.application
        self._authorization = f"Bearer {relayed.token.reveal()}".encode("latin-1")

    @on(interleave=True)
    async def answer(self, message: RelayedRequest) -> AsyncIterator[bytes]:
        """Yield the parts of the response. When the asker leaves, the application learns that its client has gone."""
        request = msgspec.msgpack.decode(message.request, type=HTTPRequest)
        exchange = _Exchange(request.body)
        headers = [each for each in request.headers if each[0].lower() not in _LEFT_OUT]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": request.method,
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": request.query,
            "root_path": "",
            "headers": [*headers, (b"authorization", self._authorization), (b"host", b"node")],
            **({USER: request.user} if request.user else {}),
        }
        task = self.context.create_task(exchange.run(self._application, scope))
        try:
            while (part := await exchange.parts.get()) is not None:
                yield msgspec.msgpack.encode(part)
        finally:
            exchange.gone.set()
            if exchange.streams:
                task.cancel()


class _Exchange:
    """One request and its response. For the agent's loop only."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self.gone = asyncio.Event()
        self.parts: asyncio.Queue[HTTPPart | None] = asyncio.Queue(_AHEAD)
        self.streams = False
        """Whether the response comes in pieces; another one goes on when its client leaves."""

    async def run(self, application: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await application(scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - the application has logged it, and its client gets an answer all the same
            await self._put(HTTPPart(500))
        finally:
            if not self.gone.is_set():
                await self._put(None)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", [])]
            await self._put(HTTPPart(message["status"], headers))
        elif message["type"] == "http.response.body":
            self.streams = self.streams or bool(message.get("more_body"))
            if message.get("body"):
                await self._put(HTTPPart(body=message["body"]))

    async def _put(self, part: HTTPPart | None) -> None:
        if not self.gone.is_set():
            await self.parts.put(part)
