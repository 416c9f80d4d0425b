"""Metrics in one place: durations with their quantiles, and the Prometheus format.

A room counts its own events in structs of its own. This room has the shared parts: records and summaries of durations, and the
conversion of a snapshot to the Prometheus format.
"""

from coterie.telemetry.durations import DurationSummary
from coterie.telemetry.exposition import MetricsCollector, prometheus_text

__all__ = ["DurationSummary", "MetricsCollector", "prometheus_text"]
