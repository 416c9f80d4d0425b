"""Back-pressure: slow down or refuse callers at limits of resources."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from coterie.concurrency import Rank, Signal, Timers, new_lock
from coterie.errors import InvalidSetting, ResourcesExhausted
from coterie.kernel import Clock, check_instance, check_number
from coterie.world.monitors.resources import ResourceMonitor


class Limit(msgspec.Struct, frozen=True):
    """A limit of one resource of a `ResourceMonitor`: above `slow` callers wait, above `refuse` they are refused."""

    resource: str
    """The name, such as ``process.memory``."""
    slow: float | None = None
    """Above this value, callers wait `delay` seconds."""
    refuse: float | None = None
    """Above this value, callers are refused."""
    delay: float = 0.1
    """Seconds to wait at `slow`; grows in proportion to the value."""

    def __post_init__(self) -> None:
        check_instance("Limit.resource", self.resource, str, "the name of a resource, such as process.memory")
        check_number("Limit.slow", self.slow, least=float("-inf"), optional=True)
        check_number("Limit.refuse", self.refuse, least=float("-inf"), optional=True)
        check_number("Limit.delay", self.delay, above=0)
        if self.slow is None and self.refuse is None:
            raise InvalidSetting("Limit", self.resource, "at least one of slow and refuse")
        if self.slow is not None and self.refuse is not None and self.slow >= self.refuse:
            raise InvalidSetting("Limit.slow", self.slow, f"less than refuse={self.refuse:g}, or no caller ever waits")


class ResourceController:
    """Slows down or refuses callers by declared limits, from the last values of a monitor.

    ::

        controller = ResourceController(monitor, [Limit("process.memory", slow=2e9, refuse=4e9)])
        world = World(admit=controller.admit)

    It decides whether and when a call proceeds, never its result. A resource that the monitor could not read limits
    nothing. Safe from any thread; `_lock` guards the counts.
    """

    def __init__(self, monitor: ResourceMonitor, limits: Iterable[Limit], *, clock: Clock | None = None) -> None:
        check_instance("ResourceController.monitor", monitor, ResourceMonitor, "a ResourceMonitor")
        check_instance("ResourceController.limits", limits, Iterable, "several limits: [Limit(...)]")
        self.monitor = monitor
        self.limits = tuple(limits)
        for limit in self.limits:
            check_instance("ResourceController.limits", limit, Limit, "limits: [Limit(...)]")
            if limit.resource not in monitor.names:
                raise InvalidSetting("Limit.resource", limit.resource, f"one of {', '.join(monitor.names)}")
        self.clock = clock if clock is not None else monitor.clock
        self._lock = new_lock(Rank.RECORDS)
        self._timers: Timers | None = None
        self.slowed = 0
        """Number of delayed calls."""
        self.refused = 0
        """Number of refused calls."""

    def delay(self) -> float:
        """Return the seconds to wait now, 0 for none. Raises `ResourcesExhausted` above a `refuse` limit."""
        values = self.monitor.latest().values
        delay = 0.0
        for limit in self.limits:
            value = values.get(limit.resource)
            if value is None:
                continue
            if limit.refuse is not None and value > limit.refuse:
                with self._lock:
                    self.refused += 1
                raise ResourcesExhausted(limit.resource, value, limit.refuse)
            if limit.slow is not None and value > limit.slow:
                delay = max(delay, limit.delay * (value / limit.slow if limit.slow > 0 else 1.0))
        return delay

    def admit(self, amount: int = 1) -> float:  # noqa: ARG002 - the signature of World.admit
        """Wait as long as the limits require, on the clock, and return the seconds. Raises `ResourcesExhausted`."""
        delay = self.delay()
        if delay > 0:
            with self._lock:
                self.slowed += 1
                if self._timers is None:
                    self._timers = Timers(self.clock, "resource-controller")
                timers = self._timers
            over = Signal()
            timers.call_later(delay, over.set)
            over.wait()
        return delay

    def close(self) -> None:
        """End the thread, if any."""
        with self._lock:
            timers, self._timers = self._timers, None
        if timers is not None:
            timers.close()
