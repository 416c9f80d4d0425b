"""Figures of a world and its monitors as one set, and keys that have not changed for long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from coterie.world.history import Statistics
from coterie.world.state.event import Event
from coterie.world.state.view import View


class FiguresSource(Protocol):
    """A monitor, as the metrics of a world see it."""

    def figures(self) -> Mapping[str, float]:
        """Return the last measurements by name."""
        ...


def merged_figures(statistics: Statistics, sources: Iterable[FiguresSource]) -> dict[str, float]:
    """Return the counts of a world and the figures of monitors by name."""
    figures: dict[str, float] = {
        "world.keys": statistics.keys,
        "world.events": statistics.events,
        "world.commits": statistics.commits,
        "world.snapshots": statistics.snapshots,
        "world.observer_failures": statistics.observer_failures,
    }
    for source in sources:
        figures.update(source.figures())
    return figures


def stale_keys(view: View, recent: Iterable[Event], since: float) -> tuple[str, ...]:
    """Return the keys of a view that no recent event has changed at or after a time, in order."""
    fresh = {key for event in recent if event.time >= since for key in event.changes}
    return tuple(key for key in view if key not in fresh)
