"""The store of memories, as its users see it."""

import asyncio
import dataclasses
import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from coterie.errors import EncodeFailed, InvalidMemory, InvalidSetting, MemoryClosed, WriteTimeout
from coterie.memory import MemoryConfig, MemoryKind, Put, Tier, TieredMemory
from coterie.testing import ManualClock, checked_locks, eventually, run_together
from tests.memory.stores import FlakyArchive, FlakyBackend, open_memory

MISSING = object()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory(clock: ManualClock) -> Iterator[TieredMemory]:
    with open_memory(clock, stm_ttl=100, im_ttl=1_000) as memory:
        yield memory


@pytest.mark.parametrize("value", [None, 0, "", [], {}, False, 1.5, "text", b"\x00\xff", [1, [2]], {"a": {"b": None}}, {1: 2}])
def test_a_read_returns_the_stored_value_and_none_is_not_a_miss(memory: TieredMemory, value: Any) -> None:
    memory.store("k", value)
    assert memory.get("k", MISSING) == value
    assert type(memory.get("k")) is type(value)
    assert "k" in memory
    assert memory.get("other", MISSING) is MISSING


def test_a_reader_may_change_its_value(memory: TieredMemory) -> None:
    given = {"coins": [1, 2]}
    memory.store("k", given)
    given["coins"].append(3)
    memory.get("k")["coins"].append(4)
    assert memory.get("k") == {"coins": [1, 2]}


def test_a_value_is_read_as_a_type_when_one_is_given(memory: TieredMemory) -> None:
    @dataclasses.dataclass
    class Goal:
        what: str
        by: int = 0

    memory.store("k", Goal("find work"))
    assert memory.get("k") == {"what": "find work", "by": 0}
    assert memory.get("k", as_type=Goal) == Goal("find work")


def test_a_key_that_is_stored_anew_keeps_its_id_and_its_birth(memory: TieredMemory, clock: ManualClock) -> None:
    first = memory.store("k", 1)
    clock.advance(50)
    second = memory.store("k", 2, importance=0.9)
    assert (second.id, second.created) == (first.id, first.created)
    assert second.version > first.version
    assert (second.importance, second.entered) == (0.9, clock.time())


def test_the_owner_is_the_part_before_the_first_slash_unless_given(memory: TieredMemory) -> None:
    assert memory.store("alice/goal", 1).agent == "alice"
    assert memory.store("weather", 1).agent == ""
    assert memory.store("alice/loan", 1, agent="bob").agent == "bob"
    assert [record.key for record in memory.recent("bob")] == ["alice/loan"]


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "\x1fhouse", "x" * 2_000, "ü" * 600, "\ud800", 7, None])
def test_an_invalid_key_is_refused(memory: TieredMemory, key: Any) -> None:
    with pytest.raises(InvalidMemory, match="key"):
        memory.store(key, 1)
    with pytest.raises(InvalidMemory, match="key"):
        memory.get(key)


@pytest.mark.parametrize("importance", [-0.1, 1.1, math.nan, math.inf, "0.5", None, True])
def test_an_invalid_importance_is_refused(memory: TieredMemory, importance: Any) -> None:
    with pytest.raises(InvalidMemory, match="from 0 to 1"):
        memory.store("k", 1, importance=importance)
    assert "k" not in memory


@pytest.mark.parametrize("ttl", [0, -1, math.nan, math.inf, "1"])
def test_an_invalid_time_to_live_is_refused(memory: TieredMemory, ttl: Any) -> None:
    with pytest.raises(InvalidMemory, match="ttl"):
        memory.store("k", 1, ttl=ttl)


def test_an_unencodable_value_is_refused_and_the_old_one_stays(memory: TieredMemory) -> None:
    memory.store("k", 1)
    for value in (object(), 2**70, lambda: 0):
        with pytest.raises(EncodeFailed):
            memory.store("k", value)
    assert memory.get("k") == 1


def test_a_value_that_is_huge_is_refused() -> None:
    with open_memory(max_value_bytes=100) as memory, pytest.raises(InvalidMemory, match="at most 100"):
        memory.store("k", "x" * 101)


@pytest.mark.parametrize(
    "settings",
    [
        {"redis_url": "http://localhost"},
        {"redis_url": "localhost:6379"},
        {"redis_url": "redis://localhost:port"},
        {"redis_url": "redis://"},
        {"postgres_url": "redis://localhost"},
        {"path": "mysql://localhost/x"},
        {"path": "a.db", "postgres_url": "postgresql://localhost/x"},
        {"cache_size": -1},
        {"stm_ttl": 0},
        {"im_ttl": math.nan},
        {"forget_below": 2},
        {"batch_size": 0.5},
    ],
)
def test_an_invalid_setting_is_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=next(iter(settings))):
        MemoryConfig(**settings)


