"""Metrics of meetings in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coterie.telemetry import MetricsCollector
from coterie.telemetry.exposition import MetricFamilies


class MeetingsSource(Protocol):
    """A source of metrics: the `Meetings` of a runtime."""

    @property
    def held(self) -> tuple[str, ...]:
        """The meetings of this node that are not over."""
        ...


class MeetingCollector(MetricsCollector[MeetingsSource]):
    """A collector for `prometheus_client`: ``REGISTRY.register(MeetingCollector(meetings))``.

    It exposes the number of open meetings; the minutes of each are in `Meeting.transcript`. Raises `ExtraMissing` without
    `prometheus-client`.
    """

    def fill(self, families: MetricFamilies, sources: Sequence[MeetingsSource]) -> None:
        """Add the number of meetings."""
        meetings = families.gauge("coterie_meetings_open", "Meetings of this node that are not over.", [])
        meetings.add_metric([], sum(len(source.held) for source in sources))
