"""Health checks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from coterie.concurrency import CONTAINED, Rank, new_lock
from coterie.errors import describe
from coterie.kernel import Clock, check_instance
from coterie.world.monitors.periodic import PeriodicMonitor

Check: TypeAlias = Callable[[], bool | str | None]
"""A health check. Returns None or True if the component is healthy; else the problem as text, or False, or it raises."""

_log = logging.getLogger(__name__)


class ComponentHealth(msgspec.Struct, frozen=True):
    """The health of one component at its last check."""

    name: str
    well: bool
    problem: str
    """The problem; empty if healthy."""
    since: float
    """The time of the last change of health, in seconds of the clock."""
    failures: int
    """Consecutive failed checks."""


class HealthMonitor(PeriodicMonitor):
    """Runs the health checks of components every `every` seconds and reports changes.

    ::

        with HealthMonitor({"log": lambda: log.database.statistics().queued < 1_000}) as monitor:
            monitor.status()

    `notify` is called with the health of a component when it changes. Raises `InvalidSetting`. Safe from any thread; `_lock`
    guards the results, and neither checks nor `notify` run under it. The checks run one after another: one that hangs shows in
    `status`, and keeps the others from being checked.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        every: float = 5.0,
        clock: Clock | None = None,
        notify: Callable[[ComponentHealth], object] | None = None,
    ) -> None:
        super().__init__(every, clock, "health-monitor")
        check_instance("HealthMonitor.checks", checks, Mapping, "a mapping of names to functions")
        for name, check in checks.items():
            check_instance(f"HealthMonitor.checks[{name!r}]", check, Callable, "a function")  # type: ignore[arg-type] # an abstract class will do
        self._checks = dict(checks)
        self._notify = notify
        self._lock = new_lock(Rank.RECORDS)
        self._found: dict[str, ComponentHealth] = {}
        self._running: dict[str, float] = {}
        """The running checks, with the times at which they began."""
        self.looks = 0
        """Number of runs of all checks."""

    def look(self) -> dict[str, ComponentHealth]:
        """Run all checks now and return their results, by component."""
        for name, check in self._checks.items():
            with self._lock:
                self._running[name] = self.clock.monotonic()
            problem = _run(check)
            now = self.clock.monotonic()
            with self._lock:
                self._running.pop(name, None)
                before = self._found.get(name)
                changed = before is None or before.well is bool(problem)
                since = now if before is None or changed else before.since
                failures = 0 if not problem else 1 + (before.failures if before is not None else 0)
                health = self._found[name] = ComponentHealth(name, not problem, problem, since, failures)
            if changed and (before is not None or problem):
                self._tell(health)
        self.looks += 1
        return self.status()

    def status(self) -> dict[str, ComponentHealth]:
        """Return the last results, by component. A component whose check has run for longer than `every` is not healthy."""
        now = self.clock.monotonic()
        with self._lock:
            found, running = dict(self._found), dict(self._running)
        for name, began in running.items():
            if now - began > self.every:
                before = found.get(name)
                since = began if before is None or before.well else before.since
                failures = 1 + (before.failures if before is not None else 0)
                problem = f"its check has not returned for {now - began:.1f} s"
                found[name] = ComponentHealth(name, well=False, problem=problem, since=since, failures=failures)
        return found

    def figures(self) -> dict[str, float]:
        """Return 1 for each healthy component and 0 for the others, for `World.metrics`."""
        return {f"health.{name}": float(health.well) for name, health in self.status().items()}

    @property
    def well(self) -> bool:
        """True if all components were healthy at the last check."""
        return all(health.well for health in self.status().values())

    def _tell(self, health: ComponentHealth) -> None:
        if not health.well:
            _log.warning("%s is not well: %s", health.name, health.problem)
        else:
            _log.info("%s is well again", health.name)
        if self._notify is not None:
            try:
                self._notify(health)
            except CONTAINED:  # it is logged, and the other checks run
                _log.exception("the notify function raised for the health of %s", health.name)


def _run(check: Check) -> str:
    try:
        found = check()
    except CONTAINED as error:  # the error is the result of the check
        return describe(error)
    if found is None or found is True:
        return ""
    return found if isinstance(found, str) and found else "the check says no"
