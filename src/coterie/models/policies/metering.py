"""Metrics of the requests of a gateway, by agent, and the table of their costs."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol

import msgspec

from coterie.models.contract import Model, ModelWrapper, reading
from coterie.models.values import ModelReply, ModelRequest, TextDelta, Usage
from coterie.telemetry import DurationSummary
from coterie.telemetry.durations import DurationRecorder, summarise


class CallMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one agent to one model, or of many. All times are in seconds."""

    agent: str = ""
    """The agent that asked; empty for all agents together."""
    model: str = ""
    """The model, as the gateway calls it."""
    asked: int = 0
    """Requests that have ended: ``asked == answered + failed + cancelled``."""
    answered: int = 0
    replayed: int = 0
    """Replies from a recording, at no cost; part of `answered`."""
    failed: int = 0
    cancelled: int = 0
    retries: int = 0
    """Attempts after the first."""
    errors: dict[str, int] = {}
    """The number of requests that each kind of error ended."""
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float = 0.0
    """The sum over all replies whose price is known."""
    unpriced: int = 0
    """Replies whose price is not known."""
    latency: DurationSummary = DurationSummary()
    """From the request to the end of the reply, with waiting and retries."""
    first_piece: DurationSummary = DurationSummary()
    """Of streams: from the request to the first piece."""
    wait: DurationSummary = DurationSummary()
    """The wait of each attempt for its turn."""


class _Counts:
    __slots__ = (
        "answered",
        "cancelled",
        "cost",
        "errors",
        "failed",
        "first",
        "input",
        "latency",
        "output",
        "replayed",
        "retries",
        "unpriced",
        "wait",
    )

    def __init__(self) -> None:
        self.answered = self.failed = self.cancelled = self.retries = self.unpriced = self.replayed = self.input = (
            self.output
        ) = 0
        self.cost = 0.0
        self.errors: dict[str, int] = {}
        self.latency, self.first, self.wait = DurationRecorder(), DurationRecorder(), DurationRecorder()


class Meter:
    """The counts of one gateway. Only the thread of its loop writes; readers copy without a lock."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._table: dict[str, _Counts] = {}

    def waited(self, request: ModelRequest, seconds: float) -> None:
        """Count the wait of an attempt for its turn."""
        self._of(request).wait.record(seconds)

    def retried(self, request: ModelRequest) -> None:
        """Count another attempt."""
        self._of(request).retries += 1

    def began_to_answer(self, request: ModelRequest, seconds: float) -> None:
        """Count the first piece of a stream."""
        self._of(request).first.record(seconds)

    def answered(self, request: ModelRequest, usage: Usage, seconds: float, *, replayed: bool) -> None:
        """Count a reply. A replayed one cost nothing."""
        counts = self._of(request)
        counts.answered += 1
        counts.input += usage.input_tokens
        counts.output += usage.output_tokens
        if replayed:
            counts.replayed += 1
        elif usage.cost is None:
            counts.unpriced += 1
        else:
            counts.cost += usage.cost
        counts.latency.record(seconds)

    def failed(self, request: ModelRequest, error: BaseException) -> None:
        """Count a request that failed or was cancelled."""
        counts = self._of(request)
        if isinstance(error, Exception):
            counts.failed += 1
            kind = type(error).__name__
            counts.errors[kind] = counts.errors.get(kind, 0) + 1
        else:
            counts.cancelled += 1

    def by_agent(self) -> dict[str, CallMetrics]:
        """Return the current counts of each agent."""
        return {agent: self._view(agent, [counts]) for agent, counts in self._table.copy().items()}

    def total(self) -> CallMetrics:
        """Return the current counts of all agents together."""
        return self._view("", list(self._table.copy().values()))

    def _of(self, request: ModelRequest) -> _Counts:
        counts = self._table.get(request.agent)
        if counts is None:
            counts = self._table[request.agent] = _Counts()
        return counts

    def _view(self, agent: str, parts: list[_Counts]) -> CallMetrics:
        errors: dict[str, int] = {}
        for part in parts:
            for kind, count in part.errors.copy().items():
                errors[kind] = errors.get(kind, 0) + count
        answered, failed, cancelled = (
            sum(getattr(part, name) for part in parts) for name in ("answered", "failed", "cancelled")
        )
        return CallMetrics(
            agent=agent,
            model=self._model,
            asked=answered + failed + cancelled,
            answered=answered,
            replayed=sum(part.replayed for part in parts),
            failed=failed,
            cancelled=cancelled,
            retries=sum(part.retries for part in parts),
            errors=errors,
            input_tokens=sum(part.input for part in parts),
            output_tokens=sum(part.output for part in parts),
            dollars=sum(part.cost for part in parts),
            unpriced=sum(part.unpriced for part in parts),
            latency=summarise([part.latency for part in parts]),
            first_piece=summarise([part.first for part in parts]),
            wait=summarise([part.wait for part in parts]),
        )


class MeteredModel(ModelWrapper):
    """Counts requests by their outcome, and measures their time. For the gateway's event loop only."""

    def __init__(self, model: Model, meter: Meter, now: Callable[[], float], replayed: Callable[[ModelReply], bool]) -> None:
        super().__init__(model)
        self._replayed = replayed
        self._meter = meter
        self._now = now

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Ask, and count."""
        began = self._now()
        try:
            reply = await self._model.ask(request)
        except BaseException as error:
            self._meter.failed(request, error)
            raise
        self._meter.answered(request, reply.usage, self._now() - began, replayed=self._replayed(reply))
        return reply

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Stream, and count; a stream that is left before its end counts as cancelled."""
        began = self._now()
        first = True
        try:
            async with reading(self._model.stream(request)) as pieces:
                async for piece in pieces:
                    if first:
                        self._meter.began_to_answer(request, self._now() - began)
                        first = False
                    if isinstance(piece, ModelReply):
                        took = self._now() - began
                        self._meter.answered(request, piece.usage, took, replayed=self._replayed(piece))
                    yield piece
        except BaseException as error:
            self._meter.failed(request, error)
            raise


