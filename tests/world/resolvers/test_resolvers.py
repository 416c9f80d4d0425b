"""What each resolver decides."""

from typing import Any

import pytest

from coterie.errors import InvalidSetting
from coterie.world import Event, Intent, World, resolvers


def ends(resolver: resolvers.Resolver, state: dict[str, Any], *intents: Intent, seed: int = 0) -> tuple[dict[str, str], World]:
    world = World(state)
    events: tuple[Event, ...] = world.commit(intents, resolver=resolver, seed=seed)
    return {event.agent: event.kind for event in events}, world


def put(agent: str, value: Any, key: str = "k", priority: int = 0) -> Intent:
    return Intent(agent, "set", {"key": key, "value": value}, priority)


def take(agent: str, amount: float, key: str = "k", priority: int = 0, **more: Any) -> Intent:
    return Intent(agent, "take", {"key": key, "amount": amount, **more}, priority)


def test_the_highest_priority_comes_first_and_then_the_name() -> None:
    found, world = ends(resolvers.FirstCome(), {}, put("ada", 1), put("zoe", 2, priority=1), put("ben", 3))
    assert found == {"zoe": "granted", "ada": "refused", "ben": "refused"}
    assert world.view()["k"] == 2
    found, _ = ends(resolvers.FirstCome(), {"k": 10}, take("zoe", 6), take("ada", 6), take("ben", 6))
    assert found == {"ada": "granted", "ben": "cut", "zoe": "refused"}


def test_a_lottery_is_drawn_from_the_seed_and_priorities_go_first() -> None:
    winners = set()
    for seed in range(30):
        found, world = ends(resolvers.Lottery(), {}, put("ada", 1), put("ben", 2), put("cleo", 3), seed=seed)
        again, _ = ends(resolvers.Lottery(), {}, put("ada", 1), put("ben", 2), put("cleo", 3), seed=seed)
        assert found == again
        winners.add(world.view()["k"])
        found, _ = ends(resolvers.Lottery(), {}, put("ada", 1), put("ben", 2, priority=1), seed=seed)
        assert found["ben"] == "granted"
    assert winners == {1, 2, 3}


def test_rationing_adds_granted_amounts_to_its_key_and_leaves_other_intents_to_another_resolver() -> None:
    rationing = resolvers.Rationing("lake", into="basket/{agent}")
    found, world = ends(
        rationing, {"lake": 9}, Intent("ada", "take", {"amount": 6}), take("ben", 6, "lake", into="b"), put("cleo", 1)
    )
    assert found == {"ada": "cut", "ben": "cut", "cleo": "granted"}
    assert dict(world.view()) == {"lake": 0, "basket/ada": 5, "b": 4, "k": 1}
    with pytest.raises(InvalidSetting, match="first-come"):
        resolvers.Rationing("lake", sharing="mine")


@pytest.mark.parametrize("amount", [-1, float("nan"), "x", None, True])
def test_an_invalid_amount_is_refused(amount: Any) -> None:
    for resolver in (resolvers.FirstCome(), resolvers.Rationing("k"), resolvers.Merge(), resolvers.RefuseOnConflict()):
        found, world = ends(resolver, {"k": 5}, take("ada", amount))
        assert (found, world.view()["k"]) == ({"ada": "refused"}, 5)


def test_compatible_intents_are_merged() -> None:
    sums = [Intent(name, "add", {"key": "n", "amount": 2}) for name in ("ada", "ben")]
    found, world = ends(resolvers.Merge(), {"n": 1}, *sums, put("cleo", {"x": 1}), put("dag", {"y": 2}), put("esi", {"x": 9}))
    assert found == {"ada": "granted", "ben": "granted", "cleo": "granted", "dag": "granted", "esi": "refused"}
    assert world.view()["n"] == 5
    assert dict(world.view()["k"]) == {"x": 1, "y": 2}
    found, world = ends(resolvers.Merge({"k": max}), {}, put("ada", 3), put("ben", 7))
    assert (found, world.view()["k"]) == ({"ada": "granted", "ben": "granted"}, 7)


def test_all_that_meets_is_refused() -> None:
    found, world = ends(resolvers.RefuseOnConflict(), {"k": 1}, put("ada", 2), put("ben", 2), put("cleo", 3, "free"))
    assert found == {"ada": "refused", "ben": "refused", "cleo": "granted"}
    found, world = ends(resolvers.RefuseOnConflict(), {"k": 10}, take("ada", 6), take("ben", 6), take("cleo", 0))
    assert found == {"ada": "refused", "ben": "refused", "cleo": "granted"}
    assert world.view()["k"] == 10


def test_actions_of_ones_own_are_known_by_name() -> None:
    def paint(view: Any, intent: Intent) -> resolvers.Effects | str:
        colour = intent.arguments.get("colour")
        return resolvers.Effects(sets={"wall": colour}) if colour else "no colour"

    resolver = resolvers.FirstCome({"paint": paint})
    found, world = ends(
        resolver, {}, Intent("ada", "paint", {"colour": "red"}), Intent("ben", "paint"), Intent("cleo", "drill")
    )
    assert found == {"ada": "granted", "ben": "refused", "cleo": "refused"}
    assert world.view()["wall"] == "red"
    assert "there are add, born, die, move, paint, remove, set, take" in world.history()[-1].reason
