"""What a world promises."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import (
    HistoryGone,
    InvalidIntent,
    InvalidSetting,
    InvalidValue,
    ResolverFailed,
    StorageFull,
    UpdateRefused,
    WorldClosed,
)
from coterie.errors.world import CommitInsideCommit, LogTaken, RuleFailed
from coterie.testing import ManualClock, checked_locks, eventually, run_together
from coterie.world import Event, EventLog, Intent, View, World, patched, resolvers
from coterie.world.state import view as view_module


def add(agent: str, key: str, amount: float = 1) -> Intent:
    return Intent(agent, "add", {"key": key, "amount": amount})


@pytest.fixture(autouse=True)
def locks() -> Iterator[None]:
    with checked_locks():
        yield


def test_a_view_never_changes_and_the_world_does() -> None:
    world = World({"lake": 100})
    view = world.view()
    world.commit([Intent("ada", "take", {"amount": 10})], resolver=resolvers.Rationing("lake"))
    assert (view["lake"], world.view()["lake"]) == (100, 90)
    assert view.sequence == 1
    assert view is not world.view()
    with pytest.raises(TypeError):
        view["lake"] = 1  # type: ignore[index]


def test_values_are_frozen_and_the_caller_cannot_change_them() -> None:
    given = {"list": [1, {"deep": [2]}]}
    world = World({"a": given})
    given["list"].append(3)
    assert world.view()["a"] == {"list": (1, {"deep": (2,)})}


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), 2**64, -(2**63) - 1, {1: 2}, [[{"a": {3}}]]])
def test_values_that_are_not_plain_data_are_refused_by_name(value: Any) -> None:
    world = World()
    with pytest.raises(InvalidValue, match="'key'"):
        world.update({"key": value})
    assert world.sequence == 0
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidValue, match="levels deep"):
        world.update({"key": circle})


def test_a_view_is_walked_in_the_order_of_its_keys() -> None:
    world = World(dict.fromkeys("zyxabc", 0))
    assert list(world.view()) == sorted("zyxabc")
    assert World({"a/2": 2, "a/1": 1, "b": 3}).view().under("a/") == {"1": 1, "2": 2}


def test_every_intent_ends_as_an_event_with_a_reason() -> None:
    world = World({"lake": 10})
    intents = [Intent("ada", "take", {"amount": 8}), Intent("ben", "take", {"amount": 8}), Intent("cleo", "fly", {})]
    events = world.commit(intents, resolver=resolvers.Rationing("lake"))
    assert [(event.agent, event.kind) for event in events] == [("ada", "cut"), ("ben", "cut"), ("cleo", "refused")]
    assert all(event.reason for event in events)
    assert [event.details["amount"] for event in events[:2]] == [5, 5]
    assert world.history()[1:] == list(events)


@pytest.mark.parametrize(
    ("resolver", "problem"),
    [
        (lambda *_: 1 / 0, "ZeroDivisionError"),
        (lambda *_: None, "returned a NoneType"),
        (lambda *_: ["x"], "a str among its resolutions"),
        (lambda *_: [], "left 2 of 2 intents undecided"),
        (lambda _, intents, __: [resolvers.granted(intents[0])] * 2, " twice"),
        (lambda _, intents, __: [resolvers.refused(each, "") for each in intents], "no reason"),
        (
            lambda _, intents, __: [resolvers.granted(each, resolvers.Effects(adds={"text": 1})) for each in intents],
            "adds 1 to text",
        ),
    ],
)
def test_a_resolver_that_fails_changes_nothing(resolver: Any, problem: str, tmp_path: Path) -> None:
    with World({"a": 1, "text": "x"}, log=EventLog(tmp_path / "run.db")) as world:
        before = world.view()
        with pytest.raises(ResolverFailed, match=problem):
            world.commit([add("ada", "a"), add("ben", "a")], resolver=resolver)
        assert world.view() is before
        world.commit([add("ada", "a")])
    with World(log=EventLog(tmp_path / "run.db")) as world:
        assert world.view()["a"] == 2


def test_values_that_are_not_intents_are_refused() -> None:
    world = World()
    with pytest.raises(InvalidIntent, match="a str"):
        world.commit(["take"])  # type: ignore[list-item]
    with pytest.raises(InvalidIntent):
        world.commit([Intent(1, "a"), Intent("x", "a")])  # type: ignore[arg-type]


def test_a_rule_refuses_intents_and_updates_before_they_count() -> None:
    world = World({"purse": 3})
    end = world.validate(lambda before, after: "no debts" if after["purse"] < 0 else None)
    first, second = world.commit([add("ada", "purse", -2), add("ben", "purse", -2)])
    assert {(event.agent, event.kind, event.reason) for event in (first, second)} == {
        ("ada", "granted", ""),
        ("ben", "refused", "no debts"),
    }
    with pytest.raises(UpdateRefused, match="no debts"):
        world.update({"purse": -1})
    assert world.view()["purse"] == 1
    end()
    world.update({"purse": -1})


def test_a_failing_rule_changes_nothing_and_a_broken_rule_does_not_refuse_commits_without_changes() -> None:
    world = World({"a": 1})
    end = world.validate(lambda before, after: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(RuleFailed, match="ZeroDivisionError"):
        world.commit([add("ada", "a")])
    end()
    end = world.validate(lambda before, after: False)  # type: ignore[arg-type, return-value]
    with pytest.raises(RuleFailed, match="returned False"):
        world.update({"a": 2})
    end()
    world.validate(lambda before, after: "never")
    (event,) = world.commit([add("ada", "a")])
    assert (event.kind, event.reason) == ("refused", "never")


def test_an_observer_that_raises_is_counted_and_called_again_and_may_change_the_world() -> None:
    world = World({"a": 0})
    seen: list[int] = []

    def look(view: View, events: tuple[Event, ...]) -> None:
        seen.append(view.sequence)
        if view.sequence == 2:
            world.update({"b": 1})
        raise ValueError("cannot look")

    end = world.subscribe(look)
    world.update({"a": 1})
    world.update({"a": 2})
    assert seen == [2, 3, 4]
    assert world.statistics().observer_failures == 3
    assert "cannot look" in world.statistics().last_failure
    end()
    world.update({"a": 3})
    assert len(seen) == 3


def test_a_world_is_not_changed_from_within_its_own_resolver_or_rule() -> None:
    world = World({"a": 0})
    world.validate(lambda before, after: world.update({"a": 1}).kind)
    with pytest.raises(RuleFailed) as caught:
        world.update({"a": 2})
    assert isinstance(caught.value.__cause__, CommitInsideCommit)


def test_keys_expire_by_an_event_and_setting_them_again_keeps_them() -> None:
    clock = ManualClock(wall=0.0)
    world = World(clock=clock)
    world.update({"a": 1, "b": 1}, ttl=5)
    world.update({"b": 2})
    assert world.view().expiry("a") == 5
    clock.advance(4)
    assert world.expire() == ()
    clock.advance(1)
    assert world.expire() == ("a",)
    assert dict(world.view()) == {"b": 2}
    assert [event.kind for event in world.history()][-1] == "expired"
    assert world.digest() == world.view().digest()


def test_upkeep_has_its_own_cadence_on_the_given_clock(tmp_path: Path) -> None:
    clock = ManualClock()
    with World(log=EventLog(tmp_path / "run.db"), clock=clock, expire_every=1, snapshot_seconds=10) as world:
        world.update({"a": 1}, ttl=2.5)
        clock.advance(3)
        assert "a" not in world.view()
        assert world.statistics().snapshots == 0
        clock.advance(8)
        assert world.statistics().snapshots == 1


def test_any_moment_can_be_looked_at_again(tmp_path: Path) -> None:
    world = World({"n": 0}, log=EventLog(tmp_path / "run.db"), history=20, snapshot_every=7)
    for number in range(1, 101):
        world.update({"n": number, f"key-{number}": 1})
    for sequence in (1, 2, 50, 90, 101):
        assert world.at(sequence)["n"] == sequence - 1
        assert len(world.at(sequence)) == sequence
        assert world.at(sequence).sequence == sequence
    assert dict(world.at(0)) == {}
    assert [event.sequence for event in world.history(3, 95)] == list(range(3, 96))
    for nonsense in (102, -1, "x", 1.5):
        with pytest.raises(HistoryGone, match="only 0 to 101"):
            world.at(nonsense)  # type: ignore[arg-type]
    world.close()


def test_without_a_log_the_past_is_bounded() -> None:
    world = World({"n": 0}, history=10)
    for number in range(50):
        world.update({"n": number})
    assert world.at(45)["n"] == 43
    with pytest.raises(HistoryGone, match="give the world a log"):
        world.at(5)
    with pytest.raises(HistoryGone):
        world.history(1)


def test_a_moment_within_a_commit_can_be_looked_at() -> None:
    world = World({"n": 0})
    world.commit([add("ada", "n"), add("ben", "n"), add("cleo", "n")])
    assert [world.at(sequence)["n"] for sequence in (1, 2, 3, 4)] == [0, 1, 2, 3]


def test_differences_lead_from_one_moment_to_another() -> None:
    world = World({"a": {"x": 1, "y": [1]}, "b": 1, "a/~b": 1})
    world.update({"a": {"x": 2, "z": 0}, "c": 1, "a/~b": 2}, remove=["b"])
    found = world.differences(1, 2)
    assert [(each.op, each.path) for each in found] == [
        ("replace", "/a/x"),
        ("remove", "/a/y"),
        ("add", "/a/z"),
        ("replace", "/a~1~0b"),
        ("remove", "/b"),
        ("add", "/c"),
    ]
    assert patched(world.at(1), found) == patched(world.at(2), [])
    assert patched(world.at(2), world.differences(2, 1)) == patched(world.at(1), [])


def test_a_world_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    with World({"a": 1}, log=EventLog(tmp_path / "run.db")) as world:
        world.update({"b": [1, 2]}, ttl=1e9)
        digest, view = world.digest(), world.view()
    assert view["b"] == (1, 2)
    with pytest.raises(WorldClosed):
        world.update({"a": 2})
    with World({"a": 99}, log=EventLog(tmp_path / "run.db")) as world:
        assert (world.digest(), world.sequence) == (digest, 2)
        assert world.view() == view
        assert World.replay(world.log).digest() == digest if world.log else False
        assert world.at(1)["a"] == 1


def test_opening_starts_from_the_newest_snapshot(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "run.db")
    with World(log=log, snapshot_every=10) as world:
        for number in range(25):
            world.update({f"k{number % 12}": number})
        world.log = None  # as if it had been killed: no snapshot at the end
        kept = log.newest()
        assert kept is not None
        assert kept.view.sequence == 22
        digest = world.digest()
    with World(log=log) as world:
        assert world.digest() == digest == world.view().digest()


def test_two_worlds_on_one_log_do_not_mix(tmp_path: Path) -> None:
    one, other = World(log=EventLog(tmp_path / "run.db")), World(log=EventLog(tmp_path / "run.db"))
    one.update({"a": 1})
    with pytest.raises(LogTaken, match="by another world"):
        other.update({"a": 2})
    assert other.sequence == 0
    aside = World(log=EventLog(tmp_path / "run.db", world="aside"))
    aside.update({"a": 3})
    for world in (one, other, aside):
        world.close()


def test_many_threads_commit_and_every_event_has_its_place() -> None:
    world = World({"n": 0})
    seen: list[int] = []
    world.subscribe(lambda view, events: seen.extend(event.sequence for event in events))

    def work() -> None:
        for _ in range(50):
            world.commit([add(threading.current_thread().name, "n")])
            world.digest()

    run_together(*[work] * 8)
    assert world.view()["n"] == 400
    eventually(lambda: seen == list(range(2, 402)))
    assert world.digest() == world.view().digest()


def test_truncating_forgets_later_events(tmp_path: Path) -> None:
    with World({"n": 0}, log=EventLog(tmp_path / "run.db")) as world:
        world.update({"n": 1})
        digest = world.digest()
        world.update({"n": 2, "m": 1})
        world.truncate(2)
        assert (world.digest(), world.sequence) == (digest, 2)
        world.update({"n": 3})
    with World(log=EventLog(tmp_path / "run.db")) as world:
        assert (dict(world.view()), world.sequence) == ({"n": 3}, 3)


def test_options_are_checked() -> None:
    for options in ({"history": 0}, {"snapshot_every": 0.5}, {"expire_every": 0}, {"snapshot_seconds": -1}):
        with pytest.raises(InvalidSetting):
            World(**options)
    for nonsense in (lambda: World(5), lambda: World(log="run.db"), lambda: World().commit([], resolver="x")):  # type: ignore[arg-type]
        with pytest.raises(InvalidSetting):
            nonsense()
    for change in ({"changes": [1]}, {"remove": "abc"}, {"ttl": 0}):
        with pytest.raises(InvalidSetting):
            World().update(**change)
    with pytest.raises(InvalidSetting):
        World().validate("rule")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        World({"": 1})


def test_an_interrupt_in_a_commit_leaves_no_world_behind_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with World({"n": 0}, log=EventLog(tmp_path / "run.db")) as world:
        assert world.log is not None
        append = world.log.append

        class Interrupted:
            def __init__(self, pending: Any) -> None:
                self.wait, self.exception = pending.wait, pending.exception

            def result(self) -> None:
                raise KeyboardInterrupt

        monkeypatch.setattr(world.log, "append", lambda events: Interrupted(append(events)))
        with pytest.raises(KeyboardInterrupt):
            world.update({"n": 1})
        monkeypatch.undo()
        assert world.view()["n"] == 1
        world.update({"n": 2})
        assert World.replay(world.log).view()["n"] == 2


def test_an_intent_without_plain_data_is_refused_before_anything_happens(tmp_path: Path) -> None:
    def anything(view: Any, intents: Any, random: Any) -> Any:
        return [resolvers.granted(each) for each in intents]

    with World({"n": 0}, log=EventLog(tmp_path / "run.db")) as world:
        with pytest.raises(InvalidIntent, match="not plain data"):
            world.commit([Intent("ada", "x", {"what": object()})], resolver=anything)
        assert world.sequence == 1
        world.update({"n": 1})


def test_a_snapshot_that_cannot_be_kept_takes_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "run.db")
    seen: list[int] = []
    with World({"n": 0}, log=log, snapshot_every=2) as world:
        world.subscribe(lambda view, events: seen.append(view["n"]))
        keep = log.keep

        def full(view: View, total: int) -> Any:
            raise StorageFull("run.db", "no room")

        monkeypatch.setattr(log, "keep", full)
        for _ in range(5):
            world.commit([Intent("ada", "add", {"key": "n", "amount": 1})])
        assert (seen, world.statistics().snapshots) == ([1, 2, 3, 4, 5], 0)
        monkeypatch.setattr(log, "keep", keep)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        assert world.view()["n"] == 5


def test_changes_do_not_accumulate_while_the_digest_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "_MOST", 50)
    counting, world = view_module.Digest(), World()
    for number in range(1_000):
        before = world.view()
        world.update({f"{number}": number}, remove=[f"{number - 1}"])
        counting.lighten(before)
        counting.touch((f"{number}", f"{number - 1}"), before)
        assert counting.waiting <= 53
    assert counting.text(world.view()) == world.digest() == World(world.view()).digest()


def test_a_dropped_world_is_a_warning_and_ends_its_threads(tmp_path: Path) -> None:
    def threads() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name.startswith(("world-", f"storage-writer {tmp_path}"))]

    before = threads()
    worlds = [World({"n": 0}, log=EventLog(tmp_path / "run.db"), expire_every=60.0)]
    worlds[0].update({"n": 1})
    assert len(threads()) > len(before)
    with pytest.warns(ResourceWarning) as warned:
        eventually(lambda: worlds.clear() is None and gc.collect() >= 0 and threads() == before)
    told = sorted(str(each.message) for each in warned)
    assert len(told) == 2
    assert told[0].startswith("a world was dropped and not stopped")
    assert told[1].startswith(f"the database {tmp_path / 'run.db'} was dropped")
    with World(log=EventLog(tmp_path / "run.db")) as again:
        assert again.view()["n"] == 1


def test_a_world_in_memory_may_be_dropped() -> None:
    World({"n": 0}).update({"n": 1})
    gc.collect()
