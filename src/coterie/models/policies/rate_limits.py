"""Rate and concurrency limits, with priorities."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from coterie.errors import BudgetExhausted, ModelError
from coterie.models.contract import Model, ModelWrapper, reading, tokens, usage_of
from coterie.models.options import RateLimits
from coterie.models.policies.budgets import TokenEstimator
from coterie.models.policies.metering import Meter
from coterie.models.values import ModelReply, ModelRequest, TextDelta, Usage


class WindowEntry:
    """One entry of a window: its time and its amount."""

    __slots__ = ("amount", "at")

    def __init__(self, at: float, amount: float) -> None:
        self.at = at
        self.amount = amount


class SlidingWindow:
    """At most `limit` within any `length` seconds: a sliding log, exact where a bucket would let twice as much through.

    For one thread.
    """

    def __init__(self, limit: float, length: float = 60.0) -> None:
        self._limit = limit
        self._length = length
        self._log: deque[WindowEntry] = deque()
        self._sum = 0.0

    def delay(self, now: float, amount: float) -> float:
        """Return the seconds until this amount is allowed; 0 if it is now. More than the limit waits for an empty window."""
        self._forget_old(now)
        over = self._sum + min(amount, self._limit) - self._limit
        if over <= 0:
            return 0.0
        for entry in self._log:
            over -= entry.amount
            if over <= 0:
                return max(0.0, entry.at + self._length - now)
        return self._length

    def enter(self, now: float, amount: float) -> WindowEntry:
        """Add an amount now."""
        entry = WindowEntry(now, amount)
        self._log.append(entry)
        self._sum += amount
        return entry

    def correct(self, entry: WindowEntry, amount: float) -> None:
        """Correct the amount of an entry; 0 if its request was never sent."""
        if self._log and entry.at >= self._log[0].at:
            self._sum += amount - entry.amount
        entry.amount = amount

    def _forget_old(self, now: float) -> None:
        log = self._log
        while log and log[0].at + self._length <= now:
            self._sum -= log.popleft().amount
        if not log:
            self._sum = 0.0


class AdmissionCheck(Protocol):
    """Refuses a request before its turn comes."""

    @property
    def exhausted(self) -> Sequence[str]:
        """The agents whose requests it refuses, in that order; an empty name stands for all agents."""
        ...

    def check(self, request: ModelRequest) -> None:
        """Raise a `ModelError` if the request is refused."""
        ...


class _Waiter:
    __slots__ = ("future", "request", "since", "tokens")

    def __init__(self, request: ModelRequest, estimate: int, since: float) -> None:
        self.request = request
        self.tokens = estimate
        self.since = since
        self.future: asyncio.Future[_Turn] = asyncio.get_running_loop().create_future()


class _Turn:
    __slots__ = ("request", "tokens")

    def __init__(self, request: WindowEntry | None, tokens: WindowEntry | None) -> None:
        self.request = request
        self.tokens = tokens


class RateLimitedModel(ModelWrapper):
    """Sends requests in turn, within the limits. For the gateway's event loop only.

    The highest priority goes first; among equals, the oldest. Waiting `age_after` seconds counts as one step of priority, so
    that no request waits for ever. A smaller request never overtakes the first in the queue. After a `Retry-After` of the
    provider, all requests pause until then.
    """

    def __init__(
        self,
        model: Model,
        limits: RateLimits,
        estimator: TokenEstimator,
        meter: Meter,
        admission: AdmissionCheck,
        patience: float | None,
    ) -> None:
        super().__init__(model)
        self._patience = patience
        """A longer `Retry-After`, in seconds, is not waited for: its request fails at once."""
        self._limits = limits
        self._estimator = estimator
        self._meter = meter
        self._admission = admission
        self._requests = SlidingWindow(limits.requests_per_minute) if limits.requests_per_minute is not None else None
        self._tokens = SlidingWindow(limits.tokens_per_minute) if limits.tokens_per_minute is not None else None
        self._queue: list[tuple[float, int, _Waiter]] = []
        self._order = itertools.count()
        self._running = 0
        self._rest_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._swept = 0

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """The number of requests at the provider."""
        return self._running

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Ask when it is this request's turn."""
        async with self._turn(request) as turn:
            reply = await self._model.ask(request)
            self._correct(turn, reply.usage)
            return reply

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Stream when it is this request's turn; the turn lasts as long as the stream."""
        async with self._turn(request) as turn, reading(self._model.stream(request)) as pieces:
            async for piece in pieces:
                usage = usage_of(piece)
                if usage is not None:
                    self._correct(turn, usage)
                yield piece

    @asynccontextmanager
    async def _turn(self, request: ModelRequest) -> AsyncIterator[_Turn]:
        self._admission.check(request)
        turn = await self._enter(request)
        try:
            yield turn
        except BudgetExhausted:
            # It was never sent, so it takes no place in the windows.
            self._withdraw(turn)
            raise
        except ModelError as error:
            retry_after: float | None = getattr(error, "retry_after", None)
            if retry_after and (self._patience is None or retry_after <= self._patience):
                self._rest_until = max(self._rest_until, asyncio.get_running_loop().time() + retry_after)
            raise
        finally:
            self._running -= 1
            self._pump()

    async def _enter(self, request: ModelRequest) -> _Turn:
        now = asyncio.get_running_loop().time()
        estimate = self._estimator.prompt(request) + self._estimator.reply(request) if self._tokens is not None else 0
        waiter = _Waiter(request, estimate, now)
        # All age at the same rate, so their order never changes while they wait.
        rank = now / self._limits.age_after - request.priority
        heapq.heappush(self._queue, (rank, next(self._order), waiter))
        self._pump()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self._withdraw(waiter.future.result())
                self._running -= 1
            self._pump()
            raise

    def _pump(self) -> None:
        """Start as many waiting requests as the limits allow."""
        self._sweep()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._queue:
            waiter = self._queue[0][2]
            if waiter.future.done():
                heapq.heappop(self._queue)
                continue
            if self._limits.concurrency is not None and self._running >= self._limits.concurrency:
                return
            now = loop.time()
            delay = self._delay(now, waiter)
            if delay > _SOON:
                self._timer = loop.call_later(delay, self._pump)
                return
            heapq.heappop(self._queue)
            self._running += 1
            self._meter.waited(waiter.request, now - waiter.since)
            waiter.future.set_result(
                _Turn(
                    self._requests.enter(now, 1) if self._requests is not None else None,
                    self._tokens.enter(now, waiter.tokens) if self._tokens is not None else None,
                )
            )

    def _delay(self, now: float, waiter: _Waiter) -> float:
        delay = self._rest_until - now
        if self._requests is not None:
            delay = max(delay, self._requests.delay(now, 1))
        if self._tokens is not None:
            delay = max(delay, self._tokens.delay(now, waiter.tokens))
        return delay

    def _sweep(self) -> None:
        """Refuse the waiting requests of an exhausted budget."""
        new = self._admission.exhausted[self._swept :]
        if not new:
            return
        self._swept += len(new)
        names = set(new)
        for _, _, waiter in self._queue:
            if waiter.future.done() or ("" not in names and waiter.request.agent not in names):
                continue
            try:
                self._admission.check(waiter.request)
            except ModelError as error:
                waiter.future.set_exception(error)

    def _correct(self, turn: _Turn, usage: Usage) -> None:
        self._estimator.learn(usage)
        if self._tokens is not None and turn.tokens is not None and tokens(usage):
            self._tokens.correct(turn.tokens, tokens(usage))

    def _withdraw(self, turn: _Turn) -> None:
        if self._requests is not None and turn.request is not None:
            self._requests.correct(turn.request, 0)
        if self._tokens is not None and turn.tokens is not None:
            self._tokens.correct(turn.tokens, 0)


_SOON = 1e-6
"""Shorter delays, in seconds, count as none: rounding leaves them, and they never pass on a manual clock."""
