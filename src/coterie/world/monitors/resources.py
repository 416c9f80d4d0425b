"""Monitors of resource usage and rates of change, and the controller that enforces limits."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping

import msgspec
import psutil

from coterie.concurrency import CONTAINED, Rank, Signal, Timers, new_lock
from coterie.errors import InvalidSetting, ResourcesExhausted
from coterie.kernel import Clock, check_instance, check_number
from coterie.world.monitors.periodic import PeriodicMonitor
from coterie.world.world import World


class ResourceUsage(msgspec.Struct, frozen=True):
    """The resource usage at one moment. Sizes are in bytes, fractions from 0 to 1."""

    moment: float
    """Seconds on the clock."""
    values: Mapping[str, float]
    """By name: ``process.memory``, ``process.cpu`` (in processors), ``process.threads``, ``process.descriptors``,
    ``machine.memory``, ``machine.cpu``, ``machine.disk`` (fractions), and extra resources."""


class ResourceMonitor(PeriodicMonitor):
    """Measures every `every` seconds the usage of the process and the machine, and keeps the last `keep` measurements.

    `extra` adds resources: functions that return a number. If one raises, the measurement lacks it and `problems` names
    it. `folder` selects the disk. Safe from any thread: one assignment stores each measurement.
    """

    def __init__(
        self,
        *,
        every: float = 1.0,
        clock: Clock | None = None,
        extra: Mapping[str, Callable[[], float]] | None = None,
        folder: str | os.PathLike[str] = ".",
        keep: int = 600,
    ) -> None:
        super().__init__(every, clock, "resource-monitor")
        check_instance("ResourceMonitor.extra", extra, (Mapping, type(None)), "a mapping of names to functions")
        check_number("ResourceMonitor.keep", keep, least=1, whole=True)
        self._process = psutil.Process()
        self._extra = dict(extra or {})
        self._folder = os.fspath(folder)
        self._keep = keep
        self._looks: tuple[ResourceUsage, ...] = ()
        self.problems: dict[str, str] = {}
        """Resources that the last measurement could not read, and the reasons."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all resources, including those that this platform may not support."""
        return (*self._builtin(), *self._extra)

    def look(self) -> ResourceUsage:
        """Measure now and return the usage."""
        values: dict[str, float] = {}
        problems: dict[str, str] = {}
        for name, read in {**self._builtin(), **self._extra}.items():
            try:
                value = float(read())
                if math.isnan(value):
                    problems[name] = "it is not a number"
                else:
                    values[name] = value
            except CONTAINED as error:  # a platform may not support one, and the others are still useful
                problems[name] = str(error) or type(error).__name__
        self.problems = problems
        found = ResourceUsage(self.clock.monotonic(), values)
        self._looks = (*self._looks, found)[-self._keep :]
        return found

    def latest(self) -> ResourceUsage:
        """Return the last measurement; measure now before the first one."""
        looks = self._looks
        return looks[-1] if looks else self.look()

    def figures(self) -> Mapping[str, float]:
        """Return the last values, for `World.metrics`."""
        return self.latest().values

    def history(self) -> tuple[ResourceUsage, ...]:
        """Return the last measurements, oldest first."""
        return self._looks

    def _builtin(self) -> dict[str, Callable[[], float]]:
        process = self._process
        return {
            "process.memory": lambda: process.memory_info().rss,
            "process.cpu": lambda: process.cpu_percent() / 100,
            "process.threads": process.num_threads,
            "process.descriptors": process.num_fds,
            "machine.memory": lambda: psutil.virtual_memory().percent / 100,
            "machine.cpu": lambda: psutil.cpu_percent() / 100,
            "machine.disk": lambda: psutil.disk_usage(self._folder).percent / 100,
        }


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


class Rates(msgspec.Struct, frozen=True):
    """Changes of a world per second, between two measurements."""

    events: float
    commits: float
    keys: float
    """The change of the number of keys."""


class RateMonitor(PeriodicMonitor):
    """Measures every `every` seconds how fast a world changes. Raises `InvalidSetting`. Safe from any thread."""

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

    def figures(self) -> dict[str, float]:
        """Return the rates, for `World.metrics`."""
        rates = self._rates
        return {"rates.events": rates.events, "rates.commits": rates.commits, "rates.keys": rates.keys}
