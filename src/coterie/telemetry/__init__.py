"""Metrics in one place: durations with their quantiles, and the Prometheus format.

A room counts its own events in structs of its own. What they share is here: how durations are recorded and summed up, and
how a snapshot is given to Prometheus.
"""

from coterie.telemetry.durations import DurationSummary
from coterie.telemetry.exposition import MetricsCollector

__all__ = ["DurationSummary", "MetricsCollector"]
