"""The front of an assistant whose conversations are spread over nodes: it lets requests in, and passes each to its node."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from coterie.conversation import ConversationSettings
from coterie.errors import CoterieError, DeliveryError, EncodeFailed
from coterie.interop.access import USER, verified_user
from coterie.interop.application import health, middleware_of, unknown_path
from coterie.interop.completions import THREAD_HEADERS, first_header, parse_request
from coterie.interop.options import ServingOptions
from coterie.interop.relay import HTTPPart, HTTPRequest, RelayedRequest
from coterie.interop.responses import HTTPProblem, broken, failed, refused, sse
from coterie.kernel.access import AccessToken
from coterie.runtime import AgentRef

_OF_THREAD = re.compile(r"/agui/(.+)/(?:events|transcript|messages|stop|operations(?:/[^/]+/[a-z]+)?)")
_METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]
_ATTEMPTS = 60
_PAUSE = 0.5
"""Seconds between two attempts to find the node of a conversation, after its node has ended."""
_AWAY = (
    "the node of this conversation has ended, and no other has it yet: send it again in a moment; a message is not taken twice"
)
_STOPPING = 503
"""The status with which a node that is stopping refuses a message."""
_LOST_RUN = {"type": "RUN_ERROR", "message": _AWAY, "code": "node_lost"}
_LOST_COMPLETION = {"error": {"message": _AWAY, "type": "server_error", "param": None, "code": "node_lost"}}
_DECODE = msgspec.msgpack.Decoder(HTTPPart).decode


class Places(Protocol):
    """Knows the agents, `HTTPAgent`, that serve an assistant, one on each node."""

    async def of(self, key: str) -> AgentRef | None:
        """Return the agent on the node of a conversation; None while there is none. It stays there as long as the node lives."""
        ...

    async def all(self) -> Mapping[str, AgentRef]:
        """Return the agents of all nodes, by the names of the nodes."""
        ...


class Front:
    """Passes requests to nodes. Only the server's loop uses it."""

    def __init__(self, places: Places, name: str, options: ServingOptions) -> None:
        self._places = places
        self._name = name
        self._options = options
        self.settings = ConversationSettings()
        self.conversations = self
        """What the server drains at its end: nodes drain their own conversations."""
        self.closing = asyncio.Event()

    async def drain(self) -> None:
        """Do nothing: the conversations go on."""

    async def relay(self, request: Request) -> Response:
        """Pass a request to the node of its conversation, and its response back."""
        body = await _body(request, self._options.body_limit)
        key, sent = self._key(request, body), _sent(request, body)
        repeatable = "/operations/" not in request.url.path
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE)
                if await request.is_disconnected():
                    break
            agent = await self._places.of(key)
            if agent is None:
                continue
            try:
                parts = agent.stream(RelayedRequest(sent), timeout=None)
                items = aiter(parts)
                first = _DECODE(await anext(items))
            except EncodeFailed as error:
                raise HTTPProblem(
                    413, "the request is too long for the cluster; send less", code="request_too_large"
                ) from error
            except DeliveryError:
                # The node has ended. Conversations know the messages that they have taken by their ids.
                if repeatable:
                    continue
                break
            if first.status == _STOPPING and repeatable:
                parts.close()
                continue
            return _response(first, items, parts.close, request.url.path)
        raise HTTPProblem(503, _AWAY)

    async def everywhere(self, request: Request) -> Response:
        """Pass a request to all nodes, and return their answers by the names of the nodes."""
        sent = _sent(request, b"")
        answers = {name: await _whole(agent, sent) for name, agent in (await self._places.all()).items()}
        worst = max((status for status, _ in answers.values()), default=503)
        if len(answers) == 1 or worst >= 400:  # noqa: PLR2004 - an HTTP status
            found = next((body for status, body in answers.values() if status == worst), b"{}")
            return Response(found, worst, media_type="application/json")
        return JSONResponse({"nodes": {name: msgspec.json.decode(body) for name, (_, body) in answers.items()}})

    async def metrics(self, request: Request) -> Response:
        """``GET /metrics?node=NAME``, for Prometheus: each node is a target of its own."""
        agents = await self._places.all()
        name = request.query_params.get("node", "")
        if name not in agents:
            raise HTTPProblem(422, f"name the node: /metrics?node=NAME, one of {', '.join(agents)}", param="node")
        status, body = await _whole(agents[name], _sent(request, b""))
        return Response(body, status, media_type="text/plain; version=0.0.4; charset=utf-8")

    def _key(self, request: Request, body: bytes) -> str:
        """Return the key of a conversation by which nodes are chosen; that of a request for no conversation is its path."""
        path, user = request.url.path, verified_user(request, self._options.user_headers)
        if path == "/agui":
            return _joined("agui", user, _thread_of(body))
        if found := _OF_THREAD.fullmatch(path):
            return _joined("agui", user, found[1])
        if path == "/v1/chat/completions":
            parsed = parse_request(_json(body), self._name)
            who = user or parsed.user
            # Requests of a thread that has no name have the first words in common.
            first = next((text for role, text in parsed.lines if role == "user"), parsed.text)
            return _joined("completions", who, first_header(request, THREAD_HEADERS) or f"begins {first}")
        return path


