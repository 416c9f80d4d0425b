"""What holds of every world, whatever happens to it."""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from coterie.world import EventLog, Intent, World, differences, patched, resolvers

PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)

KEYS = st.sampled_from(["a", "b", "c", "d/e", "~"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=3) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)
INTENTS = st.builds(
    Intent,
    st.sampled_from(["ada", "ben", "cleo"]),
    st.just("set"),
    st.fixed_dictionaries({"key": KEYS, "value": VALUES}),
    st.integers(0, 2),
) | st.builds(
    Intent,
    st.sampled_from(["ada", "ben", "cleo"]),
    st.sampled_from(["add", "take", "move", "remove", "nonsense"]),
    st.fixed_dictionaries({"key": KEYS, "source": KEYS, "target": KEYS, "amount": st.integers(0, 9)}),
    st.integers(0, 2),
)
RESOLVERS = st.sampled_from(
    [
        resolvers.FirstCome(),
        resolvers.Lottery(),
        resolvers.Merge(),
        resolvers.Merge({"": lambda values: values[-1]}),
        resolvers.RefuseOnConflict(),
        resolvers.Rationing("a", into="d/e"),
        resolvers.Rationing("b", sharing="lottery"),
    ]
)


@given(batches=st.lists(st.tuples(st.lists(INTENTS, max_size=6), RESOLVERS), max_size=6), chance=st.randoms())
@settings(max_examples=150, deadline=None, phases=PHASES)
def test_the_digest_is_kept_up_and_does_not_depend_on_the_order_in_which_intents_arrive(
    batches: list[tuple[list[Intent], Any]], chance: Random
) -> None:
    one, other = World({"a": 7, "b": 3}), World({"a": 7, "b": 3})
    for number, (intents, resolver) in enumerate(batches):
        events = one.commit(intents, resolver=resolver, seed=number)
        assert len(events) == len(intents)
        assert all(event.kind == "granted" or event.reason for event in events)
        shuffled = list(intents)
        chance.shuffle(shuffled)
        other.commit(shuffled, resolver=resolver, seed=number)
        if chance.random() < 0.5:
            assert one.digest() == one.view().digest()
    assert one.digest() == one.view().digest() == other.digest()
    assert one.view() == other.view()


@given(changes=st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=8), removals=st.lists(KEYS, max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_world_that_is_replayed_or_opened_again_is_the_same(changes: list[dict[str, Any]], removals: list[str]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        with World(log=EventLog(path, durable=False), snapshot_every=3) as world:
            for change in changes:
                world.update(change)
            for key in removals:
                world.update(remove=[key], ttl=None)
            digest, view = world.digest(), world.view()
        with EventLog(path) as log:
            replayed = World.replay(log)
            assert (replayed.digest(), replayed.view()) == (digest, view)
        with World(log=EventLog(path)) as world:
            assert (world.digest(), world.view()) == (digest, view)


@given(before=st.dictionaries(KEYS, VALUES, max_size=4), after=st.dictionaries(KEYS, VALUES, max_size=4))
def test_differences_lead_where_they_should(before: dict[str, Any], after: dict[str, Any]) -> None:
    one, other = World(before).view(), World(after).view()
    found = differences(one, other)
    assert patched(one, found) == patched(other, [])
    assert differences(one, one) == ()


@pytest.mark.parametrize(
    "resolver", [resolvers.FirstCome(), resolvers.Lottery(), resolvers.Merge(), resolvers.RefuseOnConflict()]
)
@given(
    moves=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 9)), max_size=20),
    purses=st.lists(st.integers(0, 10), min_size=5, max_size=5),
)
def test_money_is_conserved_and_never_negative_under_conflicting_trade(
    resolver: resolvers.Resolver, moves: list[tuple[int, int, int]], purses: list[int]
) -> None:
    world = World({f"purse/{number}": coins for number, coins in enumerate(purses)})
    world.commit(
        [
            Intent(str(one), "move", {"source": f"purse/{one}", "target": f"purse/{other}", "amount": amount}, index=index)
            for index, (one, other, amount) in enumerate(moves)
        ],
        resolver=resolver,
    )
    coins = [world.view()[f"purse/{number}"] for number in range(5)]
    assert sum(coins) == sum(purses)
    assert min(coins) >= 0
