"""The HTTP client of providers that speak as OpenAI does."""

from __future__ import annotations

from typing import Any

import aiohttp  # noqa: F401 - without it the client below is none; so a missing one is told with the extra it is in
import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit
from pydantic_ai.models import create_async_httpx2_client

ON_AIOHTTP = (
    "alibaba", "azure", "cerebras", "deepseek", "fireworks", "heroku", "litellm", "moonshotai", "nebius", "ollama", "openai",
    "openai-chat", "openai-responses", "openrouter", "ovhcloud", "sambanova", "together", "vercel", "vllm",
)  # fmt: skip
"""Providers that speak through OpenAI's client with nothing but a key. Those that sign requests, or have a client of their
own kind, keep it."""


def new_client() -> httpx2.AsyncClient:
    """Return a client with the settings of Pydantic AI's own, but on the connections of aiohttp.

    The pool of httpx2 looks at all of its connections whenever a request begins and ends: a hundred at once cost more in
    there than in all else that a request passes. It lives on the event loop that it is first used on.
    """
    pattern = create_async_httpx2_client(transport=httpx2.MockTransport(_nothing))
    return DefaultAioHttpClient(
        timeout=pattern.timeout,
        # None would be the hundred of aiohttp, and 0 is any number: how many there are is the gateway's to limit.
        limits=httpx2.Limits(max_connections=0, keepalive_expiry=_IDLE),
        headers=pattern.headers,
        event_hooks=pattern.event_hooks,
        follow_redirects=pattern.follow_redirects,
    )


def send_as_they_are(client: AsyncOpenAI) -> None:
    """Have a client send messages and tools as they are, which is as JSON.

    It would walk through them by their declared types, each union's members one by one, to change nothing: a fifth and
    more of what a request costs, and that again for each message of a history. What is put into `extra_body` it leaves
    alone.
    """
    completions = client.chat.completions
    create: Any = completions.create

    async def straight(**given: Any) -> Any:
        body = {name: given[name] for name in ("messages", "tools") if isinstance(given.get(name), list)}
        left: dict[str, Any] = {name: [] if name == "messages" else Omit() for name in body}
        return await create(**{**given, **left, "extra_body": {**body, **(given.get("extra_body") or {})}})

    completions.create = straight  # type: ignore[method-assign]


def _nothing(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(204)


_IDLE = 4.0
"""Seconds after which a connection that nobody uses is closed; many servers do it after 5, which would break a request."""
