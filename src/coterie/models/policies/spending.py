"""Models that price replies and keep within a budget."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from coterie.models.contract import Model, reading
from coterie.models.options import Price
from coterie.models.policies.budgets import BudgetLedger, Reservation
from coterie.models.policies.wrapper import ModelWrapper, usage_of
from coterie.models.values import ModelReply, ModelRequest, TextDelta


class BudgetedModel(ModelWrapper):
    """Reserves the estimated usage before a request is sent, and books the real usage after. Safe from any thread."""

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
        """Stream, or raise `BudgetExhausted` without having asked. A stream that is left early costs its estimate."""
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


class PricedModel(ModelWrapper):
    """Puts the prices that a user gave on the replies of a model. Safe from any thread."""

    def __init__(self, model: Model, prices: Mapping[str, Price]) -> None:
        super().__init__(model)
        self._prices = dict(prices)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what so many tokens cost, in US dollars; None where the price is not known."""
        price = self._known("")
        if price is not None:
            return price.of(input_tokens, output_tokens)
        known = getattr(self._model, "price", None)
        return known(input_tokens, output_tokens) if known is not None else None

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Ask, and put the price on the reply."""
        return self._priced(await self._model.ask(request))

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Stream, and put the price on the whole reply."""
        async with reading(self._model.stream(request)) as pieces:
            async for piece in pieces:
                yield self._priced(piece) if isinstance(piece, ModelReply) else piece

    def _priced(self, reply: ModelReply) -> ModelReply:
        price = self._known(reply.model)
        if price is None:
            return reply
        usage = reply.usage
        cost = price.of(usage.input_tokens, usage.output_tokens)
        return msgspec.structs.replace(reply, usage=msgspec.structs.replace(usage, cost=cost))

    def _known(self, model: str) -> Price | None:
        """Return the price by the model string, by the name in it, or by what the provider calls the model."""
        names = (self.name, self.name.partition(":")[2], model)
        return next((self._prices[name] for name in names if name in self._prices), None)
