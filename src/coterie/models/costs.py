"""The costs of a run as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Protocol

import msgspec

from coterie.models.policies import CallMetrics


class CostRow(msgspec.Struct, frozen=True):
    """The costs of one agent, or the total."""

    agent: str
    """Empty for requests that named no agent, and ``total`` in the last line."""
    model: str
    requests: int
    """Replies that came."""
    replayed: int
    """Those of them that came from a recording, at no cost."""
    failed: int
    retries: int
    input_tokens: int
    output_tokens: int
    dollars: float
    unpriced: int
    """Replies whose price is not known, so that they are not in `dollars`."""
    seconds: float
    """The mean time to a reply."""
    p95: float
    """The time in which 95 of 100 replies came."""


class _Measured(Protocol):
    def metrics(self) -> CallMetrics: ...

    def metrics_by_agent(self) -> dict[str, CallMetrics]: ...


class CostTable(tuple[CostRow, ...]):
    """The lines of a cost table, by agent, and the total last. It never changes."""

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
