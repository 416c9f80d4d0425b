"""Read request bodies, answer errors, and write streams of server-sent events."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from coterie.errors import (
    ApprovalForbidden,
    ConversationClosed,
    ConversationError,
    ConversationFull,
    ConversationTaken,
    CoterieError,
    InvalidArguments,
    TransitionRefused,
    UnknownOperation,
    describe,
)
from coterie.errors.conversation import InvalidNamespace, InvalidText

_UNAVAILABLE = 503


class HTTPProblem(Exception):
    """A request cannot be answered. `status` is the HTTP status, `param` the wrong key."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    def response(self) -> JSONResponse:
        """Return the HTTP response, in the error format of OpenAI's API."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"  # noqa: PLR2004 - an HTTP status
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        headers = {"Retry-After": "2"} if self.status == _UNAVAILABLE else None
        return JSONResponse({"error": error}, self.status, headers)


async def read_json(request: Request, limit: int) -> Any:
    """Return the JSON body of a request. Raises `HTTPProblem` if it is too long or not JSON."""
    too_long = HTTPProblem(413, f"the request has more than {limit} bytes; send less", code="request_too_large")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_long
    try:
        # The strict decoder decides alone, because two decoders may disagree on what is valid JSON.
        return msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise HTTPProblem(400, f"the body is not JSON: {error}", code="invalid_json") from error


def decode_file(text: str, where: str) -> bytes:
    """Return the bytes of a file in base64. Raises `HTTPProblem`."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise HTTPProblem(422, f"{where}: a file is not in base64: {error}", param=where) from error
    if not data:
        raise HTTPProblem(422, f"{where}: a file is empty", param=where)
    return data


_STATUS: tuple[tuple[type[CoterieError], int], ...] = (
    (InvalidText, 422),
    (InvalidNamespace, 422),
    (UnknownOperation, 404),
    (TransitionRefused, 409),
    (ApprovalForbidden, 403),
    (InvalidArguments, 422),
    (ConversationFull, 429),
    (ConversationTaken, 409),
    (ConversationClosed, 503),
    (ConversationError, 500),
)

_STOPPING = "the service is stopping: send it again in a moment; a message that was taken is kept, and is not answered twice"
_INTERNAL_ERROR = "something went wrong here; the server's log says what"

_log = logging.getLogger(__name__)


def status_of(error: CoterieError) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


async def refused(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the signature of Starlette's handlers
    """Answer a request that was rejected before it reached a conversation."""
    assert isinstance(error, HTTPProblem)
    return error.response()


def public_message(error: CoterieError, where: str) -> str:
    """Return the text of an error for the client: details of client errors only; other errors are logged."""
    if status_of(error) < 500:  # noqa: PLR2004 - an HTTP status
        return str(error)
    if isinstance(error, ConversationClosed):
        return _STOPPING
    _log.error("%s: %s", where, describe(error))
    return _INTERNAL_ERROR


async def failed(request: Request, error: Exception) -> Response:
    """Answer a request after an error of its conversation."""
    assert isinstance(error, CoterieError)
    return HTTPProblem(status_of(error), public_message(error, f"{request.method} {request.url.path}")).response()


async def broken(request: Request, error: Exception) -> Response:
    """Answer a request after an internal error. Only the log has the details."""
    _log.error("%s %s: %s", request.method, request.url.path, describe(error), exc_info=error)
    return HTTPProblem(500, _INTERNAL_ERROR).response()


_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


def sse(data: str, *, id: int | str | None = None) -> str:  # noqa: A002 - the name in the format
    """Return one server-sent event. `data` must not contain line breaks, as JSON does not."""
    return (f"id: {id}\n" if id is not None else "") + f"data: {data}\n\n"


class _EventStreamResponse(StreamingResponse):
    """A stream that calls `ended` at its end, however it ends, and even if it never began."""

    ended: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self.ended is not None:
                await self.ended()


def streaming(
    pieces: AsyncIterator[str],
    *,
    heartbeat: float,
    closing: asyncio.Event,
    ended: Callable[[], Awaitable[object]] | None = None,
) -> StreamingResponse:
    """Return a response that streams pieces as they come."""
    response = _EventStreamResponse(_alive(pieces, heartbeat, closing), media_type="text/event-stream", headers=_HEADERS)
    response.ended = ended
    return response


async def _alive(pieces: AsyncIterator[str], heartbeat: float, closing: asyncio.Event) -> AsyncIterator[str]:
    """Yield pieces, and a comment after each silence of `heartbeat` seconds, until they end or the server stops."""
    ended = asyncio.ensure_future(closing.wait())
    coming: asyncio.Future[str] | None = None
    try:
        while True:
            if coming is None:
                coming = asyncio.ensure_future(anext(pieces))
            waiting: list[asyncio.Future[Any]] = [coming, ended]
            done, _ = await asyncio.wait(waiting, timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED)
            if coming in done:
                try:
                    piece = coming.result()
                except StopAsyncIteration:
                    return
                coming = None
                yield piece
            elif ended in done:
                return
            else:
                yield ": still here\n\n"
    finally:
        ended.cancel()
        if coming is not None:
            coming.cancel()
            await asyncio.wait({coming})
        aclose = getattr(pieces, "aclose", None)
        if aclose is not None:
            await aclose()
