"""Metrics of conversations: counters, snapshots, and a collector for Prometheus (extra `prometheus`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.telemetry import DurationSummary, MetricsCollector
from coterie.telemetry.durations import DurationRecorder
from coterie.telemetry.exposition import MetricFamilies, add_durations


class ToolMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one tool since the host was opened. Times are in seconds."""

    called: int = 0
    """Accepted operations."""
    refused: int = 0
    """Refused calls: invalid arguments, a guard, the lane."""
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    compensated: int = 0
    timed_out: int = 0
    unknown: int = 0
    """Operations of unknown outcome after a crash."""
    retries: int = 0
    backgrounded: int = 0
    """Operations that moved to the background."""
    abandoned: int = 0
    """Abandoned attempts that still run."""
    wait: DurationSummary = DurationSummary()
    """Time from the call to the first attempt."""
    run: DurationSummary = DurationSummary()
    """Run time of attempts."""


class ConversationMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a host's conversations at one moment."""

    conversations: int
    """Open conversations."""
    turns: int
    answered: int
    cut: int
    failed: int
    deliveries: int
    merged: int
    """Deliveries that a model worded."""
    running: int
    queued: int
    tools: Mapping[str, ToolMetrics]


class _Counts:
    """The counters of one tool. The lock of `ConversationCounters` guards them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wait, self.run = DurationRecorder(), DurationRecorder()


class ConversationCounters:
    """Counters of a host's conversations. Safe from any thread; `_lock` guards all."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._tools: dict[str, _Counts] = {}
        self._totals: Counter[str] = Counter()

    def count(self, what: str, by: int = 1) -> None:
        """Add to a counter of conversations: turns, answered, cut, failed, deliveries, merged, open, running, queued."""
        with self._lock:
            self._totals[what] += by

    def count_tool(self, tool: str, what: str, by: int = 1) -> None:
        """Add to a counter of a tool, named as the field of `ToolMetrics`."""
        with self._lock:
            self._of(tool).counts[what] += by

    def began(self, tool: str, waited: float) -> None:
        """Record the seconds that an operation waited for its first attempt."""
        with self._lock:
            self._of(tool).wait.record(waited)

    def ran(self, tool: str, seconds: float) -> None:
        """Record the run time of an attempt, in seconds."""
        with self._lock:
            self._of(tool).run.record(seconds)

    def snapshot(self) -> ConversationMetrics:
        """Return the counts of this moment."""
        with self._lock:
            tools = {
                name: ToolMetrics(**each.counts, wait=each.wait.summary(), run=each.run.summary())
                for name, each in sorted(self._tools.items())
            }
            totals = self._totals
            return ConversationMetrics(
                conversations=totals["open"],
                turns=totals["turns"],
                answered=totals["answered"],
                cut=totals["cut"],
                failed=totals["failed"],
                deliveries=totals["deliveries"],
                merged=totals["merged"],
                running=totals["running"],
                queued=totals["queued"],
                tools=tools,
            )

    def _of(self, tool: str) -> _Counts:
        counts = self._tools.get(tool)
        if counts is None:
            counts = self._tools[tool] = _Counts()
        return counts


_OUTCOMES = ("succeeded", "failed", "cancelled", "compensated", "timed_out", "unknown")
_COUNTS = ("called", "refused", "retries", "backgrounded")
_TURNS = ("answered", "cut", "failed")


class MetricsSource(Protocol):
    """A host of conversations, as the collector needs it."""

    def metrics(self) -> ConversationMetrics:
        """Return the counts of this moment."""
        ...


class ConversationCollector(MetricsCollector[MetricsSource]):
    """A collector for `prometheus_client`: ``REGISTRY.register(ConversationCollector(conversations))``.

    Each scrape takes a snapshot and blocks no conversation. Raises `ExtraMissing` without `prometheus-client`.
    """

    def fill(self, families: MetricFamilies, sources: Sequence[MetricsSource]) -> None:
        """Add the metrics of hosts."""
        turns = families.counter("coterie_turns", "Turns that have ended.", ["outcome"])
        told = families.counter("coterie_deliveries", "Results told between turns.", ["wording"])
        now = families.gauge("coterie_operations", "Operations by state.", ["state"])
        ended = families.counter("coterie_operations_ended", "Operations by outcome.", ["tool", "outcome"])
        calls = families.counter("coterie_tool_calls", "What became of calls.", ["tool", "what"])
        abandoned = families.gauge("coterie_tool_abandoned", "Attempts given up that still run.", ["tool"])
        wait = families.summary("coterie_operation_wait_seconds", "From the call to the beginning.", ["tool"])
        run = families.summary("coterie_operation_run_seconds", "How long attempts ran.", ["tool"])
        for host in sources:
            metrics = host.metrics()
            for outcome in _TURNS:
                turns.add_metric([outcome], getattr(metrics, outcome))
            told.add_metric(["plain"], metrics.deliveries - metrics.merged)
            told.add_metric(["merged"], metrics.merged)
            now.add_metric(["running"], metrics.running)
            now.add_metric(["queued"], metrics.queued)
            for name, counts in metrics.tools.items():
                for outcome in _OUTCOMES:
                    ended.add_metric([name, outcome], getattr(counts, outcome))
                for what in _COUNTS:
                    calls.add_metric([name, what], getattr(counts, what))
                abandoned.add_metric([name], counts.abandoned)
                add_durations(wait, [name], counts.wait)
                add_durations(run, [name], counts.run)


def exposition(*hosts: MetricsSource) -> str:
    """Return the metrics of hosts in Prometheus's text format. Raises `ExtraMissing`."""
    return ConversationCollector(*hosts).text()
