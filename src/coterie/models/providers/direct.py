"""The direct way of plain chat completions: the body that Pydantic AI would send, without its mapping of each request.

The first request of each shape goes through Pydantic AI, and its body is kept. Further requests of the shape are sent with their
own messages on the connections of the provider's client. An error, and any response that is not plain text, is handed to Pydantic AI, which
treats it as if it had made the request itself. So both ways send and return the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec
from openai import AsyncOpenAI, DefaultAioHttpClient, NotGiven, Omit
from pydantic_ai import messages
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.usage import RequestUsage

from coterie.models.providers.known_request import KnownRequest, Redirected
from coterie.models.providers.pricing import PublicPrices
from coterie.models.values import Finish, ModelReply, ModelRequest, TextMessage, Usage

_MOST = 1_000
"""Shapes that are kept; further ones go through Pydantic AI."""
_PLAIN = {"stop": Finish.STOP, "length": Finish.LENGTH}
_KNOWN = ("role", "content")
"""The keys of a message of plain text; others must be empty."""


@dataclass(slots=True)
class HeldCall:
    """What happens to the call that Pydantic AI makes within the context of one request."""

    given: dict[str, Any] | None = None
    """The arguments of the call, to learn from."""
    error: Exception | None = None
    """Raised instead of making the call."""
    response: Any = None
    """Returned instead of making the call, if `answered`."""
    answered: bool = False
    request: httpx2.Request | None = None
    """The request that the client has sent."""


HELD: ContextVar[HeldCall | None] = ContextVar("coterie_held_call", default=None)


@dataclass(frozen=True, slots=True)
class _Shape:
    """The body of all requests of one shape, without messages, and their headers."""

    body: dict[str, Any]
    headers: Mapping[str, str] | None
    known: KnownRequest | None
    """The request without the layers of the client; None if only the client can send it."""


class DirectCompletions:
    """Asks a model for chat completions by its client. For the event loop of the client."""

    def __init__(self, name: str, model: OpenAIChatModel, client: AsyncOpenAI) -> None:
        self._name = name
        self._model = model
        self._client = client
        self._prices = PublicPrices()
        self._shapes: dict[bytes, _Shape | None] = {}
        tags: Any = model.profile.get("thinking_tags", ("<think>", "</think>"))
        self._thinking = str(tags[0]) if tags else ""

    async def ask(self, request: ModelRequest, usual: Callable[[ModelRequest], Awaitable[ModelReply]]) -> ModelReply:
        """Return the reply; `usual` asks through Pydantic AI. Raises what `usual` raises."""
        key = _key(request)
        shape = self._shapes.get(key) if key is not None else None
        if shape is None:
            if key is None or key in self._shapes or len(self._shapes) >= _MOST:
                return await usual(request)
            held = HeldCall()
            reply = await _within(held, request, usual)
            self._shapes[key] = self._learn(held, request)
            return reply
        held = HeldCall()
        try:
            found = await self._send(shape, {**shape.body, "messages": _messages(request)})
        except Exception as error:  # noqa: BLE001 - Pydantic AI translates it, as if it had made the request
            held.error = error
        else:
            plain = self._plain(found)
            if plain is not None:
                return plain
            held.response, held.answered = found, True
        return await _within(held, request, usual)

    async def _send(self, shape: _Shape, body: dict[str, Any]) -> Any:
        """Return the decoded response. Raises the errors of the client."""
        if shape.known is not None:
            try:
                return await shape.known.send(body)
            except Redirected:
                pass
        options: Any = {"headers": shape.headers} if shape.headers else {}
        return await self._client.post("/chat/completions", cast_to=object, body=body, options=options)

    def _learn(self, held: HeldCall, request: ModelRequest) -> _Shape | None:
        """Return the shape of a call of Pydantic AI; None if it does more than to send the messages."""
        given = held.given
        if given is None or given.get("messages") != _messages(request) or given.get("stream"):
            return None
        if given.get("extra_body") or given.get("extra_query") or not isinstance(given.get("timeout", Omit()), NotGiven | Omit):
            return None
        apart = ("messages", "extra_headers", "extra_body", "extra_query", "timeout")
        body = {name: value for name, value in given.items() if name not in apart and not isinstance(value, NotGiven | Omit)}
        known = KnownRequest.of(self._client, held.request) if held.request is not None else None
        return _Shape(body, given.get("extra_headers"), known)

    def _plain(self, found: Any) -> ModelReply | None:
        """Return the reply of a response that is plain text; None for any other."""
        try:
            (choice,) = found["choices"]
            message, usage = choice["message"], found["usage"]
            text, finish = message["content"], _PLAIN[choice["finish_reason"]]
            read, written, model = usage["prompt_tokens"], usage["completion_tokens"], found["model"]
            text.encode()
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        if type(read) is not int or type(written) is not int or type(text) is not str or type(model) is not str:
            return None
        odd = any(value for name, value in message.items() if name not in _KNOWN) or _details(usage)
        tier = found.get("service_tier") not in (None, "default") or found.get("moderation")
        if not text or not model or odd or tier or (self._thinking and self._thinking in text):
            return None
        provider: Any = self._model._provider  # noqa: SLF001 - its name and address, as in the responses of Pydantic AI
        priced = messages.ModelResponse(
            parts=[],
            usage=RequestUsage(input_tokens=read, output_tokens=written),
            model_name=model,
            provider_name=provider.name,
            provider_url=provider.base_url,
        )
        return ModelReply(text=text, finish=finish, usage=Usage(read, written, self._prices.of_reply(priced)), model=model)


def direct_completions(name: str, model: Model) -> DirectCompletions | None:
    """Return the direct way for a model of chat completions; None for any other."""
    client = getattr(getattr(model, "_provider", None), "client", None)
    if type(model) is not OpenAIChatModel or type(client) is not AsyncOpenAI:
        return None
    http: Any = client._client  # noqa: SLF001 - to see what it sends
    if isinstance(http, DefaultAioHttpClient):
        http.event_hooks = {**http.event_hooks, "request": [*http.event_hooks.get("request", ()), _note]}
    return DirectCompletions(name, model, client)


async def _note(request: httpx2.Request) -> None:
    """Keep the request of a call that is learnt from."""
    held = HELD.get()
    if held is not None:
        held.request = request


async def _within(held: HeldCall, request: ModelRequest, usual: Callable[[ModelRequest], Awaitable[ModelReply]]) -> ModelReply:
    token = HELD.set(held)
    try:
        return await usual(request)
    finally:
        HELD.reset(token)


def _key(request: ModelRequest) -> bytes | None:
    """Return the shape of a request as bytes; None for one with tools, or without a text."""
    if request.tools or not request.exchanges or not all(isinstance(each, TextMessage) for each in request.exchanges):
        return None
    roles = [each.role for each in request.exchanges if isinstance(each, TextMessage)]
    parts = (request.schema, request.temperature, request.max_tokens, bool(request.instructions), roles)
    return msgspec.json.encode(parts)


def _messages(request: ModelRequest) -> list[dict[str, Any]]:
    """Return the messages of a request as chat completions have them."""
    made = [{"role": "system", "content": request.instructions}] if request.instructions else []
    made += [{"role": each.role, "content": each.text} for each in request.exchanges if isinstance(each, TextMessage)]
    return made


def _details(value: Any) -> bool:
    """Return whether a usage has details that may change its price."""
    return any(
        any(each.values()) if isinstance(each, dict) else False for name, each in value.items() if name.endswith("_details")
    ) or any(value.get(name) for name in ("cost", "cached_tokens", "prompt_cache_hit_tokens"))
