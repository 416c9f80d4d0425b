"""OpenAI's chat completions: ``/v1/models`` and ``/v1/chat/completions``."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coterie.conversation import Delivered, TextWritten, TurnEnded
from coterie.errors import CoterieError
from coterie.interop.access import verified_user
from coterie.interop.asides import answer_aside
from coterie.interop.exchange import Delivery, chain, exchange
from coterie.interop.helper_requests import LEAST_QUOTATION, is_helper_request, quotes
from coterie.interop.responses import HTTPProblem, decode_file, public_message, read_json, sse, streaming
from coterie.interop.retries import TakenRequest
from coterie.interop.threads import ServerState, digest
from coterie.models import Attachment

_SHOWN = 5


class ImageAddress(BaseModel):
    """The address of an image, which may hold the image itself (``data:``)."""

    model_config = ConfigDict(extra="ignore")
    url: str


class ContentPart(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(extra="ignore")
    type: str
    text: str | None = None
    image_url: ImageAddress | None = None


class CompletionMessage(BaseModel):
    """A message. Fields for other servers are ignored."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None


class StreamOptions(BaseModel):
    """Options of a streamed reply."""

    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class CompletionBody(BaseModel):
    """The body of a request. Sampling parameters are ignored: the assistant has its own."""

    model_config = ConfigDict(extra="ignore")
    model: str = Field(min_length=1)
    messages: list[CompletionMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    user: str | None = Field(default=None, max_length=512)
    safety_identifier: str | None = Field(default=None, max_length=512)
    metadata: dict[str, Any] | None = None
    tools: list[Any] | None = None


@dataclass(frozen=True)
class CompletionRequest:
    """A validated request."""

    model: str
    text: str
    """The new message of the user."""
    user: str
    """The user; at first the one in the body."""
    lines: tuple[tuple[str, str], ...]
    """The earlier messages: role and text, without system messages."""
    stream: bool
    usage: bool
    metadata: dict[str, Any] | None = None
    system: tuple[str, ...] = ()
    """The system messages."""
    attachments: tuple[Attachment, ...] = ()
    """The images in the new message."""

    @property
    def begins(self) -> bool:
        """Return whether the history has no answer yet."""
        return not any(role == "assistant" for role, _ in self.lines)

    def before(self) -> str:
        """Return the digest of the earlier history."""
        return digest(self.user, self.lines)

    def afterwards(self, answer: str) -> str:
        """Return the digest of the history including the answer."""
        return digest(self.user, (*self.lines, ("user", self.text), ("assistant", answer)))


def parse_request(body: Any, name: str) -> CompletionRequest:
    """Return the validated request of a body. Raises `HTTPProblem` with the wrong parameter."""
    try:
        given = CompletionBody.model_validate(body)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()]
        first = ".".join(map(str, error.errors()[0]["loc"])) or None
        raise HTTPProblem(400, "; ".join(faults[:_SHOWN]), param=first) from error
    if given.model != name:
        raise HTTPProblem(404, f"there is no model {given.model!r} here, only {name!r}", param="model", code="model_not_found")
    if given.n not in (None, 1):
        raise HTTPProblem(400, f"n = {given.n} is not supported: a conversation has one answer; leave n out", param="n")
    if given.tools:
        raise HTTPProblem(
            400, "tools: the assistant has its own tools; leave them out", param="tools", code="unsupported_parameter"
        )
    lines = [(each.role, _text(each, place)) for place, each in enumerate(given.messages) if each.role in ("user", "assistant")]
    if not lines or lines[-1][0] != "user" or given.messages[-1].role != "user":
        raise HTTPProblem(400, "messages: the last message must be the user's", param="messages")
    usage = given.stream_options is not None and given.stream_options.include_usage
    system = [_text(each, place) for place, each in enumerate(given.messages) if each.role in ("system", "developer")]
    return CompletionRequest(
        given.model,
        lines[-1][1],
        given.user or given.safety_identifier or "",
        tuple(lines[:-1]),
        given.stream,
        usage,
        given.metadata,
        tuple(system),
        tuple(_images(given.messages[-1], len(given.messages) - 1)),
    )


def _text(message: CompletionMessage, place: int) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(_texts(message.content, place))


def _texts(parts: Sequence[ContentPart], place: int) -> list[str]:
    texts = []
    for part in parts:
        if part.type == "image_url" and part.image_url is not None:
            continue
        if part.type != "text" or part.text is None:
            raise HTTPProblem(
                400,
                f"a part of type {part.type!r} is not supported, only text and image_url",
                param=f"messages.{place}.content",
            )
        texts.append(part.text)
    return texts


