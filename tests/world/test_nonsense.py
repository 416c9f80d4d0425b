"""What makes no sense is an error or a refusal; the log can always be read again, and memory and disk agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import InvalidIntent, InvalidSetting, InvalidValue, ResolverFailed, UpdateRefused, WorldError
from coterie.errors.world import PatchRefused
from coterie.testing import ManualClock
from coterie.world import (
    EventLog,
    ExternalEvent,
    HealthMonitor,
    Intent,
    Limit,
    RateMonitor,
    ResourceController,
    ResourceMonitor,
    World,
    differences,
    patched,
    resolvers,
)
from coterie.world.state.differences import Difference

NONSENSE = [math.nan, 2**70, None, 5, True, [1], "\ud800", object(), {"a": math.nan}]
ADDED: dict[str, Any] = {"agent": "ada", "action": "add", "arguments": {"key": "n", "amount": 1}}


def change(field: str, value: Any) -> Callable[[World], object]:
    owner, name = field.split(".")
    if owner == "intent":
        return lambda world: world.commit([Intent(**{**ADDED, name: value})])
    if owner == "argument":
        return lambda world: world.commit([Intent("ada", "add", {"key": "n", "amount": 1, name: value})])
    if owner == "update":
        return lambda world: world.update(**{"changes": {"n": 1}, name: value})
    if owner == "note":
        return lambda world: world.commit([], notes=[ExternalEvent(**{"kind": "k", name: value})])
    if owner == "commit":
        return lambda world: world.commit([Intent(**ADDED)], **{name: value})

    def decide(view: object, intents: Any, random: object) -> Any:
        effects: dict[str, Any] = (
            {name: (value,) if name == "removes" else {"n": value}} if name in ("sets", "adds", "removes") else {}
        )
        said = {name: value} if name in ("reason", "details", "effects", "outcome") else {}
        given = {"outcome": resolvers.IntentOutcome.PARTIAL, "effects": resolvers.Effects(**effects), "reason": "so", **said}
        return [resolvers.Resolution(intent, **given) for intent in intents]

    return lambda world: world.commit([Intent(**ADDED)], resolver=decide)


FIELDS = [
    *(f"intent.{name}" for name in ("agent", "action", "arguments", "priority", "round", "stage", "index")),
    *("argument.extra", "argument.amount", "argument.key"),
    *(f"update.{name}" for name in ("changes", "remove", "ttl", "kind", "agent", "reason", "round", "details", "time")),
    *(f"note.{name}" for name in ("kind", "agent", "reason", "changes", "remove", "details", "round", "stage", "expires")),
    *("commit.time", "commit.seed"),
    *(f"decision.{name}" for name in ("outcome", "effects", "reason", "details", "sets", "adds", "removes")),
]


@pytest.mark.parametrize("field", FIELDS)
def test_whatever_is_given_the_log_can_be_read_again_and_comes_to_the_same_as_memory(field: str, tmp_path: Path) -> None:
    for place, value in enumerate(NONSENSE):
        ends = []
        path = tmp_path / f"{place}.db"
        for log in (None, EventLog(path, durable=False)):
            world = World({"n": 1}, log=log, clock=ManualClock())
            try:
                change(field, value)(world)
                error = ""
            except (WorldError, InvalidSetting) as raised:
                error = type(raised).__name__
            world.commit([Intent("ben", "add", {"key": "later", "amount": 1})])
            ends.append((error, world.digest(), world.sequence))
            world.close()
        assert ends[0] == ends[1], (field, value)
        with EventLog(path) as log:
            assert World.replay(log).digest() == ends[1][1]


def test_an_intent_whose_fields_are_of_the_wrong_type_is_named() -> None:
    with pytest.raises(InvalidIntent, match="agent and action are text"):
        World().commit([Intent(5, "add")])  # type: ignore[arg-type] # the point of the test
    with pytest.raises(InvalidIntent, match="whole numbers"):
        World().commit([Intent("ada", "add", priority=True)])
    with pytest.raises(InvalidIntent, match="surrogate"):
        World().commit([Intent("ada", "set", {"key": "k", "value": "\ud800"})])


def test_the_author_of_an_intent_cannot_change_its_event() -> None:
    world, names = World(), ["a"]
    world.commit([Intent("ada", "set", {"key": "k", "value": names, "why": names})])
    names.append("b")
    assert world.history()[-1].details["why"] == ("a",)


def test_a_refusal_changes_nothing_whatever_effects_it_comes_with(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "run.db")
    effects = resolvers.Effects({"k": 1}, {}, ("n",))
    with World({"n": 1}, log=log) as world:
        refuse = lambda view, intents, random: [  # noqa: E731 - as every resolver
            resolvers.Resolution(each, resolvers.IntentOutcome.REFUSED, effects, "no") for each in intents
        ]
        world.commit([Intent("ada", "x")], resolver=refuse)
        assert dict(World.replay(log).view()) == dict(world.view()) == {"n": 1}


def test_a_sum_that_cannot_be_kept_is_refused_and_the_others_are_not() -> None:
    world = World({"n": 2**64 - 1, "f": math.inf})
    adds = resolvers.Effects(adds={"f": -math.inf})
    events = world.commit(
        [Intent("ada", "add", {"key": "n", "amount": 1}), Intent("ben", "add", {"key": "m", "amount": 1}), Intent("cleo", "x")],
        resolver=resolvers.FirstCome({"x": lambda view, intent: adds}),
    )
    assert sorted((event.agent, event.kind) for event in events) == [
        ("ada", "refused"),
        ("ben", "granted"),
        ("cleo", "refused"),
    ]
    assert world.view()["n"] == 2**64 - 1


def test_rules_see_notes_too() -> None:
    world = World({"n": 1})
    world.validate(lambda before, after: "too much" if after["n"] > 5 else None)
    with pytest.raises(UpdateRefused, match="too much"):
        world.commit([], notes=[ExternalEvent("k", changes={"n": 9})])
    with pytest.raises(ResolverFailed, match="unsupported"):
        world.commit([Intent("ada", "x")], resolver=resolvers.FirstCome({"x": lambda *_: resolvers.Effects(adds={"n": "1"})}))  # type: ignore[dict-item] # the point
    with pytest.raises(InvalidValue, match="expiry"):
        world.commit([], notes=[ExternalEvent("k", expires={"n": 5.0})])
    assert world.view()["n"] == 1


WRONG: Any = 5


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: resolvers.Rationing("lake", into="basket/{who}"), "{agent}"),
        (lambda: resolvers.Rationing("lake", otherwise=WRONG), "a resolver"),
        (lambda: resolvers.Merge({"k": WRONG}), "a function"),
        (lambda: resolvers.FirstCome({"k": WRONG}), "a function"),
        (lambda: World(clock=WRONG), "a clock"),
        (lambda: World(admit=WRONG), "a function"),
        (lambda: World().history(WRONG / 2), "a whole number"),
        (lambda: World.replay(WRONG), "an EventLog"),
        (lambda: EventLog(WRONG), "a path"),
        (lambda: Limit("n", slow=5, refuse=1), "less than refuse"),
        (lambda: Limit(WRONG, slow=5), "the name of a resource"),
        (lambda: ResourceController(WRONG, []), "a ResourceMonitor"),
        (lambda: ResourceController(ResourceMonitor(), [WRONG]), "limits"),
        (lambda: ResourceController(ResourceMonitor(), [Limit("process.memroy", slow=1)]), "process.memory"),
        (lambda: ResourceMonitor(keep=0), "at least 1"),
        (lambda: HealthMonitor({"log": WRONG}), "a function"),
        (lambda: RateMonitor(WRONG), "a World"),
    ],
)
def test_an_invalid_setting_is_named_where_it_is_set(make: Any, problem: str) -> None:
    with pytest.raises(InvalidSetting, match=problem):
        make()


def test_an_action_that_returns_nothing_is_named() -> None:
    with pytest.raises(ResolverFailed, match="the action x returned None"):
        World().commit([Intent("ada", "x")], resolver=resolvers.FirstCome({"x": lambda *_: None}))  # type: ignore[dict-item] # the point


@pytest.mark.parametrize(
    "path", ["", "n", "/n/m", "/m", "/list/0"], ids=["root", "no slash", "into a number", "not there", "into a list"]
)
def test_a_difference_that_does_not_fit_is_named(path: str) -> None:
    with pytest.raises(PatchRefused, match="apply differences"):
        patched({"n": 1, "list": [1]}, [Difference("replace", path, 1)])


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), ((1,), (1.0,)), ({"a": [1]}, {"a": [True]}), ((0.0,), (-0.0,))])
def test_differences_are_as_exact_as_the_digest(one: Any, other: Any) -> None:
    before, after = World({"k": one}), World({"k": other})
    assert before.digest() != after.digest()
    assert World(patched(before.view(), differences(before.view(), after.view()))).digest() == after.digest()


def test_merging_does_not_remove_keys_that_others_add_to() -> None:
    world = World({"n": 5})
    wanted = [Intent("ada", "remove", {"key": "n"}), Intent("ben", "add", {"key": "n", "amount": 1})]
    assert [event.kind for event in world.commit(wanted, resolver=resolvers.Merge())] == ["refused", "granted"]
    assert world.view()["n"] == 6


@pytest.mark.parametrize(
    "initial",
    [
        {"": 1},
        {"a": 1, "b": 2**64},
        {"a": -(2**63) - 1},
        {"a": 1, 2: 3},
        {"\ud800": 1},
        {"a": 1, "b": {1}},
        {"a": float("nan")},
    ],
)
def test_every_key_and_value_of_a_first_state_is_checked(initial: Any) -> None:
    with pytest.raises(InvalidValue):
        World(initial)
    assert dict(World({"b": 2**64 - 1, "a": True, "c": [1]}).view()) == {"a": True, "b": 2**64 - 1, "c": (1,)}
    assert World({"a": True}).digest() != World({"a": 1}).digest()
