"""The metrics of conversations as Prometheus reads them. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from coterie.conversation.hosting import ConversationHost
from coterie.errors import ExtraMissing

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_OUTCOMES = ("succeeded", "failed", "cancelled", "compensated", "timed_out", "unknown")
_COUNTS = ("called", "refused", "retries", "backgrounded")
_TURNS = ("answered", "cut", "failed")


class ConversationCollector:
    """A collector for `prometheus_client`: ``REGISTRY.register(ConversationCollector(conversations))``.

    Each scrape takes a snapshot and holds up nobody. Raises `ExtraMissing` without `prometheus-client`.
    """

    def __init__(self, *hosts: ConversationHost) -> None:
        try:
            import prometheus_client  # noqa: F401, PLC0415 - only with the extra
        except ImportError as error:
            raise ExtraMissing("Prometheus exposition", "prometheus") from error
        self._hosts = hosts

    def describe(self) -> list[Metric]:
        """Return nothing: the names of tools are known only once there are counts. Registries ask for it."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics of this moment."""
        from prometheus_client.core import (  # noqa: PLC0415 - as above
            CounterMetricFamily,
            GaugeMetricFamily,
            SummaryMetricFamily,
        )

        turns = CounterMetricFamily("coterie_turns", "Turns that have ended.", labels=["outcome"])
        told = CounterMetricFamily("coterie_deliveries", "Results told between turns.", labels=["wording"])
        now = GaugeMetricFamily("coterie_operations", "Operations by state.", labels=["state"])
        ended = CounterMetricFamily("coterie_operations_ended", "Operations by outcome.", labels=["tool", "outcome"])
        calls = CounterMetricFamily("coterie_tool_calls", "What became of calls.", labels=["tool", "what"])
        abandoned = GaugeMetricFamily("coterie_tool_abandoned", "Attempts given up that still run.", labels=["tool"])
        wait = SummaryMetricFamily("coterie_operation_wait_seconds", "From the call to the beginning.", labels=["tool"])
        run = SummaryMetricFamily("coterie_operation_run_seconds", "How long attempts ran.", labels=["tool"])
        for host in self._hosts:
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
                for summary, spread in ((wait, counts.wait), (run, counts.run)):
                    summary.add_metric([name], spread.samples, spread.mean * spread.samples)
        yield from (turns, told, now, ended, calls, abandoned, wait, run)


def exposition(*hosts: ConversationHost) -> str:
    """Return the metrics of hosts in Prometheus's text format. Raises `ExtraMissing`."""
    collector = ConversationCollector(*hosts)
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - only with the extra

    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()