def test_the_address_of_a_server_may_stand_where_a_file_could() -> None:
    config = MemoryConfig(path="postgresql://localhost/x")
    assert (config.path, config.postgres_url) == (None, "postgresql://localhost/x")


@pytest.mark.parametrize("url", ["mysql://ada:secret@host/x", "http://host/x?password=secret", "nowhere://:secret@"])
def test_no_error_about_an_address_contains_its_password(url: str) -> None:
    for setting in ("path", "redis_url", "postgres_url"):
        with pytest.raises(InvalidSetting) as caught:
            MemoryConfig(**{setting: url})  # type: ignore[arg-type] # a text for each of them
        assert "secret" not in str(caught.value)


def test_expired_memories_are_invisible_before_their_deletion(memory: TieredMemory, clock: ManualClock) -> None:
    memory.store("alice/k", "apple", ttl=10)
    assert memory.get("alice/k") == "apple"
    clock.advance(10)
    assert memory.get("alice/k", MISSING) is MISSING
    assert "alice/k" not in memory
    assert memory.recent("alice") == []
    assert memory.search("apple") == []
    report = memory.maintain()
    assert report.expired == 1
    assert [(each.action, each.reason) for each in memory.decisions("alice/k")] == [("expired", "its time to live is over")]


def test_a_new_memory_under_an_expired_key_is_another_memory(memory: TieredMemory, clock: ManualClock) -> None:
    first = memory.store("k", 1, ttl=10)
    clock.advance(10)
    assert memory.store("k", 2).id != first.id
    memory.maintain()
    assert memory.get("k") == 2


def test_a_deleted_memory_is_gone_from_everywhere(memory: TieredMemory) -> None:
    memory.store("alice/k", "apple")
    assert memory.delete("alice/k")
    assert not memory.delete("alice/k")
    assert memory.get("alice/k", MISSING) is MISSING
    assert memory.recent() == []
    assert memory.search("apple") == []


def test_a_memory_is_found_by_its_words_its_owner_and_its_time(memory: TieredMemory, clock: ManualClock) -> None:
    memory.store("alice/1", {"text": "Bob was lending me coins"})
    clock.advance(10)
    memory.store("bob/1", "Alice borrowed coins")
    assert [hit.record.key for hit in memory.search("who lends?")] == ["alice/1"]
    assert sorted(hit.record.key for hit in memory.search("a coin")) == ["alice/1", "bob/1"]
    assert [hit.record.key for hit in memory.search("coins", "bob")] == ["bob/1"]
    assert [hit.record.key for hit in memory.search("coins", before=clock.time())] == ["alice/1"]
    assert [record.key for record in memory.recent()] == ["bob/1", "alice/1"]
    assert [record.key for record in memory.recent(limit=1)] == ["bob/1"]
    assert memory.search("") == []
    assert memory.search("coins", limit=0) == []


def test_reads_are_counted_on_the_record(memory: TieredMemory, clock: ManualClock) -> None:
    memory.store("k", 1)
    clock.advance(5)
    for _ in range(3):
        memory.get("k")
    record = memory.record("k")
    assert record is not None
    assert (record.access_count, record.last_access) == (3, clock.time())
    memory.flush()
    kept = memory.records.archive.get(["k"])["k"]
    assert (kept.access_count, kept.last_access) == (3, clock.time())
    memory.store("k", 2)
    memory.flush()
    assert memory.records.archive.get(["k"])["k"].access_count == 3


def test_a_memory_that_is_not_in_the_cache_is_read_from_below_once() -> None:
    with open_memory(cache_size=1) as memory:
        for n in range(20):
            memory.store(f"k{n}", n)
        assert [memory.get(f"k{n}") for n in range(20)] == list(range(20))
        metrics = memory.metrics()
        assert metrics.tiers["short"].hits + metrics.cache.hits == 20
        assert metrics.tiers["short"].records == 20


def test_without_a_cache_it_works_as_well() -> None:
    with open_memory(cache_size=0) as memory:
        memory.store("k", None)
        assert memory.get("k", MISSING) is None
        memory.get("k")
        memory.flush()
        assert memory.records.archive.get(["k"])["k"].access_count == 2
        assert memory.metrics().cache.capacity == 0


def test_nothing_is_durable_that_has_no_place_to_last(memory: TieredMemory) -> None:
    with pytest.raises(InvalidMemory, match="path"):
        memory.store("k", 1, durable=True)


def test_a_durable_store_returns_when_it_is_written() -> None:
    archive = FlakyArchive()
    with open_memory(archive=archive) as memory:
        memory.store("k", 1, durable=True)
        assert archive.get(["k"])["k"].key == "k"
        memory.delete("k", durable=True)
        assert archive.get(["k"]) == {}


