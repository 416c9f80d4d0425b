"""Metrics and traces in one place: durations with their quantiles, the Prometheus format, and the trace context.

A room counts its own events in structs of its own. This room has the shared parts: records and summaries of durations, and the
conversion of a snapshot to the Prometheus format.
"""

from coterie.telemetry.collectors import ProcessThreadsCollector, StorageCollector
from coterie.telemetry.durations import DurationSummary
from coterie.telemetry.exposition import MetricsCollector, prometheus_text
from coterie.telemetry.trace_context import current_traceparent, traceparent
from coterie.telemetry.tracing import Tracing

__all__ = [
    "DurationSummary",
    "MetricsCollector",
    "ProcessThreadsCollector",
    "StorageCollector",
    "Tracing",
    "current_traceparent",
    "prometheus_text",
    "traceparent",
]
