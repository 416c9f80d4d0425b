"""Monitors look at their own cadence, on the clock they are given."""

import threading

import pytest

from coterie.concurrency import start_thread
from coterie.errors import InvalidSetting, ResourcesExhausted
from coterie.testing import ManualClock, eventually
from coterie.world import HealthMonitor, Intent, Limit, RateMonitor, ResourceController, ResourceMonitor, World
from coterie.world.monitors.health import ComponentHealth


def test_health_is_looked_at_again_and_again_and_changes_are_told() -> None:
    clock = ManualClock()
    state: dict[str, object] = {"disk": None}
    told: list[ComponentHealth] = []

    def network() -> bool:
        raise OSError("unplugged")

    checks = {"disk": lambda: state["disk"], "network": network, "clock": lambda: True, "door": lambda: False}
    with HealthMonitor(checks, every=5, clock=clock, notify=told.append) as monitor:  # type: ignore[arg-type]
        assert {name: health.problem for name, health in monitor.status().items()} == {
            "disk": "",
            "network": "OSError: unplugged",
            "clock": "",
            "door": "the check says no",
        }
        assert not monitor.well
        state["disk"] = "full"
        clock.advance(4.9)
        assert monitor.status()["disk"].well
        clock.advance(0.1)
        assert (monitor.status()["disk"].problem, monitor.status()["disk"].since) == ("full", 5)
        clock.advance(10)
        assert monitor.status()["disk"].failures == 3
        state["disk"] = None
        clock.advance(5)
    assert [(health.name, health.well) for health in told] == [
        ("network", False),
        ("door", False),
        ("disk", False),
        ("disk", True),
    ]
    looks = monitor.looks
    clock.advance(100)
    assert monitor.looks == looks


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_check_or_a_notice_that_raises_stops_no_other_check(error: type[BaseException]) -> None:
    def fail(*_: object) -> None:
        raise error

    monitor = HealthMonitor({"a": lambda: False, "b": lambda: True, "c": fail}, notify=fail)
    assert {name: health.well for name, health in monitor.look().items()} == {"a": False, "b": True, "c": False}


def test_a_check_that_hangs_shows() -> None:
    bell, entered = threading.Event(), threading.Event()
    clock = ManualClock()

    def hang() -> None:
        entered.set()
        bell.wait(20)

    monitor = HealthMonitor({"a": lambda: True, "b": hang}, every=5.0, clock=clock)
    thread = start_thread(monitor.look, "look")
    assert entered.wait(10)
    assert {name: health.well for name, health in monitor.status().items()} == {"a": True}
    clock.advance(6.0)
    assert "not returned for 6.0 s" in monitor.status()["b"].problem
    assert not monitor.well
    assert monitor.figures() == {"health.a": 1.0, "health.b": 0.0}
    bell.set()
    thread.join()
    assert monitor.well


def test_resources_of_process_and_machine_are_seen() -> None:
    clock = ManualClock()

    def broken() -> float:
        raise OSError("no sensor")

    with ResourceMonitor(every=1, clock=clock, extra={"fish": lambda: 7, "heat": broken}, keep=3) as monitor:
        clock.advance(10)
        found = monitor.latest()
        assert found.values["process.memory"] > 1e6
        assert found.values["process.threads"] >= 1
        assert 0 < found.values["machine.memory"] < 1
        assert found.values["fish"] == 7
        assert monitor.problems == {"heat": "no sensor"}
        assert [each.moment for each in monitor.history()] == [8, 9, 10]


def test_a_controller_slows_and_refuses_by_its_limits() -> None:
    clock = ManualClock()
    load = {"value": 0.0}
    monitor = ResourceMonitor(clock=clock, extra={"load": lambda: load["value"], "heat": lambda: 1 / 0})
    controller = ResourceController(monitor, [Limit("load", slow=1, refuse=2, delay=3), Limit("heat", refuse=0)])
    world = World({"n": 0}, admit=controller.admit, clock=clock)
    intents = [Intent("ada", "add", {"key": "n", "amount": 1})]
    monitor.look()
    world.commit(intents)
    load["value"] = 1.5
    monitor.look()
    thread = start_thread(lambda: world.commit(intents), "commit")
    eventually(lambda: controller.slowed == 1)
    assert world.view()["n"] == 1
    eventually(lambda: (clock.advance(1), not thread.is_alive())[1])
    assert world.view()["n"] == 2
    load["value"] = 2.5
    monitor.look()
    with pytest.raises(ResourcesExhausted, match=r"load is 2.5, and its limit is 2"):
        world.commit(intents)
    assert (world.view()["n"], controller.refused) == (2, 1)
    controller.close()
    assert not [each for each in threading.enumerate() if "resource" in each.name]


def test_rates_are_by_the_second() -> None:
    clock = ManualClock()
    world = World(clock=clock)
    with RateMonitor(world, every=2) as monitor:
        for number in range(10):
            world.update({f"k{number % 4}": number})
        clock.advance(2)
        rates = monitor.latest()
    assert (rates.events, rates.commits, rates.keys) == (5, 5, 2)


def test_options_are_checked() -> None:
    with pytest.raises(InvalidSetting):
        HealthMonitor({}, every=0)
    with pytest.raises(InvalidSetting):
        Limit("load")
    with pytest.raises(InvalidSetting):
        Limit("load", slow=1, delay=0)
