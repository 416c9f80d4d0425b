"""Metrics of worlds and their monitors in the Prometheus format. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Sequence

from coterie.telemetry import MetricsCollector
from coterie.telemetry.exposition import MetricFamilies
from coterie.world.measuring import FiguresSource
from coterie.world.world import World


class WorldCollector(MetricsCollector[World]):
    """A collector for `prometheus_client`: ``REGISTRY.register(WorldCollector(world, health, resources))``.

    It exposes the counts of a world and the last figures of its monitors, under the label `world`. A scrape measures nothing
    anew and holds up no commit. Raises `ExtraMissing` without `prometheus-client`.
    """

    def __init__(self, world: World, *monitors: FiguresSource, name: str = "world") -> None:
        super().__init__(world)
        self._monitors = monitors
        self._name = name

    def fill(self, families: MetricFamilies, sources: Sequence[World]) -> None:
        """Add the counts of the world, and the figures of its monitors."""
        label = ["world"]
        keys = families.gauge("coterie_world_keys", "Keys of the world.", label)
        events = families.counter("coterie_world_events", "Events of the world.", label)
        commits = families.counter("coterie_world_commits", "Commits since the world was opened.", label)
        snapshots = families.counter("coterie_world_snapshots", "Snapshots since the world was opened.", label)
        failures = families.counter("coterie_world_observer_failures", "Calls of observers that raised.", label)
        figures = families.gauge("coterie_environment_figure", "Last figures of the monitors.", [*label, "figure"])
        for world in sources:
            counts = world.statistics()
            keys.add_metric([self._name], counts.keys)
            events.add_metric([self._name], counts.events)
            commits.add_metric([self._name], counts.commits)
            snapshots.add_metric([self._name], counts.snapshots)
            failures.add_metric([self._name], counts.observer_failures)
        for monitor in self._monitors:
            for name, value in monitor.figures().items():
                figures.add_metric([self._name, name], value)