def test_a_durable_store_that_cannot_be_written_in_time_is_reported_and_written_later() -> None:
    archive = FlakyArchive()
    with open_memory(archive=archive, write_timeout=0.2) as memory:
        archive.away = True
        with pytest.raises(WriteTimeout, match="plug"):
            memory.store("k", 1, durable=True)
        assert memory.get("k") == 1
        archive.away = False
        eventually(lambda: archive.get(["k"]))


def test_a_durable_store_that_the_archive_cannot_take_raises_why() -> None:
    archive = FlakyArchive()
    archive.refuses = "bad"
    with open_memory(archive=archive) as memory:
        memory.store("good", 1)
        with pytest.raises(ValueError, match="does not want"):
            memory.store("bad", 1, durable=True)
        memory.flush()
        assert set(archive.get(["good", "bad"])) == {"good"}
        assert memory.metrics().tiers["long"].lost == 1


def test_while_the_archive_is_away_all_that_was_stored_is_found() -> None:
    archive = FlakyArchive()
    with open_memory(archive=archive, cache_size=2) as memory:
        for n in range(10):
            memory.store(f"alice/{n}", f"apple number {n}")
        archive.away = True
        memory.store("alice/new", "the newest apple")
        assert [memory.get(f"alice/{n}") for n in range(10)] == [f"apple number {n}" for n in range(10)]
        assert memory.recent("alice", 1)[0].key == "alice/new"
        assert len(memory.search("apple", limit=20)) == 11
        report = memory.maintain()
        assert "plug" in report.problem
        assert memory.metrics().maintenance_failures == 1
        assert memory.metrics().tiers["long"].records is None
        archive.away = False
        memory.flush()
        assert archive.count() == 11
        assert memory.maintain().problem == ""


def test_a_miss_that_only_the_absent_archive_could_tell_is_an_error_and_no_miss() -> None:
    archive = FlakyArchive()
    with open_memory(archive=archive) as memory:
        archive.away = True
        with pytest.raises(Exception, match="cannot be reached"):
            memory.get("who knows")
        archive.away = False


def test_a_full_queue_makes_a_store_wait_and_then_say_so() -> None:
    archive = FlakyArchive()
    archive.away = True
    with open_memory(archive=archive, queue_size=3, write_timeout=0.1) as memory:
        for n in range(3):
            memory.store(f"k{n}", n)
        with pytest.raises(WriteTimeout, match="not taken in"):
            memory.store("k3", 3)
        assert "k3" not in memory._store.queue._newest
        archive.away = False
        memory.store("k4", 4)
    assert archive.count() == 4


def test_closing_writes_the_remaining_changes_and_reports_failures() -> None:
    archive = FlakyArchive()
    memory = open_memory(archive=archive)
    memory.store("k", 1)
    memory.close()
    memory.close()
    assert archive.count() == 1
    memory = open_memory(archive=archive, write_timeout=0.1)
    archive.away = True
    memory.store("l", 1)
    with pytest.raises(WriteTimeout, match="1 memories were not written"):
        memory.close()


def test_a_closed_memory_raises_its_own_error(memory: TieredMemory) -> None:
    memory.store("k", 1)
    memory.close()
    for use in (
        lambda: memory.get("k"),
        lambda: memory.store("k", 1),
        lambda: memory.delete("k"),
        memory.recent,
        lambda: memory.search("k"),
        memory.maintain,
        memory.flush,
        lambda: memory.record("k"),
    ):
        with pytest.raises(MemoryClosed):
            use()


def test_a_reopened_memory_has_all_memories() -> None:
    archive, clock = FlakyArchive(), ManualClock()
    with open_memory(clock, archive=archive) as memory:
        first = memory.store("alice/k", "apple", importance=0.7)
    with open_memory(clock, archive=archive) as memory:
        assert memory.get("alice/k") == "apple"
        assert memory.store("alice/k", "pear").id == first.id
        assert memory.store("new", 1).version > first.version


def test_event_loops_have_the_same() -> None:
    async def use() -> None:
        with open_memory() as memory:
            await memory.astore("alice/k", "apple")
            assert await memory.aget("alice/k") == "apple"
            assert await memory.aget("missing", 7) == 7
            assert [hit.record.key for hit in await memory.asearch("apples")] == ["alice/k"]
            assert await memory.asearch("apples", kinds=["episode"]) == []
            await memory.aflush()
            await asyncio.gather(*(memory.astore(f"k{n}", n) for n in range(50)))
            assert await asyncio.gather(*(memory.aget(f"k{n}") for n in range(50))) == list(range(50))
            assert await memory.adelete("alice/k")
            with pytest.raises(InvalidMemory):
                await memory.astore("", 1)

    asyncio.run(use())


