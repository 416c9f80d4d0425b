"""Limits and budgets that several gateways share, such as those on the nodes of a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from coterie.errors import ModelError
from coterie.models.contract import Model, ModelWrapper, reading, usage_of
from coterie.models.values import ModelReply, ModelRequest, TextDelta, Usage


class SharedTurn:
    """The turn of one request, which its gateway may send. What it has used is booked when the turn ends."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        """The usage of its reply; None if that is not known: then it costs its estimate, unless it has failed."""
        self.failed = False
        """Whether no reply has come, so that it costs nothing."""
        self.retry_after: float | None = None
        """The seconds for which the provider wants no request from anyone."""


class SharedLimits(Protocol):
    """Limits and budgets that are kept elsewhere. Safe from any thread and event loop."""

    def turn(self, request: ModelRequest) -> AbstractAsyncContextManager[SharedTurn]:
        """Wait for room, and return the turn of a request. Raises `BudgetExhausted`, and `ModelUnavailable` if none answers."""
        ...


class SharedLimitsModel(ModelWrapper):
    """Sends each attempt of a request within limits and budgets that are shared with other gateways."""

    def __init__(self, model: Model, shared: SharedLimits) -> None:
        super().__init__(model)
        self._shared = shared

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Ask when it is this request's turn."""
        async with self._shared.turn(request) as turn:
            try:
                reply = await self._model.ask(request)
            except ModelError as error:
                _note(turn, error)
                raise
            turn.usage = reply.usage
            return reply

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Stream when it is this request's turn; the turn lasts as long as the stream."""
        async with self._shared.turn(request) as turn:
            delivered = False
            try:
                async with reading(self._model.stream(request)) as pieces:
                    async for piece in pieces:
                        delivered = True
                        turn.usage = usage_of(piece) or turn.usage
                        yield piece
            except ModelError as error:
                if not delivered:
                    _note(turn, error)
                raise


def _note(turn: SharedTurn, error: ModelError) -> None:
    turn.failed = True
    turn.retry_after = getattr(error, "retry_after", None)
