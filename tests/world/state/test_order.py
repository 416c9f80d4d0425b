"""The order of keys is kept up in small steps, and is always that of sorting."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.world import World


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([0, 3, 1_500]))
def test_views_are_in_order_whatever_was_added_and_removed(seed: int, size: int) -> None:
    random = Random(seed)
    world = World({f"k{number:05}": number for number in range(0, 2 * size, 2)})
    views = []
    for _ in range(12):
        added = {f"k{random.randrange(-5, 4_000):05}": 0 for _ in range(random.choice((1, 3, 400)))}
        removed = random.sample(sorted(world.view()), min(len(world.view()), random.choice((0, 1, 300))))
        world.update(added, remove=removed)
        if random.random() < 0.6:
            prefix = f"k{random.randrange(4)}"
            assert list(world.view()) == sorted(world.view().keys_map)
            expected = [key for key in sorted(world.view().keys_map) if key.startswith(prefix)]
            assert [prefix + rest for rest in world.view().under(prefix)] == expected
        views.append(world.view())
    for view in views:
        assert list(view) == sorted(view.keys_map)


def test_a_key_that_is_added_does_not_sort_all_keys_again() -> None:
    world = World({f"k{number:05}": number for number in range(20_000)})
    assert len(list(world.view())) == 20_000
    before = world.view().order._resolved(world.view().keys_map)
    world.update({"k00007x": 1})
    world.update({"z": 1})
    after = world.view().order._resolved(world.view().keys_map)
    assert sum(one is not other for one, other in zip(before, after, strict=True)) == 2
    assert len(world.view().under("k00007")) == 2


@given(
    keys=st.sets(st.text("a/b0\U0010ffff", min_size=1, max_size=4), max_size=30),
    prefixes=st.lists(st.text("a/b0", min_size=1, max_size=2), max_size=3),
)
def test_the_keys_outside_of_prefixes_are_all_others_in_order(keys: set[str], prefixes: list[str]) -> None:
    view = World(dict.fromkeys(keys, 0)).view()
    assert list(view.outside(*prefixes)) == sorted(key for key in keys if not key.startswith(tuple(prefixes)))
