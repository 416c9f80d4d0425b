"""The cache: what it keeps, what it counts, and that threads do not confuse it."""

import sys
from collections import OrderedDict
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.kernel import stream
from coterie.memory.cache import AdaptiveCache
from coterie.memory.cache_segments import CacheEntry, FrequencySketch
from coterie.testing import run_together


def replay(trace: Iterable[str], capacity: int) -> AdaptiveCache:
    cache = AdaptiveCache(capacity)
    for key in trace:
        if cache.get(key) is None:
            cache.put(CacheEntry(key))
    return cache


def lru_ratio(trace: list[str], capacity: int) -> float:
    held: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for key in trace:
        if key in held:
            hits += 1
            held.move_to_end(key)
        else:
            held[key] = None
            if len(held) > capacity:
                held.popitem(last=False)
    return hits / len(trace)


def test_a_loop_that_is_longer_than_the_cache_does_not_empty_it() -> None:
    trace = [f"k{n % 600}" for n in range(60_000)]
    assert lru_ratio(trace, 300) == 0.0
    assert replay(trace, 300).statistics().hit_ratio > 0.4


def test_the_cache_becomes_an_lru_where_only_recency_counts() -> None:
    random = stream(1)
    # What is asked for is near a place that moves on: each key is hot once, and then never again.
    trace = [f"k{int(n / 30 + random.expovariate(1 / 200))}" for n in range(60_000)]
    cache = replay(trace, 400)
    assert cache.statistics().hit_ratio > lru_ratio(trace, 400) - 0.05
    assert cache.statistics().window > 200


def test_frequently_requested_entries_survive_a_scan() -> None:
    cache = AdaptiveCache(100)
    for _ in range(20):
        for n in range(50):
            if cache.get(f"hot{n}") is None:
                cache.put(CacheEntry(f"hot{n}"))
    for n in range(10_000):
        cache.get(f"scan{n}")
        cache.put(CacheEntry(f"scan{n}"))
    assert sum(cache.peek(f"hot{n}") is not None for n in range(50)) >= 45


def test_it_never_holds_more_than_it_may() -> None:
    for capacity in (1, 2, 3, 7, 5_000):
        cache = AdaptiveCache(capacity)
        left = []
        for n in range(3 * capacity):
            left += cache.put(CacheEntry(f"k{n}"))
            assert len(cache) <= capacity
        assert len(left) == 2 * capacity == cache.statistics().evictions


@given(st.lists(st.tuples(st.sampled_from(["get", "put", "discard"]), st.integers(0, 12)), max_size=300), st.integers(1, 8))
def test_the_cache_holds_the_last_entry_of_a_key_and_counts_each_request_once(
    steps: list[tuple[str, int]], capacity: int
) -> None:
    cache = AdaptiveCache(capacity)
    newest: dict[str, int] = {}
    gets = uses = 0
    for number, (step, name) in enumerate(steps):
        key = f"k{name}"
        if step == "put":
            newest[key] = number
            for entry in cache.put(CacheEntry(key, number)):
                uses += entry.uses
        elif step == "discard":
            gone = cache.discard(key)
            uses += gone.uses if gone is not None else 0
        else:
            gets += 1
            found = cache.get(key)
            assert found is None or found.record == newest[key]
    statistics = cache.statistics()
    assert statistics.hits + statistics.misses == gets
    assert statistics.entries <= capacity
    assert uses + sum(count for _, count, _ in cache.take_uses()) == statistics.hits
    assert cache.take_uses() == []


def test_an_entry_that_is_put_anew_keeps_its_uses() -> None:
    cache = AdaptiveCache(10)
    cache.put(CacheEntry("k", 1))
    cache.get("k")
    cache.put(CacheEntry("k", 2))
    entry = cache.get("k")
    assert entry is not None
    assert entry.record == 2
    assert [(key, count) for key, count, _ in cache.take_uses()] == [("k", 2)]


def test_a_sketch_counts_and_forgets() -> None:
    sketch = FrequencySketch(100)
    numbers = [hash(f"k{n}") for n in range(50)]
    for times, number in enumerate(numbers):
        for _ in range(times % 10):
            sketch.add(number)
    assert all(sketch.estimate(number) >= times % 10 for times, number in enumerate(numbers))
    before = sketch.estimate(numbers[9])
    for n in range(1_000):
        sketch.add(hash(f"other{n % 7}"))
    assert sketch.estimate(numbers[9]) <= before // 2 + 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("shards", [1, 4])
def test_threads_lose_no_hit_and_no_entry(shards: int) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        cache = AdaptiveCache(64, shards)
        gets = [0] * 4

        def use(me: int) -> None:
            random = stream(7, me)
            for _ in range(3_000):
                key = f"k{random.randrange(100)}"
                step = random.random()
                if step < 0.7:
                    entry = cache.get(key)
                    assert entry is None or entry.key == key
                    gets[me] += 1
                elif step < 0.95:
                    cache.put(CacheEntry(key))
                else:
                    cache.discard(key)

        run_together(*(lambda me=me: use(me) for me in range(4)))
        statistics = cache.statistics()
        assert statistics.hits + statistics.misses == sum(gets)
        for shard in cache._shards:
            segments = shard._segments
            parts = [segments._window, segments._probation, segments._protected]
            assert sum(map(len, parts)) == len(segments.entries) <= segments.capacity
            for part in parts:
                assert all(segments.entries[key] is entry and entry.segment is part for key, entry in part.items())
    finally:
        sys.setswitchinterval(before)
