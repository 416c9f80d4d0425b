"""Server-sent events: written, kept alive through silence, and ended when the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse

_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


def sse(data: str, *, id: int | None = None) -> str:  # noqa: A002 - what the format calls it
    """Return one event as it is sent. `data` has no line breaks but those of JSON, which has none."""
    return (f"id: {id}\n" if id is not None else "") + f"data: {data}\n\n"


def streaming(pieces: AsyncIterator[str], *, heartbeat: float, closing: asyncio.Event) -> StreamingResponse:
    """Return a response that sends pieces as they come."""
    return StreamingResponse(_alive(pieces, heartbeat, closing), media_type="text/event-stream", headers=_HEADERS)


async def _alive(pieces: AsyncIterator[str], heartbeat: float, closing: asyncio.Event) -> AsyncIterator[str]:
    """Pass pieces on, with a comment after each silence, until they end or the server does."""
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
