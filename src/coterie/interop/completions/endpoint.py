"""The endpoints of completions: ``/v1/models`` and ``/v1/chat/completions``."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coterie.conversation import Delivered, TextWritten, TurnEnded
from coterie.errors import CoterieError
from coterie.interop.completions.intake import CompletionRequest, take
from coterie.interop.service import Service
from coterie.interop.threads.exchange import Delivery, exchange
from coterie.interop.web.bodies import HTTPProblem, read_json
from coterie.interop.web.failures import words_for
from coterie.interop.web.streams import sse, streaming

_THREAD_HEADERS = ("x-thread-id", "x-openwebui-chat-id", "x-conversation-id")
_USER_HEADERS = ("x-user", "x-openwebui-user-id")
_BREAK = "\n\n"


class Completions:
    """Answers front ends that send the whole history each time, and know neither threads nor operations.

    A thread is the one that a header names, or else the one whose history is just the one that was sent. A history that
    is unknown, or that two threads share, begins a new thread: nobody ever gets into another's by chance. A result that
    came between two requests stands before the next answer.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def models(self, request: Request) -> Response:  # noqa: ARG002 - as endpoints are
        """``GET /v1/models``."""
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/{model}``."""
        name = request.path_params["model"]
        if name != self._service.name:
            raise HTTPProblem(404, f"there is no model {name!r} here, only {self._service.name!r}", code="model_not_found")
        return JSONResponse(self._model())

    async def complete(self, request: Request) -> Response:
        """``POST /v1/chat/completions``, streaming or not."""
        intake = take(await read_json(request, self._service.options.body_limit), self._service.name)
        thread, named = self._thread(request, intake)
        user = intake.user or _header(request, _USER_HEADERS) or "-"
        seat = await self._service.threads.open(("completions", user, thread))
        told = exchange(seat, intake.text)
        if not intake.stream:
            answer = await self._whole(told)
            await self._remember(intake, answer, thread, named=named)
            return JSONResponse(self._shape("chat.completion", {"message": {"role": "assistant", "content": answer}}, "stop"))
        # What befalls the taking in of the message is still an answer of its own, with its own status.
        first = await anext(told, None)
        pieces = self._pieces(intake, first, told, thread, named=named)
        return streaming(pieces, heartbeat=self._service.options.heartbeat, closing=self._service.closing)

    def _thread(self, request: Request, intake: CompletionRequest) -> tuple[str, bool]:
        named = _header(request, _THREAD_HEADERS)
        if named:
            return f"named {named}", True
        known = None if intake.begins else self._service.records.thread_of(intake.before())
        return known or f"unnamed {secrets.token_urlsafe(12)}", False

    async def _remember(self, intake: CompletionRequest, answer: str, thread: str, *, named: bool) -> None:
        if not named:
            await self._service.records.belongs(intake.afterwards(answer), thread)

    async def _whole(self, told: AsyncIterator[Delivery]) -> str:
        texts = [text async for each in told if (text := _whole_text(each))]
        return _BREAK.join(texts)

    async def _pieces(
        self,
        intake: CompletionRequest,
        first: Delivery | None,
        told: AsyncGenerator[Delivery, None],
        thread: str,
        *,
        named: bool,
    ) -> AsyncIterator[str]:
        identity = f"chatcmpl-{secrets.token_hex(12)}"
        said: list[str] = []
        yield self._chunk(identity, {"role": "assistant", "content": ""})
        try:
            written = False
            async with contextlib.aclosing(told):
                async for each in _chain(first, told):
                    text, written = _piece(each, said, written=written)
                    if text:
                        said.append(text)
                        yield self._chunk(identity, {"content": text})
        except CoterieError as error:
            yield sse(
                msgspec.json.encode(
                    {"error": {"message": words_for(error, identity), "type": "server_error", "param": None, "code": None}}
                ).decode()
            )
            return
        await self._remember(intake, "".join(said), thread, named=named)
        yield self._chunk(identity, {}, finish="stop")
        if intake.usage:
            closing = self._shape("chat.completion.chunk", None, None, identity) | {"choices": [], "usage": _USAGE}
            yield sse(msgspec.json.encode(closing).decode())
        yield "data: [DONE]\n\n"

    def _chunk(self, identity: str, delta: dict[str, Any], *, finish: str | None = None) -> str:
        return sse(msgspec.json.encode(self._shape("chat.completion.chunk", {"delta": delta}, finish, identity)).decode())

    def _shape(self, kind: str, choice: dict[str, Any] | None, finish: str | None, identity: str = "") -> dict[str, Any]:
        shape: dict[str, Any] = {
            "id": identity or f"chatcmpl-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(self._service.clock.time()),
            "model": self._service.name,
        }
        if choice is not None:
            shape["choices"] = [{"index": 0, **choice, "finish_reason": finish, "logprobs": None}]
        if kind == "chat.completion":
            shape["usage"] = _USAGE
        return shape

    def _model(self) -> dict[str, Any]:
        return {"id": self._service.name, "object": "model", "created": 0, "owned_by": "coterie"}


_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
"""Tokens are counted where the model is asked, and a turn may ask it several times."""


def _whole_text(told: Delivery) -> str:
    event = told.event
    return event.text if isinstance(event, Delivered | TurnEnded) else ""


def _piece(told: Delivery, said: list[str], *, written: bool) -> tuple[str, bool]:
    """Return what of an event is new text, and whether the answer has been written piece by piece."""
    event = told.event
    gap = _BREAK if said else ""
    if told.own and isinstance(event, TextWritten):
        return (event.text if written else gap + event.text), True
    if told.own and isinstance(event, TurnEnded):
        return ("" if written or not event.text else gap + event.text), written
    text = _whole_text(told)
    return (gap + text if text else ""), False if text else written


async def _chain(first: Delivery | None, rest: AsyncIterator[Delivery]) -> AsyncIterator[Delivery]:
    if first is not None:
        yield first
    async for each in rest:
        yield each


def _header(request: Request, names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := request.headers.get(name))), "")
