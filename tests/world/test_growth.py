"""The costs of operations of a world do not grow with what they do not touch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coterie.world import EventLog, Intent, World, resolvers
from coterie.world import log as log_module
from coterie.world.resolvers import Effects
from coterie.world.state.values import encoder
from tests.growth import lines_of


def test_each_batch_of_a_long_log_is_found_by_the_index(tmp_path: Path) -> None:
    with EventLog(tmp_path / "run.db") as log:
        plan = log.database.rows(f"EXPLAIN QUERY PLAN {log_module._READ}", ("world", "world", 5, 5, 9))
    assert any("first>" in row[-1] for row in plan)


def test_a_log_is_read_from_any_event_also_from_the_middle_of_a_commit(tmp_path: Path) -> None:
    with World({"n": 0}, log=EventLog(tmp_path / "run.db", durable=False)) as world:
        for number in range(1_200):
            world.update({"n": number})
        assert world.log is not None
        for first, last in ((1, None), (1_000, None), (1_001, 1_001), (1_201, None), (1_202, None), (3, 5)):
            expected = list(range(first, min(last or 1_201, 1_201) + 1))
            assert [event.sequence for event in world.log.events(first, last)] == expected


def test_expiry_looks_only_at_the_keys_that_are_due() -> None:
    def expiring(keys: int) -> World:
        world = World()
        world.update({f"k{number}": number for number in range(keys)}, ttl=1e9)
        return world

    few, many = expiring(10), expiring(1_000)
    assert lines_of(many.expire) <= lines_of(few.expire)


def test_a_key_expires_at_its_newest_time_only() -> None:
    world = World()
    world.update({"a": 1, "b": 1, "c": 1}, ttl=10, time=0)
    world.update({"a": 2}, ttl=30, time=1)
    world.update({"b": 2}, time=1)
    assert world.expire(10) == ("c",)
    assert world.expire(30) == ()
    assert world.expire(31) == ("a",)
    world.truncate(3)
    assert world.expire(40) == ("a", "c")


def test_the_keys_are_sorted_again_only_after_keys_came_or_went() -> None:
    world = World({f"basket/{number}": 0 for number in range(1_000)} | {"lake": 1})
    assert list(world.view()) == sorted(world.view())

    def look() -> None:
        assert world.view().under("lake") == {"": world.view()["lake"]}

    world.update({"lake": 2})
    assert lines_of(look) < 50
    world.update({"basket/x": 1}, remove=["lake"])
    assert "lake" not in list(world.view())
    assert world.view().under("basket/x") == {"": 1}
    world.update({"lake": 3})
    assert list(world.view()) == sorted(world.view())
    assert world.view().under("z") == {}


def test_a_large_value_that_is_set_is_stored_once_and_read_twice(tmp_path: Path) -> None:
    large, text = {"rows": [[number, "x" * 20] for number in range(500)]}, "word " * 2_000
    with World(log=EventLog(tmp_path / "run.db")) as world:
        for key, value in (("map", large), ("text", text), ("small", 1)):
            world.commit([Intent("a", "set", {"key": key, "value": value})])
        events, digest = world.history(), world.digest()
        assert world.log is not None
        rows = world.log.database.rows("SELECT length(body) FROM world_commits ORDER BY first")
    assert rows[0][0] < 1.2 * len(encoder.encode(large))
    assert rows[1][0] < 1.2 * len(text)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        # The log gives lists for tuples.
        assert encoder.encode(world.history()) == encoder.encode(events)
        assert events[0].details["value"] == world.view()["map"]
        assert world.digest() == digest


def test_an_own_action_that_sets_something_else_is_stored_as_it_is(tmp_path: Path) -> None:
    def doubled(view: Mapping[str, Any], intent: Intent) -> Effects:
        return Effects(sets={"k": [*intent.arguments["value"], 2.0]})

    intents = [Intent("a", "set", {"key": "k", "value": [1] * 30}), Intent("b", "set", {"key": "other"})]
    resolver = resolvers.FirstCome({"set": doubled})
    with World(log=EventLog(tmp_path / "run.db")) as world:
        events = world.commit(intents[:1], resolver=resolver)
        assert world.log is not None
        assert encoder.encode(list(world.log.events())) == encoder.encode(events)
        assert events[0].details["value"] == (1,) * 30
        assert events[0].changes["k"] == (*(1,) * 30, 2.0)
