"""Reading a stream, and closing it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from coterie.models.values import ModelReply, TextDelta

Piece = TextDelta | ModelReply
"""What a stream consists of: pieces of text, and the whole reply last."""


@asynccontextmanager
async def reading(stream: AsyncIterator[Piece]) -> AsyncIterator[AsyncIterator[Piece]]:
    """Close a stream at the end of the context, if it can be closed, so that its call ends with whoever reads it."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
