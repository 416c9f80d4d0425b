"""Prices of replies, and budgets of a run and its agents: reserved by estimates, booked by real usage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from coterie.concurrency import Rank, Signal, new_lock
from coterie.errors import BudgetExhausted
from coterie.models.contract import Model, ModelWrapper, reading, tokens, usage_of
from coterie.models.options import Budget, Price
from coterie.models.values import ModelReply, ModelRequest, TextDelta, Usage

_CHARACTERS = 4
"""Characters of a token: the common rule of thumb for English."""
_FIRST = 256.0
"""The estimated tokens of a reply before the first one."""
_WEIGHT = 0.1
"""The weight of the newest reply in the estimate."""


class TokenEstimator:
    """Estimates prompts by their length and replies by those before them.

    Safe from any thread: the estimate is one number, and a lost update does no harm.
    """

    def __init__(self) -> None:
        self._reply = _FIRST

    def prompt(self, request: ModelRequest) -> int:
        """Return the estimated tokens of the prompt."""
        size = len(request.instructions)
        for each in request.exchanges:
            size += len(msgspec.json.encode(each))
        for tool in request.tools:
            size += len(msgspec.json.encode(tool))
        if request.schema is not None:
            size += len(msgspec.json.encode(request.schema))
        return size // _CHARACTERS + 1

    def reply(self, request: ModelRequest) -> int:
        """Return the estimated tokens of the reply."""
        limit = request.max_tokens
        return int(self._reply) if limit is None else int(min(self._reply, limit))

    def learn(self, usage: Usage) -> None:
        """Update the estimate with a reply."""
        if usage.output_tokens:
            self._reply += _WEIGHT * (usage.output_tokens - self._reply)


class Spending(msgspec.Struct):
    """Amounts spent. Callers get copies."""

    requests: int = 0
    tokens: int = 0
    dollars: float = 0.0


class _Account:
    """A budget, its spending, and the reservations of requests in flight."""

    __slots__ = ("agent", "budget", "dollars", "ended", "flying", "spent", "tokens")

    def __init__(self, agent: str, budget: Budget) -> None:
        self.agent = agent
        self.budget = budget
        self.spent = Spending()
        self.ended = False
        """Whether `exhausted` lists it."""
        self.flying = 0
        self.tokens = 0
        self.dollars = 0.0

    def plain(self, *, reserved: bool) -> dict[str, float]:
        """Return the spending as a plain value."""
        spent = self.spent
        tokens, dollars = (self.tokens, self.dollars) if reserved else (0, 0.0)
        return {"requests": spent.requests, "tokens": spent.tokens + tokens, "dollars": spent.dollars + dollars}

    def refusal(self, tokens: int, dollars: float) -> BudgetExhausted | None:
        """Return the error that refuses the next request for good; None if the request may be sent now or later."""
        budget, spent = self.budget, self.spent
        if budget.requests is not None and spent.requests >= budget.requests:
            return BudgetExhausted("requests", self.agent, budget.requests, spent.requests)
        for which, limit, used, wanted in (
            ("tokens", budget.tokens, spent.tokens, tokens),
            ("dollars", budget.dollars, spent.dollars, dollars),
        ):
            if limit is None:
                continue
            if used >= limit:
                return BudgetExhausted(which, self.agent, limit, used)
            if used + wanted > limit and not self.flying:
                return BudgetExhausted(which, self.agent, limit, used, wanted=wanted)
        return None

    def fits(self, tokens: int, dollars: float) -> bool:
        """True if the next request fits beside those in flight, by their estimates."""
        budget, spent = self.budget, self.spent
        if not self.flying:
            # The length of a reply is only an estimate, so a request that is alone may be sent.
            return True
        return (budget.tokens is None or spent.tokens + self.tokens + tokens <= budget.tokens) and (
            budget.dollars is None or spent.dollars + self.dollars + dollars <= budget.dollars
        )

    @property
    def over(self) -> bool:
        """True if one of the bounds is reached."""
        budget, spent = self.budget, self.spent
        return any(
            limit is not None and used >= limit
            for limit, used in (
                (budget.requests, spent.requests),
                (budget.tokens, spent.tokens),
                (budget.dollars, spent.dollars),
            )
        )


class Reservation:
    """The expected usage of one request, until its real usage is booked."""

    __slots__ = ("accounts", "delivered", "dollars", "settled", "tokens")

    def __init__(self, accounts: tuple[_Account, ...], tokens: int, dollars: float) -> None:
        self.accounts = accounts
        self.tokens = tokens
        self.dollars = dollars
        self.delivered = False
        """Whether a part of the reply has come; then it costs its estimate, even if the rest never comes."""
        self.settled = False


class BudgetLedger:
    """The budgets of a run and of its agents. Requests are counted exactly; tokens and dollars are reserved.

    A request counts from its sending on. While the estimates of the requests in flight would exceed the tokens or dollars
    left, a request waits for their real usage. Safe from any thread and any event loop; `_lock` guards all fields.
    """

    def __init__(
        self,
        budget: Budget,
        per_agent: Budget,
        agents: Mapping[str, Budget],
        estimator: TokenEstimator,
        price: Callable[[int, int], float | None],
    ) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._run = _Account("", budget)
        self._per_agent = per_agent
        self._budgets = dict(agents)
        self._accounts: dict[str, _Account] = {}
        self._estimator = estimator
        self._price = price
        budgets = (budget, per_agent, *agents.values())
        self._priced = any(each.dollars is not None for each in budgets)
        self._estimated = self._priced or any(each.tokens is not None for each in budgets)
        self._changed = Signal()
        self.exhausted: list[str] = []
        """The agents whose budgets are exhausted, in that order; an empty name stands for the run. Append-only."""

    @property
    def spent(self) -> Spending:
        """The spending of the run."""
        return msgspec.structs.replace(self._run.spent)

    def spent_by(self, agent: str) -> Spending:
        """Return the spending of an agent."""
        with self._lock:
            account = self._accounts.get(agent)
            return msgspec.structs.replace(account.spent) if account is not None else Spending()

    def check(self, request: ModelRequest) -> None:
        """Raise `BudgetExhausted` if a request would be refused for good."""
        minimum = self._minimum_usage(request)
        with self._lock:
            self._refuse(self._of(request.agent), *minimum)

    async def reserve(self, request: ModelRequest) -> Reservation:
        """Wait for room, count a request, and reserve its estimated usage. Raises `BudgetExhausted`."""
        minimum, (likely, dollars) = self._minimum_usage(request), self._estimated_usage(request)
        while True:
            with self._lock:
                accounts = self._of(request.agent)
                self._refuse(accounts, *minimum)
                if all(account.fits(likely, dollars) for account in accounts):
                    for account in accounts:
                        account.spent.requests += 1
                        account.flying += 1
                        account.tokens += likely
                        account.dollars += dollars
                    self._note_ends(accounts)
                    return Reservation(accounts, likely, dollars)
                changed = self._changed
            await changed

    def settle(self, reservation: Reservation, usage: Usage) -> None:
        """Book the real usage of a request in place of its reservation."""
        self._end(reservation, tokens(usage), usage.cost or 0.0)

    def release(self, reservation: Reservation) -> None:
        """End a reservation that was never settled. It costs nothing, or its estimate if a part of the reply has come."""
        if reservation.delivered:
            self._end(reservation, reservation.tokens, reservation.dollars)
        else:
            self._end(reservation, 0, 0.0)

    def snapshot(self, *, reserved: bool = False) -> dict[str, Any]:
        """Return the spending as a plain value; with `reserved`, requests in flight count as spent, by their estimates."""
        with self._lock:
            return {
                "run": self._run.plain(reserved=reserved),
                "agents": {name: account.plain(reserved=reserved) for name, account in self._accounts.items()},
            }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the spending. The budgets of this ledger stay; they may be larger than before."""
        run = msgspec.convert(state["run"], Spending)
        agents = msgspec.convert(state["agents"], dict[str, Spending])
        with self._lock:
            self._run.spent = run
            for name, spent in agents.items():
                self._account(name).spent = spent
            self._note_ends((self._run, *self._accounts.values()))
            changed, self._changed = self._changed, Signal()
        changed.set()

    def _minimum_usage(self, request: ModelRequest) -> tuple[int, float]:
        """Return the usage of a request with an empty reply; zeros if no budget needs estimates."""
        if not self._estimated:
            return 0, 0.0
        prompt = self._estimator.prompt(request)
        return prompt, self._dollars(prompt, 0)

    def _estimated_usage(self, request: ModelRequest) -> tuple[int, float]:
        """Return the estimated usage of a request; zeros if no budget needs estimates."""
        if not self._estimated:
            return 0, 0.0
        prompt, reply = self._estimator.prompt(request), self._estimator.reply(request)
        return prompt + reply, self._dollars(prompt, reply)

    def _dollars(self, prompt: int, reply: int) -> float:
        return (self._price(prompt, reply) or 0.0) if self._priced else 0.0

    def _end(self, reservation: Reservation, tokens: int, dollars: float) -> None:
        with self._lock:
            if reservation.settled:
                return
            reservation.settled = True
            for account in reservation.accounts:
                account.flying -= 1
                account.tokens -= reservation.tokens
                account.dollars -= reservation.dollars
                if not account.flying:
                    account.dollars = 0.0  # rounding errors
                account.spent.tokens += tokens
                account.spent.dollars += dollars
            self._note_ends(reservation.accounts)
            changed, self._changed = self._changed, Signal()
        changed.set()

    def _note_ends(self, accounts: tuple[_Account, ...]) -> None:
        for account in accounts:
            over = account.over
            if over and not account.ended:
                self.exhausted.append(account.agent)
            account.ended = over

    def _refuse(self, accounts: tuple[_Account, ...], tokens: int, dollars: float) -> None:
        for account in accounts:
            refusal = account.refusal(tokens, dollars)
            if refusal is not None:
                raise refusal

    def _of(self, agent: str) -> tuple[_Account, ...]:
        return (self._run, self._account(agent)) if agent else (self._run,)

    def _account(self, agent: str) -> _Account:
        account = self._accounts.get(agent)
        if account is None:
            account = self._accounts[agent] = _Account(agent, self._budgets.get(agent, self._per_agent))
        return account


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
    """Adds the user's prices to the replies of a model. Safe from any thread."""

    def __init__(self, model: Model, prices: Mapping[str, Price]) -> None:
        super().__init__(model)
        self._prices = dict(prices)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return the price of these tokens in US dollars; None if it is unknown."""
        price = self._known("")
        if price is not None:
            return price.of(input_tokens, output_tokens)
        known = getattr(self._model, "price", None)
        return known(input_tokens, output_tokens) if known is not None else None

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Ask, and add the price to the reply."""
        return self._priced(await self._model.ask(request))

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Stream, and add the price to the whole reply."""
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
        """Return the price by the model string, by the name in it, or by the provider's name of the model."""
        names = (self.name, self.name.partition(":")[2], model)
        return next((self._prices[name] for name in names if name in self._prices), None)
