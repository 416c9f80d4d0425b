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
    """One thing that happened: when, and how much of it."""

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
        """Return after how many seconds so much may happen; 0 if it may now. More than the limit waits to be alone."""
        self._forget_old(now)
        over = self._sum + min(amount, self._limit) - self._limit
        if over <= 0:
            return 0.0
        for passage in self._log:
            over -= passage.amount
            if over <= 0:
                return max(0.0, passage.at + self._length - now)
        return self._length

    def enter(self, now: float, amount: float) -> WindowEntry:
        """Note that it happens now."""
        passage = WindowEntry(now, amount)
        self._log.append(passage)
        self._sum += amount
        return passage

    def correct(self, passage: WindowEntry, amount: float) -> None:
        """Say how much it really was; 0 if it never happened."""
        if self._log and passage.at >= self._log[0].at:
            self._sum += amount - passage.amount
        passage.amount = amount

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
        """The agents that it has begun to turn away, in that order; an empty name is everybody."""
        ...

    def check(self, request: ModelRequest) -> None:
        """Raise a `ModelError` if the request is turned away."""
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
    """Admits requests in turn, within the limits. For one event loop: that of the gateway.

    The highest priority goes first; among equals, who came first. To have waited `age_after` seconds counts as much as
    one step of priority, so that nothing waits for ever. A smaller request never overtakes the first in line. When the
    provider says `Retry-After`, all rest until then.
    """

    def __init__(
        self,
        model: Model,
        limits: RateLimits,
        estimator: TokenEstimator,
        meter: Meter,
        gate: AdmissionCheck,
        patience: float | None,
    ) -> None:
        super().__init__(model)
        self._patience = patience
        """Seconds beyond which nobody rests for a `Retry-After`: each hears of it at once."""
        self._limits = limits
        self._estimator = estimator
        self._meter = meter
        self._gate = gate
        self._requests = SlidingWindow(limits.requests_per_minute) if limits.requests_per_minute is not None else None
        self._tokens = SlidingWindow(limits.tokens_per_minute) if limits.tokens_per_minute is not None else None
        self._line: list[tuple[float, int, _Waiter]] = []
        self._order = itertools.count()
        self._running = 0
        self._rest_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._swept = 0

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return len(self._line)

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
        self._gate.check(request)
        turn = await self._enter(request)
        try:
            yield turn
        except BudgetExhausted:
            # It was never sent, and takes nobody's place.
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
        # All grow older at one rate, so their order never changes while they wait.
        rank = now / self._limits.age_after - request.priority
        heapq.heappush(self._line, (rank, next(self._order), waiter))
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
        """Give turns to as many as may have one."""
        self._sweep()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._line:
            waiter = self._line[0][2]
            if waiter.future.done():
                heapq.heappop(self._line)
                continue
            if self._limits.concurrency is not None and self._running >= self._limits.concurrency:
                return
            now = loop.time()
            delay = self._delay(now, waiter)
            if delay > _SOON:
                self._timer = loop.call_later(delay, self._pump)
                return
            heapq.heappop(self._line)
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
        new = self._gate.exhausted[self._swept :]
        if not new:
            return
        self._swept += len(new)
        names = set(new)
        for _, _, waiter in self._line:
            if waiter.future.done() or ("" not in names and waiter.request.agent not in names):
                continue
            try:
                self._gate.check(waiter.request)
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
"""Seconds that are not waited for: so little may be left by rounding, and never pass on a clock that stands still."""
