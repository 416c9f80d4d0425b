"""Memory: the cache beside the library, its hit ratios, cold reads, writes, and recall over very many memories."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from benchmarks.harness import Row, compare, quantile, rate, ratio_row, timed
from coterie.kernel import stream
from coterie.memory import AgentMemory, MemoryConfig, MemoryRecord, TieredMemory
from coterie.memory.cache import AdaptiveCache
from coterie.memory.cache_segments import CacheEntry
from coterie.testing import run_together

try:
    import theine
except ImportError:
    theine = None

HITS = 40_000
KEYS = [f"agent-{n % 50}/memory-{n}" for n in range(5_000)]


@contextmanager
def opened(**settings: Any) -> Iterator[TieredMemory]:
    with tempfile.TemporaryDirectory() as folder:
        config = MemoryConfig(path=Path(folder) / "run.db", maintenance_interval=None, write_timeout=300.0, **settings)
        with TieredMemory(config) as memory:
            yield memory


def hits() -> list[Row]:
    """`get` that hits the cache, against the library's own."""
    if theine is None:
        return []
    rows = []
    library: Any = theine.Cache(10_000)
    asked = stream(1).choices(KEYS, k=HITS)
    with TieredMemory(MemoryConfig(maintenance_interval=None)) as memory:
        for key in KEYS:
            memory.store(key, {"text": "Bob lent me five coins", "type": "observation"})
            library.set(key, {"text": "Bob lent me five coins", "type": "observation"})
        memory.flush()

        def many(get: Callable[[str], Any], threads: int) -> Callable[[], float]:
            def use() -> None:
                for key in asked:
                    get(key)

            return lambda: timed(HITS * threads, lambda: run_together(*[use] * threads))

        for threads in (1, 4):
            compared = compare({"coterie": many(memory.get, threads), "theine": many(library.get, threads)})
            ratio = compared.ratios("coterie", "theine")
            rows.append(ratio_row(f"get that hits the cache, {threads} threads", compared, ratio, 0.5, "0.5 of theine"))
    return rows


def zipf(random: Random) -> list[str]:
    weights = [1 / place**0.9 for place in range(1, 50_001)]
    return [f"k{n}" for n in random.choices(range(50_000), weights, k=300_000)]


def newest(random: Random) -> list[str]:
    """What is asked for was mostly asked for lately: each time it moves on, and never comes back."""
    return [f"k{int(n / 8 + random.expovariate(1 / 800))}" for n in range(300_000)]


def lru(trace: list[str], capacity: int) -> float:
    held: OrderedDict[str, None] = OrderedDict()
    found = 0
    for key in trace:
        if key in held:
            found += 1
            held.move_to_end(key)
        else:
            held[key] = None
            if len(held) > capacity:
                held.popitem(last=False)
    return found / len(trace)


def w_tinylfu(trace: list[str], capacity: int) -> float:
    if theine is None:
        return 0.0
    library: Any = theine.Cache(capacity)
    found = 0
    for key in trace:
        _, there = library.get(key)
        found += there
        if not there:
            library.set(key, 1)
    return found / len(trace)


def ours(trace: list[str], capacity: int) -> float:
    cache = AdaptiveCache(capacity)
    for key in trace:
        if cache.get(key) is None:
            cache.put(CacheEntry(key))
    return cache.statistics().hit_ratio


def ratios() -> list[Row]:
    """The hit ratios on three traces, against the better of two policies on each."""
    traces = {
        "a looping scan, 1,000 keys": [f"k{n % 1_000}" for n in range(200_000)],
        "a Zipf stream, 50,000 keys": zipf(stream(1)),
        "what was asked for lately": newest(stream(2)),
    }
    rows = []
    for capacity, (name, trace) in zip((512, 5_000, 1_000), traces.items(), strict=True):
        mine, recency, library = ours(trace, capacity), lru(trace, capacity), w_tinylfu(trace, capacity)
        figure = f"{mine:.1%} (LRU {recency:.1%}, theine {library:.1%})"
        rows.append(
            Row(f"cache of {capacity:,}, {name}", figure, "the better, less 5 points", mine >= max(recency, library) - 0.05)
        )
    return rows


def whole(record: MemoryRecord) -> bytes:
    """Return a record as the long-term tier keeps it: the bare rows are as big as ours."""
    return msgspec.msgpack.encode(record)


