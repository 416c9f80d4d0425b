"""The transports to an MCP server: a program that is started, or streamable HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol, Self

from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from coterie.conversation.mcp.policy import McpToolPolicy


class ServerSettings(Protocol):
    """The settings of a server, as its connection needs them."""

    name: str
    command: str | None
    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: Path | None
    log: Path | None
    url: str | None
    headers: dict[str, str]
    policies: dict[str, McpToolPolicy]
    policy: McpToolPolicy
    prefix: str
    trusted: bool
    connect_timeout: float


def transport_of(settings: ServerSettings) -> Any:
    """Return the transport of a server, not yet open."""
    return _program(settings) if settings.url is None else _http(settings.url, settings.headers)


class _WatchedStream:
    """A stream of messages that tells when it has ended."""

    def __init__(self, inner: Any, ended: asyncio.Event) -> None:
        self._inner = inner
        self._ended = ended

    @property
    def last_context(self) -> Any:
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> Any:
        return await self._inner.receive()

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __aiter__(self) -> _WatchedStream:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._inner.__anext__()
        except BaseException:
            self._ended.set()
            raise

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        return await self._inner.__aexit__(*error)


@contextlib.asynccontextmanager
async def watched(transport: Any, ended: asyncio.Event) -> AsyncIterator[Any]:
    """Open a transport, and set `ended` when its stream of messages has ended."""
    async with transport as (read, write):
        yield _WatchedStream(read, ended), write


@contextlib.asynccontextmanager
async def _http(url: str, headers: dict[str, str]) -> AsyncIterator[Any]:
    async with create_mcp_http_client(headers) as client, streamable_http_client(url, http_client=client) as streams:
        yield streams


@contextlib.asynccontextmanager
async def _program(settings: ServerSettings) -> AsyncIterator[Any]:
    assert settings.command is not None
    parameters = StdioServerParameters(
        command=settings.command, args=list(settings.arguments), env=settings.environment or None, cwd=settings.folder
    )
    place = os.devnull if settings.log is None else settings.log
    with open(place, "a", encoding="utf-8") as errors:  # noqa: ASYNC230, PTH123 - opened once, at the start
        async with stdio_client(parameters, errlog=errors) as streams:
            yield streams
