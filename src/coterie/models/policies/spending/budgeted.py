"""Spending within a budget."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from coterie.models.contract import Model
from coterie.models.policies.around import ModelWrapper, usage_of
from coterie.models.policies.spending.ledger import BudgetLedger, Reservation
from coterie.models.reading import reading
from coterie.models.values import ModelReply, ModelRequest, TextDelta


class BudgetedModel(ModelWrapper):
    """Reserves what a request is likely to take before it is sent, and settles by what it took. Safe from any thread."""

    def __init__(self, model: Model, ledger: BudgetLedger) -> None:
        super().__init__(model)
        self._ledger = ledger

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Ask, or raise `BudgetExhausted` without having asked."""
        async with self._reserved(request) as reservation:
            reply = await self._model.ask(request)
            self._ledger.settle(reservation, reply.usage)
            return reply

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Stream, or raise `BudgetExhausted` without having asked. A stream that is left early costs what was estimated."""
        async with self._reserved(request) as reservation, reading(self._model.stream(request)) as pieces:
            async for piece in pieces:
                usage = usage_of(piece)
                if usage is not None:
                    self._ledger.settle(reservation, usage)
                else:
                    reservation.delivered = True
                yield piece

    @asynccontextmanager
    async def _reserved(self, request: ModelRequest) -> AsyncIterator[Reservation]:
        reservation = await self._ledger.reserve(request)
        try:
            yield reservation
        finally:
            self._ledger.release(reservation)
