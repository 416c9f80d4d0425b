"""Watching an agent's memories."""

from collections.abc import Sequence
from typing import Any

import pytest

from coterie.errors import InvalidSetting
from coterie.memory import AgentMemory, Alert, Insight, Memory, MemoryMonitor
from coterie.testing import ManualClock
from tests.memory.stores import open_memory


def test_snapshots_are_kept_and_growth_is_measured_between_them() -> None:
    clock = ManualClock()
    with open_memory(clock) as memory:
        mind = AgentMemory(memory, "alice", consolidate_at=None)
        monitor = MemoryMonitor(mind, keep=3)
        assert monitor.growth_rate() == 0.0
        for n in range(5):
            monitor.snapshot()
            clock.advance(10)
            for _ in range(n):
                mind.remember("x")
        assert [each.statistics.remembered for each in monitor.snapshots()] == [1, 3, 6]
        assert monitor.growth_rate() == pytest.approx(5 / 20)


def test_an_alert_is_given_when_its_condition_begins_and_a_callback_that_raises_stays(caplog: Any) -> None:
    clock = ManualClock()
    alerts: list[Alert] = []
    with open_memory(clock) as memory:
        mind = AgentMemory(memory, "alice", max_episodes=10, consolidate_at=None)
        monitor = MemoryMonitor(mind, usage_above=0.5, growth_above=1.0)
        monitor.on_alert(lambda _: 1 / 0)
        monitor.on_alert(alerts.append)
        ids = [mind.remember(n) for n in range(6)]
        for _ in range(3):
            monitor.snapshot()
            clock.advance(10)
        assert [each.what for each in alerts] == ["usage"]
        for each in ids[:3]:
            mind.forget(each)
        monitor.snapshot()
        clock.advance(1)
        for n in range(4):
            mind.remember(n)
        monitor.snapshot()
        assert [each.what for each in alerts] == ["usage", "usage", "growth"]
        assert monitor.alerts() == alerts
        assert monitor.failed_callbacks == 3
        assert "ZeroDivisionError" in caplog.text
        assert "alerts          3" in monitor.report()


def test_consolidations_that_fail_are_told() -> None:
    def broken(_: Sequence[Memory]) -> list[Insight]:
        raise RuntimeError("no model")

    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", consolidate_at=None, summariser=broken)
        mind.remember("x")
        monitor = MemoryMonitor(mind)
        with pytest.raises(RuntimeError):
            mind.consolidate(force=True)
        monitor.snapshot()
        assert [each.what for each in monitor.alerts()] == ["consolidation"]


def test_it_takes_snapshots_by_itself_when_time_passes() -> None:
    clock = ManualClock()
    with open_memory(clock) as memory:
        monitor = MemoryMonitor(AgentMemory(memory, "alice"), interval=10)
        clock.advance(35)
        assert len(monitor.snapshots()) == 3
        monitor.close()
        clock.advance(35)
        assert len(monitor.snapshots()) == 3


def test_growth_needs_two_snapshots() -> None:
    with open_memory() as memory, pytest.raises(InvalidSetting):
        MemoryMonitor(AgentMemory(memory, "alice"), keep=1)
