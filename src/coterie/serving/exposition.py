"""The metrics of conversations as Prometheus reads them. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from coterie.conversation import Conversations

_OUTCOMES = ("succeeded", "failed", "cancelled", "compensated", "timed_out", "unknown")
_QUANTILES = {"0.5": "median", "0.95": "p95", "0.99": "p99"}


class ConversationCollector(Collector):
    """A collector of one host of conversations. Each scrape takes a snapshot, and holds up nobody."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    def describe(self) -> list[Metric]:
        """Return nothing: the names are known only once there are counts. Registries ask for it."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics of this moment."""
        metrics = self._conversations.metrics()
        for name, text, value in (
            ("coterie_conversations", "Conversations that are open.", metrics.conversations),
            ("coterie_operations_running", "Operations that run.", metrics.running),
            ("coterie_operations_queued", "Operations that wait.", metrics.queued),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        turns = CounterMetricFamily("coterie_turns", "Turns that have ended.", labels=["outcome"])
        for outcome in ("answered", "cut", "failed"):
            turns.add_metric([outcome], getattr(metrics, outcome))
        deliveries = CounterMetricFamily("coterie_deliveries", "Results told between turns.", labels=["merged"])
        deliveries.add_metric(["no"], metrics.deliveries - metrics.merged)
        deliveries.add_metric(["yes"], metrics.merged)
        yield from (turns, deliveries)
        yield from self._tools()

    def _tools(self) -> Iterator[Metric]:
        called = CounterMetricFamily("coterie_operations_called", "Operations that were taken.", labels=["tool"])
        refused = CounterMetricFamily("coterie_calls_refused", "Calls that were not taken.", labels=["tool"])
        retries = CounterMetricFamily("coterie_operation_retries", "Attempts after the first.", labels=["tool"])
        background = CounterMetricFamily("coterie_operations_backgrounded", "Not waited for by a turn.", labels=["tool"])
        ended = CounterMetricFamily("coterie_operations_ended", "Operations by their end.", labels=["tool", "outcome"])
        wait = SummaryMetricFamily("coterie_operation_wait_seconds", "From the call to the beginning.", labels=["tool"])
        run = SummaryMetricFamily("coterie_operation_run_seconds", "How long attempts ran.", labels=["tool"])
        waits = GaugeMetricFamily("coterie_operation_wait_quantile_seconds", "Latest waits.", labels=["tool", "quantile"])
        runs = GaugeMetricFamily("coterie_operation_run_quantile_seconds", "Latest run times.", labels=["tool", "quantile"])
        for name, counts in self._conversations.metrics().tools.items():
            for family, value in (
                (called, counts.called), (refused, counts.refused), (retries, counts.retries), (background, counts.backgrounded),
            ):  # fmt: skip
                family.add_metric([name], value)
            for outcome in _OUTCOMES:
                ended.add_metric([name, outcome], getattr(counts, outcome))
            for summary, quantiles, spread in ((wait, waits, counts.wait), (run, runs, counts.run)):
                summary.add_metric([name], spread.samples, spread.mean * spread.samples)
                for quantile, field in _QUANTILES.items():
                    quantiles.add_metric([name, quantile], getattr(spread, field))
        yield from (called, refused, retries, background, ended, wait, run, waits, runs)
