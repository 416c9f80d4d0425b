"""Monitoring of the growth of an agent's memories."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from coterie.concurrency import CONTAINED, PeriodicJob, Rank, Timers, new_lock
from coterie.errors import describe
from coterie.kernel import check_instance, check_number
from coterie.memory.mind.agent_memory import AgentMemory
from coterie.memory.mind.eviction import check_callable
from coterie.memory.mind.items import AgentMemoryStatistics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MemorySample:
    """The statistics of an agent's memories at one time."""

    time: float
    """On the memory's clock."""
    statistics: AgentMemoryStatistics


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition of an agent's memories that needs attention."""

    time: float
    agent: str
    what: str
    """"usage", "growth", or "consolidation"."""
    message: str
    value: float
    limit: float


class MemoryMonitor:
    """Takes snapshots of an agent's memories, measures their growth, and calls back on alerts.

    An alert is raised when its condition becomes true, and again only after it was false. An exception of a callback is logged
    and counted; the callback stays registered. Safe from many threads; `_lock` guards the snapshots and the lists.
    """

    def __init__(
        self,
        mind: AgentMemory,
        *,
        keep: int = 1_000,
        usage_above: float = 0.9,
        growth_above: float | None = None,
        interval: float | None = None,
    ) -> None:
        """Monitor `mind`, and keep the last `keep` snapshots.

        Alerts: usage of the episodes above `usage_above`; more than `growth_above` new memories a second between two snapshots;
        failed consolidations. With an `interval`, in seconds of the memory's clock, snapshots are taken automatically until
        `close`.
        """
        check_instance("MemoryMonitor.mind", mind, AgentMemory, "an AgentMemory")
        # Growth needs two snapshots.
        check_number("MemoryMonitor.keep", keep, least=2, whole=True)
        check_number("MemoryMonitor.usage_above", usage_above)
        check_number("MemoryMonitor.growth_above", growth_above, optional=True)
        check_number("MemoryMonitor.interval", interval, above=0, optional=True)
        self.mind = mind
        self.failed_callbacks = 0
        self._usage_above = usage_above
        self._growth_above = growth_above
        self._lock = new_lock(Rank.RECORDS)
        self._snapshots: deque[MemorySample] = deque(maxlen=keep)
        self._callbacks: list[Callable[[Alert], object]] = []
        self._alerts: deque[Alert] = deque(maxlen=keep)
        self._alarmed: set[str] = set()
        self._timers: Timers | None = None
        if interval is not None:
            self._timers = Timers(mind.clock, f"monitor-{mind.agent}")
            PeriodicJob(self._timers, interval, self.snapshot, f"monitor of {mind.agent}")

    def on_alert(self, callback: Callable[[Alert], object]) -> None:
        """Call `callback` with every alert from now on, on the thread that takes the snapshot. Raises `InvalidSetting`."""
        check_callable("MemoryMonitor.on_alert.callback", callback)
        with self._lock:
            self._callbacks.append(callback)

    def snapshot(self) -> MemorySample:
        """Take a snapshot, raise the alerts that are due, and return the snapshot."""
        statistics = self.mind.stats()
        taken = MemorySample(self.mind.clock.time(), statistics)
        with self._lock:
            before = self._snapshots[-1] if self._snapshots else None
            self._snapshots.append(taken)
            alerts = [alert for alert in self._conditions(before, taken) if alert.what not in self._alarmed]
            self._alarmed = {alert.what for alert in self._conditions(before, taken)}
            self._alerts.extend(alerts)
            callbacks = list(self._callbacks)
        for alert in alerts:
            _log.warning("%s", alert.message)
            for callback in callbacks:
                self._call(callback, alert)
        return taken

    def snapshots(self) -> list[MemorySample]:
        """Return the kept snapshots, oldest first."""
        with self._lock:
            return list(self._snapshots)

    def alerts(self) -> list[Alert]:
        """Return the last alerts, oldest first."""
        with self._lock:
            return list(self._alerts)

    def growth_rate(self) -> float:
        """Return the new memories a second over all kept snapshots; 0 with fewer than two."""
        with self._lock:
            return _rate(self._snapshots[0], self._snapshots[-1]) if self._snapshots else 0.0

    def report(self) -> str:
        """Return a readable report."""
        statistics = self.mind.stats()
        alerts = self.alerts()
        lines = [
            f"Memories of {statistics.agent}",
            f"  episodes        {statistics.episodes} of {statistics.max_episodes} ({statistics.usage:.0%})",
            f"  semantic        {statistics.semantic}",
            f"  growth          {self.growth_rate():.3g} a second over {len(self.snapshots())} snapshots",
            f"  consolidations  {statistics.consolidations} of {statistics.consolidated} episodes",
            f"  … failed        {statistics.failed_consolidations}",
            f"  … to come       {statistics.unconsolidated} episodes",
            f"  made room       {statistics.cleaned}",
            f"  forgotten       {statistics.forgotten}",
            f"  questions       {statistics.recalled}",
            f"  alerts          {len(alerts)}",
        ]
        return "\n".join([*lines, *(f"    {alert.message}" for alert in alerts[-5:])])

    def close(self) -> None:
        """Stop the automatic snapshots."""
        if self._timers is not None:
            self._timers.close()

    def _conditions(self, before: MemorySample | None, now: MemorySample) -> list[Alert]:
        found = []
        agent, statistics = self.mind.agent, now.statistics
        if statistics.usage > self._usage_above:
            text = f"{agent} has {statistics.episodes} episodes of {statistics.max_episodes}: more than {self._usage_above:.0%}"
            found.append(Alert(now.time, agent, "usage", text, statistics.usage, self._usage_above))
        growth = _rate(before, now) if before is not None else 0.0
        if self._growth_above is not None and growth > self._growth_above:
            text = f"{agent} gets {growth:.3g} memories a second: more than {self._growth_above:g}"
            found.append(Alert(now.time, agent, "growth", text, growth, self._growth_above))
        failed = statistics.failed_consolidations - (before.statistics.failed_consolidations if before is not None else 0)
        if failed:
            text = f"{failed} consolidations of {agent}'s memories have failed"
            found.append(Alert(now.time, agent, "consolidation", text, float(failed), 0.0))
        return found

    def _call(self, callback: Callable[[Alert], object], alert: Alert) -> None:
        try:
            callback(alert)
        except CONTAINED as error:  # user code; logged and counted
            with self._lock:
                self.failed_callbacks += 1
            _log.error("a callback for alerts raised %s", describe(error), exc_info=error)


def _rate(first: MemorySample, last: MemorySample) -> float:
    seconds = last.time - first.time
    came = (last.statistics.remembered + last.statistics.learnt) - (first.statistics.remembered + first.statistics.learnt)
    return came / seconds if seconds > 0 else 0.0