def test_a_server_that_goes_away_is_done_without_and_catches_up() -> None:
    short, archive = FlakyBackend(), FlakyArchive()
    with open_memory(archive=archive, short_term=short, cache_size=1) as memory:
        memory.store("a", 1)
        memory.flush()
        short.away = True
        memory.store("b", 2, durable=True)
        memory.store("a", 3, durable=True)
        assert (memory.get("a"), memory.get("b")) == (3, 2)
        eventually(lambda: memory.metrics().tiers["short"].away)
        short.away = False
        eventually(lambda: {"a", "b"} <= set(short._records))
        assert memory.get("a") == 3


def test_old_records_on_a_server_never_hide_newer_ones() -> None:
    short, archive, clock = FlakyBackend(), FlakyArchive(), ManualClock()
    with open_memory(clock, archive=archive, short_term=short) as memory:
        memory.store("k", "old")
        memory.store("lost", "only on the server")
        memory.flush()
        left = list(short._records.values())
        memory.store("k", "new", durable=True)
    # The server never got the newest, and what it has of another the archive has lost.
    short = FlakyBackend()
    short.write([Put(record) for record in left])
    archive._records.pop("lost")
    with open_memory(clock, archive=archive, short_term=short) as memory:
        assert memory.get("k") == "new"
        memory.maintain()
        assert "k" not in short._records
        assert memory.get("k") == "new"
        assert memory.get("lost") == "only on the server"
        assert "lost" in archive._records


def test_twenty_threads_store_two_thousand_memories() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with checked_locks() as violations, open_memory() as memory:
            run_together(*(lambda me=me: [memory.store(f"{me}/{n}", n) for n in range(100)] for me in range(20)))
            memory.flush()
            assert memory.records.archive.count() == 2_000
            assert memory.metrics().stores == 2_000
            assert len(memory.recent("7", 1_000)) == 100
        assert violations == []
    finally:
        sys.setswitchinterval(before)


def test_threads_that_fight_over_keys_agree_with_every_tier_in_the_end() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    archive, clock = FlakyArchive(), ManualClock()
    try:
        with open_memory(clock, archive=archive, cache_size=4, stm_ttl=1, im_ttl=1) as memory:

            def write(me: int) -> None:
                for n in range(150):
                    key = f"k{n % 7}"
                    if n % 11 == me:
                        memory.delete(key)
                    else:
                        memory.store(key, [me, n])
                    memory.get(f"k{(n + me) % 7}")

            def maintain() -> None:
                for _ in range(30):
                    clock.advance(2)
                    memory.maintain()

            run_together(*(lambda me=me: write(me) for me in range(4)), maintain)
            memory.flush()
            for n in range(7):
                kept = archive.get([f"k{n}"]).get(f"k{n}")
                value = memory.get(f"k{n}", MISSING)
                assert value is MISSING if kept is None else value == memory.records.value_of(kept)
                # Without the cache too.
                memory._store.cache.discard(f"k{n}")  # type: ignore[union-attr]
                assert memory.get(f"k{n}", MISSING) == value
            ids = [record.id for record in memory.recent(limit=100)]
            assert len(ids) == len(set(ids)) == archive.count()
    finally:
        sys.setswitchinterval(before)


def test_every_tier_counts_its_operations(memory: TieredMemory, clock: ManualClock) -> None:
    memory.store("a", 1)
    memory.store("b", 1, kind=MemoryKind.EPISODE)
    memory.get("a")
    memory.get("a")
    memory.get("missing")
    clock.advance(150)
    memory.maintain()
    metrics = memory.metrics()
    assert (metrics.stores, metrics.cache.hits, metrics.cache.misses) == (2, 1, 2)
    assert (metrics.promotions, metrics.maintenance_runs, metrics.maintenance_failures) == (2, 1, 0)
    assert {name: tier.records for name, tier in metrics.tiers.items()} == {"short": 0, "intermediate": 2, "long": 0}
    assert metrics.tiers["long"].misses == 1
    record = memory.record("a")
    assert record is not None
    assert record.tier is Tier.INTERMEDIATE


def test_maintenance_runs_by_itself_when_the_clock_is_moved() -> None:
    clock = ManualClock()
    with open_memory(clock, stm_ttl=100, maintenance_interval=60) as memory:
        memory.store("k", 1)
        clock.advance(59)
        assert memory.metrics().maintenance_runs == 0
        clock.advance(61)
        assert memory.metrics().maintenance_runs == 2
        record = memory.record("k")
        assert record is not None
        assert record.tier is Tier.INTERMEDIATE
