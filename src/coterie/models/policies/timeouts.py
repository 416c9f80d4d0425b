"""An end to waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from coterie.errors import ModelTimeout
from coterie.models.contract import Model, reading
from coterie.models.policies.wrapper import ModelWrapper
from coterie.models.values import ModelReply, ModelRequest, TextDelta


class TimeLimitedModel(ModelWrapper):
    """Cancels a request after a number of seconds of the event loop's time; its HTTP call ends."""

    def __init__(self, model: Model, seconds: float | None, what: str, *, first_token: float | None = None) -> None:
        super().__init__(model)
        self._seconds = seconds
        self._what = what
        self._first_token = first_token

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Ask; raise `ModelTimeout` when the time is over."""
        if self._seconds is None:
            return await self._model.ask(request)
        try:
            async with asyncio.timeout(self._seconds) as scope:
                return await self._model.ask(request)
        except TimeoutError:
            if not scope.expired():
                raise
            raise ModelTimeout(self.name, self._seconds, self._what) from None

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Stream; raise `ModelTimeout` when the time is over, or no first piece comes."""
        now = asyncio.get_running_loop().time()
        end = now + self._seconds if self._seconds is not None else None
        first = now + self._first_token if self._first_token is not None else None
        async with reading(self._model.stream(request)) as pieces:
            while True:
                deadline = end if first is None else first if end is None else min(first, end)
                try:
                    async with asyncio.timeout_at(deadline) as scope:
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if not scope.expired():
                        raise
                    if deadline == end:
                        raise ModelTimeout(self.name, self._seconds or 0.0, self._what) from None
                    raise ModelTimeout(self.name, self._first_token or 0.0, "the first piece of a stream") from None
                first = None
                yield piece
