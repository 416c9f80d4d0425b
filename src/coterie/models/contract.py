"""The contract of a model."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
