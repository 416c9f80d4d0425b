"""Times to live in intents, staleness by age, limits of updates, snapshots without a log, one set of metrics."""

from pathlib import Path

import pytest

from coterie.errors import ResourcesExhausted
from coterie.testing import ManualClock
from coterie.world import EventLog, Intent, World, resolvers
from coterie.world.monitors.health import HealthMonitor
from coterie.world.monitors.resources import Limit, RateMonitor, ResourceController, ResourceMonitor


def test_an_intent_with_a_time_to_live_expires_also_after_a_replay(tmp_path: Path) -> None:
    clock = ManualClock()
    log = EventLog(tmp_path / "run.db")
    with World({}, clock=clock, log=log, expire_every=1.0) as world:
        set_ = Intent("ada", "set", {"key": "x", "value": 1, "ttl": 5})
        add = Intent("ada", "add", {"key": "n", "amount": 1, "ttl": 50.0})
        events = world.commit([set_, add])
        assert sorted((key, when - clock.time()) for event in events for key, when in event.expires.items()) == [
            ("n", 50.0),
            ("x", 5.0),
        ]
        assert dict(World.replay(log).view().deadlines_map) == dict(world.view().deadlines_map)
        clock.advance(6.0)
        assert dict(world.view()) == {"n": 1}


@pytest.mark.parametrize("ttl", [0, -1, "5", float("nan"), True])
def test_a_time_to_live_that_is_none_is_refused(ttl: object) -> None:
    with World({}) as world:
        if ttl != ttl:  # noqa: PLR0124 - not a number, which no intent may carry
            return
        (event,) = world.commit([Intent("ada", "set", {"key": "x", "value": 1, "ttl": ttl})])
        assert "ttl=" in event.reason
        assert not world.view()


@pytest.mark.parametrize("resolver", [None, resolvers.Lottery(), resolvers.Rationing("n"), resolvers.RefuseOnConflict()])
def test_actions_that_set_no_expiry_refuse_a_time_to_live(resolver: resolvers.Resolver | None) -> None:
    with World({"n": 5, "m": 5}) as world:
        for action, arguments in (
            ("take", {"key": "n", "amount": 1}),
            ("move", {"source": "m", "target": "x", "amount": 1}),
            ("remove", {"key": "m"}),
        ):
            (event,) = world.commit([Intent("ada", action, {**arguments, "ttl": 5})], resolver=resolver)
            assert f"{action} has no ttl" in event.reason
        assert dict(world.view()) == {"n": 5, "m": 5}


def test_merged_keys_expire_when_the_last_intent_wants() -> None:
    clock = ManualClock()
    with World({}, clock=clock) as world:
        wishes = [
            Intent("ada", "set", {"key": "both", "value": {"a": 1}, "ttl": 5}),
            Intent("ben", "set", {"key": "both", "value": {"b": 2}, "ttl": 9}),
            Intent("cleo", "set", {"key": "stays", "value": 1, "ttl": 5}),
            Intent("dora", "set", {"key": "stays", "value": 1}),
            Intent("ella", "add", {"key": "sum", "amount": 1, "ttl": 5}),
            Intent("finn", "add", {"key": "sum", "amount": 1, "ttl": 5}),
        ]
        world.commit(wishes, resolver=resolvers.Merge())
        assert {key: when - clock.time() for key, when in world.view().deadlines_map.items()} == {"both": 9.0, "sum": 5.0}
        assert dict(world.view()) == {"both": {"a": 1, "b": 2}, "stays": 1, "sum": 2}


def test_keys_that_were_not_set_for_long_are_stale() -> None:
    clock = ManualClock()
    with World({"old": 1, "kept": 1}, clock=clock, history=3) as world:
        clock.advance(10.0)
        world.update({"kept": 2})
        clock.advance(10.0)
        world.update({"new": 3})
        assert world.stale(15.0) == ("old",)
        assert world.stale(5.0) == ("kept", "old")
        assert world.stale(100.0) == ()


def test_limits_hold_for_updates_too() -> None:
    load = 0.5
    monitor = ResourceMonitor(every=60, extra={"load": lambda: load})
    controller = ResourceController(monitor, [Limit("load", refuse=0.9)])
    with World({"n": 0}, admit=controller.admit) as world:
        world.update({"n": 1})
        load = 0.95
        monitor.look()
        with pytest.raises(ResourcesExhausted):
            world.update({"n": 2})
        assert world.view()["n"] == 1


def test_without_a_log_no_snapshot_is_counted() -> None:
    with World({"n": 0}) as world:
        world.update({"n": 1})
        world.snapshot()
        assert world.statistics().snapshots == 0


def test_one_set_of_metrics_for_a_world_and_its_monitors() -> None:
    clock = ManualClock()
    with World({"n": 0}, clock=clock) as world:
        health = HealthMonitor({"log": lambda: True, "disk": lambda: False}, clock=clock)
        rates = RateMonitor(world, clock=clock)
        resources = ResourceMonitor(clock=clock, extra={"load": lambda: 0.5})
        health.look()
        world.update({"n": 1})
        clock.advance(2.0)
        rates.look()
        metrics = world.metrics(health, rates, resources)
        assert (metrics["world.keys"], metrics["world.events"], metrics["world.commits"]) == (1, 2, 2)
        assert (metrics["health.log"], metrics["health.disk"]) == (1.0, 0.0)
        assert (metrics["rates.events"], metrics["load"]) == (0.5, 0.5)
        assert "process.memory" in metrics