class CostRow(msgspec.Struct, frozen=True):
    """The costs of one agent, or the total."""

    agent: str
    """Empty for requests that named no agent, and ``total`` in the last line."""
    model: str
    requests: int
    """Replies received."""
    replayed: int
    """Replies from a recording, at no cost; part of `requests`."""
    failed: int
    retries: int
    input_tokens: int
    output_tokens: int
    dollars: float
    unpriced: int
    """Replies without a known price; `dollars` does not include them."""
    seconds: float
    """The mean time to a reply, in seconds."""
    p95: float
    """The 95th percentile of the time to a reply, in seconds."""


class _Measured(Protocol):
    def metrics(self) -> CallMetrics: ...

    def metrics_by_agent(self) -> dict[str, CallMetrics]: ...


class CostTable(tuple[CostRow, ...]):
    """The rows of a cost table, by agent, and the total last. Immutable."""

    __slots__ = ()

    def csv(self) -> str:
        """Return it as comma-separated values, with a line of names first."""
        text = io.StringIO()
        writer = csv.DictWriter(text, CostRow.__struct_fields__, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue()

    def rows(self) -> list[dict[str, object]]:
        """Return it as plain values, for JSON or a template."""
        return [msgspec.to_builtins(row) for row in self]


def cost_table(gateway: _Measured) -> CostTable:
    """Return the costs of each agent of a gateway so far, and the total. Never blocks requests."""
    agents = sorted(gateway.metrics_by_agent().values(), key=lambda each: each.agent)
    return CostTable((*_rows(agents), *_rows([msgspec.structs.replace(gateway.metrics(), agent="total")])))


def _rows(metrics: Iterable[CallMetrics]) -> Iterable[CostRow]:
    for each in metrics:
        yield CostRow(
            each.agent,
            each.model,
            each.answered,
            each.replayed,
            each.failed,
            each.retries,
            each.input_tokens,
            each.output_tokens,
            each.dollars,
            each.unpriced,
            each.latency.mean,
            each.latency.p95,
        )
