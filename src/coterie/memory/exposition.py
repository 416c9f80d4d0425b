"""Metrics of memories in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Sequence

from coterie.memory.tiered import TieredMemory
from coterie.telemetry import MetricsCollector
from coterie.telemetry.exposition import MetricFamilies

_COUNTS = {
    "stores": "Memories stored.",
    "deletes": "Memories deleted.",
    "promotions": "Memories moved to a faster tier.",
    "demotions": "Memories moved to a slower tier.",
    "expirations": "Memories that have expired.",
    "maintenance_runs": "Runs of the maintenance.",
    "maintenance_failures": "Runs of the maintenance that did not end well.",
}
_OF_TIERS = {
    "hits": "Reads that found a memory in the tier.",
    "misses": "Reads that found none in the tier.",
    "writes": "Writes to the tier.",
    "lost": "Changes that the tier rejected and that were given up.",
    "failures": "Times that the tier was unavailable.",
}


class MemoryCollector(MetricsCollector[TieredMemory]):
    """A collector for `prometheus_client`: ``REGISTRY.register(MemoryCollector(memory))``.

    It exposes what `TieredMemory.metrics` returns, under the label `memory`. Raises `ExtraMissing` without
    `prometheus-client`.
    """

    def __init__(self, memory: TieredMemory, *, name: str = "memory") -> None:
        super().__init__(memory)
        self._name = name

    def fill(self, families: MetricFamilies, sources: Sequence[TieredMemory]) -> None:
        """Add the metrics of the memory, of its cache, and of its tiers."""
        label, tiers = ["memory"], ["memory", "tier"]
        for memory in sources:
            metrics = memory.metrics()
            for name, meaning in _COUNTS.items():
                families.counter(f"coterie_memory_{name}", meaning, label).add_metric([self._name], getattr(metrics, name))
            cache = metrics.cache
            for name, meaning in (("hits", "found"), ("misses", "missed"), ("evictions", "evicted")):
                counter = families.counter(f"coterie_memory_cache_{name}", f"Memories {meaning} in the cache.", label)
                counter.add_metric([self._name], getattr(cache, name))
            gauge = families.gauge("coterie_memory_cache_entries", "Memories in the cache.", label)
            gauge.add_metric([self._name], cache.entries)
            gauge = families.gauge("coterie_memory_waiting_reads", "Requests that no worker has started.", label)
            gauge.add_metric([self._name], metrics.waiting_reads)
            gauge = families.gauge("coterie_memory_compression_ratio", "Bytes in divided by bytes out.", label)
            gauge.add_metric([self._name], metrics.compression.ratio)
            for name, meaning in _OF_TIERS.items():
                counter = families.counter(f"coterie_memory_tier_{name}", meaning, tiers)
                for tier in metrics.tiers.values():
                    counter.add_metric([self._name, tier.name], getattr(tier, name))
            records = families.gauge("coterie_memory_tier_records", "Memories in the tier.", tiers)
            waiting = families.gauge("coterie_memory_tier_waiting", "Changes that are not written yet.", tiers)
            up = families.gauge("coterie_memory_tier_up", "1 if the tier is available.", tiers)
            for tier in metrics.tiers.values():
                waiting.add_metric([self._name, tier.name], tier.waiting)
                up.add_metric([self._name, tier.name], float(not tier.away))
                if tier.records is not None:
                    records.add_metric([self._name, tier.name], tier.records)
