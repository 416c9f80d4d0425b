"""Limit the time of requests, and retry failed ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from random import Random

from coterie.errors import ModelError, ModelTimeout
from coterie.errors.models import StreamBroken
from coterie.models.contract import Model, ModelWrapper, reading
from coterie.models.policies.metering import Meter
from coterie.models.values import ModelReply, ModelRequest, TextDelta
from coterie.work import Retry

_log = logging.getLogger(__name__)


class RetryingModel(ModelWrapper):
    """Retries failed requests after a growing pause, and never before the provider's `Retry-After`.

    A stream restarts only while nothing of it has been delivered. For the gateway's event loop only.
    """

    def __init__(self, model: Model, retry: Retry, random: Random, meter: Meter, patience: float | None) -> None:
        super().__init__(model)
        self._retry = retry
        self._random = random
        self._meter = meter
        self._patience = patience
        """A longer `Retry-After`, in seconds, is not waited for."""

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Ask until a reply or a final error comes."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._model.ask(request)
            except ModelError as error:
                delay = self._delay(attempt, error)
                if delay is None:
                    raise
                self._note(request, attempt, error, delay)
            await asyncio.sleep(delay)

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Stream, and retry until the first piece comes."""
        attempt = 0
        delivered: list[str] = []
        while True:
            attempt += 1
            try:
                async with reading(self._model.stream(request)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, TextDelta):
                            delivered.append(piece.text)
                        yield piece
            except ModelError as error:
                if delivered:
                    raise StreamBroken(self.name, "".join(delivered), str(error)) from error
                delay = self._delay(attempt, error)
                if delay is None:
                    raise
                self._note(request, attempt, error, delay)
            else:
                return
            await asyncio.sleep(delay)

    def _delay(self, attempt: int, error: ModelError) -> float | None:
        delay = self._retry.delay(attempt, error, self._random)
        wanted: float | None = getattr(error, "retry_after", None)
        if delay is None or wanted is None:
            return delay
        if self._patience is not None and wanted > self._patience:
            return None
        return max(delay, wanted)

    def _note(self, request: ModelRequest, attempt: int, error: ModelError, delay: float) -> None:
        self._meter.retried(request)
        _log.info("attempt %d of %s/%s failed, the next in %.3g s: %s", attempt, request.agent, request.step, delay, error)


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
        """Stream; raise `ModelTimeout` when the time is over, or when no first piece comes in its time."""
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