def create_front(
    places: Places,
    token: AccessToken,
    *,
    name: str = "assistant",
    options: ServingOptions | None = None,
    users: Mapping[str, AccessToken] | None = None,
) -> Starlette:
    """Return an ASGI application that passes requests to the nodes of an assistant, for `serve`.

    It has the paths of `create_application`. Answers of ``/telemetry`` and ``DELETE /users`` are those of all nodes; ``/metrics`` is
    that of one, ``?node=NAME``.
    """
    options = options if options is not None else ServingOptions()
    front = Front(places, name, options)
    routes = [
        Route("/health", health),
        Route("/users/{user:path}", front.everywhere, methods=["DELETE"]),
        Route("/telemetry", front.everywhere),
        Route("/metrics", front.metrics),
        Route("/{path:path}", front.relay, methods=_METHODS),
    ]
    application = Starlette(
        routes=routes,
        middleware=middleware_of(options, token, users or {}),
        exception_handlers={HTTPException: unknown_path, HTTPProblem: refused, CoterieError: failed, Exception: broken},
    )
    application.state.server = front
    return application


def _response(first: HTTPPart, items: AsyncIterator[bytes], close: Callable[[], object], path: str) -> Response:
    streams = any(name.lower() == b"content-type" and b"event-stream" in value for name, value in first.headers)

    async def rest() -> AsyncIterator[bytes]:
        try:
            async for part in items:
                yield _DECODE(part).body
        except DeliveryError:
            if not streams:
                raise
            # A client of events sees by the last of them that the answer is not whole.
            if not path.endswith("/events"):
                yield sse(msgspec.json.encode(_LOST_RUN if path.startswith("/agui") else _LOST_COMPLETION).decode()).encode()
        finally:
            close()

    response = StreamingResponse(rest(), first.status)
    response.raw_headers = [(name.lower(), value) for name, value in first.headers]
    return response


async def _whole(agent: AgentRef, sent: bytes) -> tuple[int, bytes]:
    try:
        parts = [_DECODE(each) async for each in agent.stream(RelayedRequest(sent), timeout=None)]
    except DeliveryError as error:
        return 503, msgspec.json.encode({"error": {"message": str(error), "type": "server_error"}})
    return parts[0].status, b"".join(each.body for each in parts)


def _sent(request: Request, body: bytes) -> bytes:
    user = request.scope.get(USER, "")
    query = request.scope["query_string"]
    return msgspec.msgpack.encode(
        HTTPRequest(request.method, request.scope["path"], query, list(request.headers.raw), user, body)
    )


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise HTTPProblem(413, f"the request has more than {limit} bytes; send less", code="request_too_large")
    except ClientDisconnect as error:
        raise HTTPProblem(400, "the client has left") from error
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise HTTPProblem(400, f"the body is not JSON: {error}", code="invalid_json") from error


def _thread_of(body: bytes) -> str:
    given = _json(body)
    thread = given.get("threadId") or given.get("thread_id") if isinstance(given, dict) else None
    return thread if isinstance(thread, str) else ""


def _joined(*parts: str) -> str:
    return msgspec.json.encode(parts).decode()