def _images(message: CompletionMessage, place: int) -> Iterator[Attachment]:
    for part in message.content if isinstance(message.content, list) else ():
        if part.image_url is not None:
            where, url = f"messages.{place}.content", part.image_url.url
            found = _DATA.fullmatch(url)
            if found is None and not url.startswith(("https://", "http://")):
                raise HTTPProblem(400, "image_url must be an address, or data:image/…;base64,…", param=where)
            if found is None:
                yield Attachment(media_type="image/png", url=url)
            else:
                yield Attachment(media_type=found[1], data=decode_file(found[2], where))


_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)
THREAD_HEADERS = ("x-thread-id", "x-openwebui-chat-id", "x-conversation-id")
_BREAK = "\n\n"


class CompletionEndpoints:
    """The endpoints for clients that send the whole history each time, and know neither threads nor operations.

    The thread is named by a header, or else found by the history of the request. A history that is unknown, or that two
    threads share, starts a new thread, so a client never enters another thread by chance. A result that came between two
    requests precedes the next answer.
    """

    def __init__(self, server: ServerState) -> None:
        self._server = server

    async def models(self, request: Request) -> Response:  # noqa: ARG002 - the signature of endpoints
        """``GET /v1/models``."""
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/{model}``."""
        name = request.path_params["model"]
        if name != self._server.name:
            raise HTTPProblem(404, f"there is no model {name!r} here, only {self._server.name!r}", code="model_not_found")
        return JSONResponse(self._model())

    async def complete(self, request: Request) -> Response:
        """``POST /v1/chat/completions``, streaming or not."""
        parsed = parse_request(await read_json(request, self._server.options.body_limit), self._server.name)
        user = verified_user(request, self._server.options.user_headers)
        # The user in the body only separates anonymous conversations, under names that no real user has.
        who = (user,) if user or not parsed.user else ("-", parsed.user)
        parsed = replace(parsed, user="/".join(who))
        named = first_header(request, THREAD_HEADERS)
        place = ("completions", *(each or "-" for each in who))
        if await self._is_helper(request, parsed, (*place, f"named {named}") if named else None, user):
            answer = await answer_aside(self._server.conversations, (*parsed.lines, ("user", parsed.text)))
            return self._complete(parsed, answer)
        pictures = [hashlib.sha256(each.data or each.url.encode()).hexdigest() for each in parsed.attachments]
        content = ["completions", named, parsed.before(), parsed.text, *pictures]
        async with contextlib.AsyncExitStack() as stack:
            taken = await stack.enter_async_context(
                self._server.requests.take(request, who, content, lambda: self._thread(named, parsed), known=bool(parsed.user))
            )
            if taken.answer is not None:
                taken.delivered = not await request.is_disconnected()
                return self._complete(parsed, taken.answer)
            client = await self._server.threads.open((*place, taken.thread), user)
            deliveries = exchange(client, parsed.text or "(see the image)", taken.message, attachments=parsed.attachments)
            if not parsed.stream:
                taken.is_gone = request.is_disconnected
                taken.answer = answer = await self._whole(deliveries)
                await self._remember(parsed, answer, taken.thread)
                taken.delivered = not await request.is_disconnected()
                return self._complete(parsed, answer)
            # If the message is not accepted, the error is still an ordinary response with its own status.
            first = await anext(deliveries, None)
            return self._stream(self._pieces(parsed, first, deliveries, taken), stack.pop_all().aclose)
        raise AssertionError("unreachable")

    async def _is_helper(
        self, request: Request, parsed: CompletionRequest, namespace: tuple[str, ...] | None, user: str
    ) -> bool:
        """Return whether the front end asks for itself, such as for a title; `namespace` is that of a named thread."""
        if is_helper_request(
            parsed.text,
            begins=parsed.begins,
            headers=request.headers,
            metadata=parsed.metadata,
            system=parsed.system,
            patterns=self._server.options.helper_prompts,
        ):
            return True
        if namespace is None or not parsed.begins or len(parsed.text) < LEAST_QUOTATION:
            return False
        client = await self._server.threads.open(namespace, user)
        return quotes(parsed.text, client.chat.transcript())

    def _complete(self, parsed: CompletionRequest, answer: str) -> Response:
        """Return an answer that is known as a whole, in the form that the request wants."""
        if parsed.stream:
            return self._stream(self._whole_pieces(parsed, answer))
        return JSONResponse(self._shape("chat.completion", {"message": {"role": "assistant", "content": answer}}, "stop"))

    def _stream(self, pieces: AsyncIterator[str], ended: Callable[[], Awaitable[object]] | None = None) -> Response:
        options = self._server.options
        return streaming(pieces, heartbeat=options.heartbeat, closing=self._server.closing, ended=ended)

    def _thread(self, named: str, parsed: CompletionRequest) -> str:
        if named:
            return f"named {named}"
        known = None if parsed.begins else self._server.records.thread_of(parsed.before())
        return known or f"unnamed {secrets.token_urlsafe(12)}"

    async def _remember(self, parsed: CompletionRequest, answer: str, thread: str) -> None:
        if thread.startswith("unnamed "):
            await self._server.records.record_history(parsed.afterwards(answer), thread)

    async def _whole(self, deliveries: AsyncIterator[Delivery]) -> str:
        texts = [text async for each in deliveries if (text := _whole_text(each))]
        return _BREAK.join(texts)

    async def _pieces(
        self,
        parsed: CompletionRequest,
        first: Delivery | None,
        deliveries: AsyncGenerator[Delivery, None],
        taken: TakenRequest,
    ) -> AsyncIterator[str]:
        identity = f"chatcmpl-{secrets.token_hex(12)}"
        parts: list[str] = []
        yield self._chunk(identity, {"role": "assistant", "content": ""})
        try:
            written = False
            async with contextlib.aclosing(deliveries):
                async for each in chain(first, deliveries):
                    text, written = _piece(each, parts, written=written)
                    if text:
                        parts.append(text)
                        yield self._chunk(identity, {"content": text})
        except CoterieError as error:
            yield sse(
                msgspec.json.encode(
                    {"error": {"message": public_message(error, identity), "type": "server_error", "param": None, "code": None}}
                ).decode()
            )
            return
        taken.answer = "".join(parts)
        await self._remember(parsed, taken.answer, taken.thread)
        for piece in self._ending(parsed, identity):
            yield piece
        taken.delivered = True

    async def _whole_pieces(self, parsed: CompletionRequest, answer: str) -> AsyncIterator[str]:
        identity = f"chatcmpl-{secrets.token_hex(12)}"
        yield self._chunk(identity, {"role": "assistant", "content": answer})
        for piece in self._ending(parsed, identity):
            yield piece

    def _ending(self, parsed: CompletionRequest, identity: str) -> Iterator[str]:
        yield self._chunk(identity, {}, finish="stop")
        if parsed.usage:
            closing = self._shape("chat.completion.chunk", None, None, identity) | {"choices": [], "usage": _USAGE}
            yield sse(msgspec.json.encode(closing).decode())
        yield "data: [DONE]\n\n"

    def _chunk(self, identity: str, delta: dict[str, Any], *, finish: str | None = None) -> str:
        return sse(msgspec.json.encode(self._shape("chat.completion.chunk", {"delta": delta}, finish, identity)).decode())

    def _shape(self, kind: str, choice: dict[str, Any] | None, finish: str | None, identity: str = "") -> dict[str, Any]:
        shape: dict[str, Any] = {
            "id": identity or f"chatcmpl-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(self._server.clock.time()),
            "model": self._server.name,
        }
        if choice is not None:
            shape["choices"] = [{"index": 0, **choice, "finish_reason": finish, "logprobs": None}]
        if kind == "chat.completion":
            shape["usage"] = _USAGE
        return shape

    def _model(self) -> dict[str, Any]:
        return {"id": self._server.name, "object": "model", "created": 0, "owned_by": "coterie"}


_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
"""Tokens are counted at the model, and one turn may ask it several times."""


def _whole_text(delivery: Delivery) -> str:
    event = delivery.event
    return event.text if isinstance(event, Delivered | TurnEnded) else ""


def _piece(delivery: Delivery, parts: list[str], *, written: bool) -> tuple[str, bool]:
    """Return the new text of an event, and whether the answer was sent piece by piece."""
    event = delivery.event
    gap = _BREAK if parts else ""
    if delivery.own and isinstance(event, TextWritten):
        # After a batch of tool calls a text begins anew.
        return (event.text if written and event.offset else gap + event.text), True
    if delivery.own and isinstance(event, TurnEnded):
        return ("" if written or not event.text else gap + event.text), written
    text = _whole_text(delivery)
    return (gap + text if text else ""), False if text else written


def first_header(request: Request, names: tuple[str, ...]) -> str:
    """Return the value of the first of these headers that a request has, or an empty text."""
    return next((value for name in names if (value := request.headers.get(name))), "")
