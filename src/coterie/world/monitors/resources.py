"""Resource usage of the process and the machine."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping

import msgspec
import psutil

from coterie.kernel import Clock, check_instance, check_number
from coterie.world.monitors.periodic import PeriodicMonitor


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
            except Exception as error:  # noqa: BLE001 - a platform may not support one, and the others are still useful
                problems[name] = str(error) or type(error).__name__
        self.problems = problems
        found = ResourceUsage(self.clock.monotonic(), values)
        self._looks = (*self._looks, found)[-self._keep :]
        return found

    def latest(self) -> ResourceUsage:
        """Return the last measurement; measure now if there is none."""
        looks = self._looks
        return looks[-1] if looks else self.look()

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