def cold() -> list[Row]:
    """`get` from long-term with a cache that does not have it, against a bare point read of a row as big."""
    count = 20_000
    with opened() as memory, tempfile.TemporaryDirectory() as folder:
        bare = sqlite3.connect(Path(folder) / "bare.db")
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("CREATE TABLE memories (key TEXT PRIMARY KEY, value BLOB)")
        for n in range(count):
            record = memory.store(f"k{n}", {"text": "Bob lent me five coins"})
            bare.execute("INSERT INTO memories VALUES (?, ?)", (record.key, whole(record)))
        bare.commit()
        memory.flush()
        # Nothing is left to be indexed, and nothing is left above the long-term tier.
        memory.search("coins", limit=1)
        for working in memory._store.working:  # noqa: SLF001 - there is no other way to have the tiers empty
            working.backend.close()
        asked = stream(3).sample([f"k{n}" for n in range(count)], 4_000)

        def read() -> float:
            for key in asked:
                memory._store.cache.discard(key)  # type: ignore[union-attr]  # noqa: SLF001 - as above
            return timed(4_000, lambda: [memory.get(key) for key in asked])

        def read_bare() -> None:
            for key in asked:
                bare.execute("SELECT value FROM memories WHERE key = ?", (key,)).fetchone()

        compared = compare({"coterie": read, "sqlite3": lambda: timed(4_000, read_bare)})
        ratio = compared.ratios("coterie", "sqlite3")
    return [ratio_row("get from long-term, cold cache", compared, ratio, 0.35, "0.35 of a bare point read")]


def stores() -> list[Row]:
    """Stores that nobody waits for, to the end of the flush, and durable ones from 16 threads, against bare SQLite."""
    count, durable = 10_000, 1_600
    rows = []
    with opened() as memory, tempfile.TemporaryDirectory() as folder:
        bare = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None, check_same_thread=False)
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE memories (key TEXT PRIMARY KEY, value BLOB)")
        value = {"text": "Bob lent me five coins", "type": "observation"}
        body = whole(memory.store("0/0", value))
        turn = iter(range(1_000_000))

        def forget_about_it() -> None:
            me = next(turn)
            for n in range(count):
                memory.store(f"{me}/{n}", value)
            memory.flush()

        def in_batches() -> None:
            me = next(turn)
            for first in range(0, count, 100):
                bare.execute("BEGIN")
                bare.executemany("INSERT INTO memories VALUES (?, ?)", [(f"{me}/{n}", body) for n in range(first, first + 100)])
                bare.execute("COMMIT")

        def ours() -> float:
            # What the round before left to be indexed is not counted in this one, and has a row of its own.
            memory.search("coins", limit=1)
            return timed(count, forget_about_it)

        compared = compare({"coterie": ours, "sqlite3": lambda: timed(count, in_batches)}, 5)
        ratio = compared.ratios("coterie", "sqlite3")
        rows.append(ratio_row("stores, fire and forget, until the flush", compared, ratio, 0.6, "0.6 of a bare executemany"))

        def until_found() -> None:
            forget_about_it()
            memory.search("coins", limit=1)

        memory.search("coins", limit=1)
        rows.append(Row("… until a search finds them", rate(timed(count, until_found))))

        def store_durably() -> None:
            me = next(turn)

            def some(thread: int) -> None:
                for n in range(durable // 16):
                    memory.store(f"{me}/{thread}/{n}", value, durable=True)

            run_together(*(lambda thread=thread: some(thread) for thread in range(16)), timeout=120.0)

        def one_by_one() -> None:
            me = next(turn)
            for n in range(durable):
                bare.execute("INSERT INTO memories VALUES (?, ?)", (f"{me}/{n}", body))

        compared = compare({"coterie": lambda: timed(durable, store_durably), "sqlite3": lambda: timed(durable, one_by_one)}, 5)
        ratio = compared.ratios("coterie", "sqlite3")
        rows.append(ratio_row("durable stores, 16 threads", compared, ratio, 1.7, "1.7 of one commit a row"))
    return rows


def recall() -> list[Row]:
    """Everyday questions of eight words to one agent with a hundred thousand memories."""
    random = stream(4)
    words = [f"word{n}" for n in range(20_000)]
    # As in English without its stop words: the commonest is in one text of fifty.
    weights = list(accumulate(1 / (place + 50) for place in range(len(words))))
    rows = []
    with opened(queue_size=1_000_000) as memory:
        mind = AgentMemory(memory, "alice", max_episodes=200_000, consolidate_at=None, warn_at=2.0)
        began = time.perf_counter()
        for _ in range(100_000):
            text = " ".join(random.choices(words, cum_weights=weights, k=8))
            mind.remember(f"I saw {text} and it was fine", importance=random.random())
        memory.flush(300.0)
        stored = 100_000 / (time.perf_counter() - began)
        took = []
        for _ in range(300):
            question = f"when did I see {' '.join(random.choices(words, cum_weights=weights, k=4))}"
            began = time.perf_counter()
            assert mind.recall(question, 10)
            took.append(time.perf_counter() - began)
        figure = f"p95 {quantile(took, 0.95) * 1e3:.1f} ms, p50 {quantile(took, 0.5) * 1e3:.1f} ms"
        rows.append(Row("recall over 100,000 memories", figure, "p95 under 30 ms", quantile(took, 0.95) < 0.030))
        rows.append(Row("… remembered, with their neighbours", rate(stored)))
    return rows
