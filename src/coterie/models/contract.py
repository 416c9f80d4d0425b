"""The contract of a model, the base of models that wrap a model, and the way to read a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from coterie.models.values import ModelReply, ModelRequest, TextDelta, Usage


class Model(Protocol):
    """A model that answers requests. Safe from any thread and event loop, several requests at once."""

    @property
    def name(self) -> str:
        """The name of the model, for example ``openai:gpt-5``."""
        ...

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the whole reply. Raises a `coterie.ModelError`. A cancelled ask ends the call."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield the text of the reply in pieces, and the whole reply last, unless an error is raised.

        A reader that stops closes the iterator, which ends the call.
        """
        ...


Piece = TextDelta | ModelReply
"""An item of a stream: a piece of text, or the whole reply, which comes last."""


@asynccontextmanager
async def reading(stream: AsyncIterator[Piece]) -> AsyncIterator[AsyncIterator[Piece]]:
    """Close a stream at the end of the context, if it can be closed, so that its call ends with its reader."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


class ModelWrapper:
    """The base of a model that adds one policy to another model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """The name of the model within."""
        return self._model.name


def tokens(usage: Usage) -> int:
    """Return all tokens of a reply, those of its prompt included."""
    return usage.input_tokens + usage.output_tokens


def usage_of(piece: object) -> Usage | None:
    """Return the usage of a stream if this piece is the whole reply, otherwise None."""
    return piece.usage if isinstance(piece, ModelReply) else None
