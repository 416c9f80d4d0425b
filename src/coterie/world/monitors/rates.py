"""How fast a world changes."""

from __future__ import annotations

import msgspec

from coterie.kernel import Clock, check_instance
from coterie.world.monitors.periodic import PeriodicMonitor
from coterie.world.world import World


class Rates(msgspec.Struct, frozen=True):
    """How fast a world changed between two looks, a second."""

    events: float
    commits: float
    keys: float
    """By how many keys it grew, or shrank."""


class RateMonitor(PeriodicMonitor):
    """Looks every `every` seconds at how much a world has changed since the last look. Safe from any thread."""

    def __init__(self, world: World, *, every: float = 1.0, clock: Clock | None = None) -> None:
        check_instance("RateMonitor.world", world, World, "a World")
        super().__init__(every, clock if clock is not None else world.clock, "rate-monitor")
        self._world = world
        self._last = (self.clock.monotonic(), world.statistics())
        self._rates = Rates(0.0, 0.0, 0.0)

    def look(self) -> Rates:
        """Look now, and return the rates since the last look; the same as before if no time has passed."""
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
        """Return the rates between the last two looks."""
        return self._rates
