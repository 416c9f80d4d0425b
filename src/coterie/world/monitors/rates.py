"""Rates of change of a world."""

from __future__ import annotations

import msgspec

from coterie.kernel import Clock, check_instance
from coterie.world.monitors.periodic import PeriodicMonitor
from coterie.world.world import World


class Rates(msgspec.Struct, frozen=True):
    """Changes of a world per second, between two measurements."""

    events: float
    commits: float
    keys: float
    """The change of the number of keys."""


class RateMonitor(PeriodicMonitor):
    """Measures every `every` seconds how fast a world changes. Safe from any thread."""

    def __init__(self, world: World, *, every: float = 1.0, clock: Clock | None = None) -> None:
        check_instance("RateMonitor.world", world, World, "a World")
        super().__init__(every, clock if clock is not None else world.clock, "rate-monitor")
        self._world = world
        self._last = (self.clock.monotonic(), world.statistics())
        self._rates = Rates(0.0, 0.0, 0.0)

    def look(self) -> Rates:
        """Measure now and return the rates since the last measurement; unchanged if no time has passed."""
        now, statistics = self.clock.monotonic(), self._world.statistics()
        then, before = self._last
        seconds = now - then
        if seconds > 0:
            self._last = (now, statistics)
            self._rates = Rates(
                (statistics.events - before.events) / seconds,
                (statistics.commits - before.commits) / seconds,
                (statistics.keys - before.keys) / seconds,
            )
        return self._rates

    def latest(self) -> Rates:
        """Return the rates between the last two measurements."""
        return self._rates
