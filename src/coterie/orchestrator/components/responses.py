"""The responses to requests that have a correlation of their own, for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import NamedTuple

from coterie.errors.orchestrator import UnknownResponse
from coterie.kernel import Clock
from coterie.orchestrator.components.component import ComponentReply


class Outcome(NamedTuple):
    """The end of a request: its reply or its error."""

    reply: ComponentReply | None
    error: Exception | None = None

    def take(self) -> ComponentReply:
        """Return the reply, or raise the error."""
        if self.reply is None:
            raise self.error if self.error is not None else RuntimeError("a request ended without a reply")
        return self.reply


class Responses:
    """Outcomes by correlation, at most `count` ended ones, for `seconds`. Used on the event loop of one agent."""

    def __init__(self, count: int, seconds: float, clock: Clock) -> None:
        self._count = count
        self._seconds = seconds
        self._clock = clock
        self._outcomes: dict[str, asyncio.Future[Outcome]] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()

    def begin(self, correlation: str) -> asyncio.Future[Outcome]:
        """Return the future outcome of a request, which replaces one of the same correlation."""
        self._ended.pop(correlation, None)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._outcomes[correlation] = outcome
        return outcome

    def end(self, correlation: str, future: asyncio.Future[Outcome], outcome: Outcome) -> None:
        """Set an outcome, and keep it for a while."""
        if not future.done():
            future.set_result(outcome)
        if self._outcomes.get(correlation) is future:
            self._ended[correlation] = self._clock.monotonic()
            self.trim()

    async def get(self, correlation: str) -> ComponentReply:
        """Wait for an outcome. Return its reply or raise its error. Raises `UnknownResponse`."""
        self.trim()
        future = self._outcomes.get(correlation)
        if future is None:
            raise UnknownResponse(correlation)
        return (await asyncio.shield(future)).take()

    def trim(self) -> None:
        """Drop the outcomes above the limits."""
        oldest = self._clock.monotonic() - self._seconds
        while self._ended and (len(self._ended) > self._count or next(iter(self._ended.values())) <= oldest):
            correlation, _ = self._ended.popitem(last=False)
            del self._outcomes[correlation]
