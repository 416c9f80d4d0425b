"""The contract of a model, and how a stream is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from coterie.models.values import ModelReply, ModelRequest, TextDelta


class Model(Protocol):
    """Something that answers requests. Safe from any thread and any event loop, several requests at once."""

    @property
    def name(self) -> str:
        """What people call it, for example ``openai:gpt-5``."""
        ...

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the whole reply; raise a `coterie.ModelError` that says what went wrong. A cancelled ask ends the call."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Return the reply as it is written: pieces of text, and the whole reply last, always, unless an error is raised.

        Whoever stops reading closes the iterator, and the call ends with it.
        """
        ...


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
