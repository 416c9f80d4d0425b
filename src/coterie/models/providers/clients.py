"""The HTTP client of providers that speak as OpenAI does."""

from __future__ import annotations

import aiohttp  # noqa: F401 - without it the client below is none; so a missing one is told with the extra it is in
import httpx2
from openai import DefaultAioHttpClient
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


def _nothing(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(204)


_IDLE = 4.0
"""Seconds after which a connection that nobody uses is closed; many servers do it after 5, which would break a request."""
