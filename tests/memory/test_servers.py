"""The store over a real Redis and a real PostgreSQL, which come and go."""

import pytest

from coterie.errors import CoterieError, StorageError, TierUnavailable
from coterie.memory import AgentMemory, MemoryConfig, TieredMemory
from coterie.testing import ManualClock, eventually
from tests.servers import Postgres, Redis


def test_two_processes_share_short_term_memories_over_redis(redis_url: str) -> None:
    # Two stores with archives of their own are as two processes with files of their own.
    with TieredMemory(MemoryConfig(redis_url=redis_url)) as one, TieredMemory(MemoryConfig(redis_url=redis_url)) as other:
        one.store("alice/goal", {"text": "find work"})
        one.flush()
        assert other.get("alice/goal") == {"text": "find work"}


def test_memories_pass_through_the_tiers_of_a_redis(redis_url: str) -> None:
    clock = ManualClock()
    config = MemoryConfig(redis_url=redis_url, stm_ttl=10, im_ttl=10, maintenance_interval=None)
    with TieredMemory(config, clock=clock) as memory:
        for n in range(50):
            memory.store(f"k{n}", {"n": n, "text": "apple"})
        short, intermediate = (working.backend for working in memory._store.working)
        for expected in ((50, 0), (0, 50), (0, 0)):
            memory.flush()
            memory.maintain()
            assert (short.count(), intermediate.count()) == expected
            clock.advance(11)
            for n in range(50):
                memory._store.cache.discard(f"k{n}")  # type: ignore[union-attr]
            assert [memory.get(f"k{n}")["n"] for n in range(50)] == list(range(50))
            clock.advance(11)


@pytest.mark.timeout(120)
def test_a_redis_that_is_killed_costs_nothing_and_is_used_again_when_it_is_back(redis_server: Redis, redis_url: str) -> None:
    config = MemoryConfig(redis_url=redis_url, cache_size=2, maintenance_interval=None, write_timeout=10.0)
    with TieredMemory(config) as memory:
        for n in range(20):
            memory.store(f"k{n}", n)
        memory.flush()
        redis_server.kill()
        try:
            assert [memory.get(f"k{n}") for n in range(20)] == list(range(20))
            for n in range(20, 40):
                memory.store(f"k{n}", n)
            assert [memory.get(f"k{n}") for n in range(40)] == list(range(40))
            eventually(lambda: memory.metrics().tiers["short"].away)
        finally:
            redis_server.start()
        short = memory._store.working[0].backend
        eventually(lambda: not memory._store.working[0].queue or not len(memory._store.working[0].queue), timeout=20)
        assert {f"k{n}" for n in range(20, 40)} <= {record.key for record in short.scan(limit=100)}
        assert [memory.get(f"k{n}") for n in range(40)] == list(range(40))


@pytest.mark.timeout(120)
def test_a_killed_postgres_keeps_durable_memories_and_gets_the_others_later(
    postgres_server: Postgres, postgres_url: str
) -> None:
    config = MemoryConfig(postgres_url=postgres_url, cache_size=100, maintenance_interval=None, write_timeout=2.0)
    with TieredMemory(config) as memory:
        mind = AgentMemory(memory, "alice", consolidate_at=None)
        memory.store("durable", 1, durable=True)
        mind.remember("Bob lent me coins", durable=True)
        assert mind.recall("coins", 1)[0].text == "Bob lent me coins"
        postgres_server.kill()
        try:
            memory.store("later", 2)
            assert memory.get("later") == 2
            with pytest.raises(CoterieError):
                memory.store("now", 3, durable=True)
            assert memory.get("durable") == 1
            assert mind.recall("coins", 1)[0].text == "Bob lent me coins"
        finally:
            postgres_server.start()
        eventually(lambda: not len(memory._store.queue), timeout=30)
        assert memory.get("now") == 3
    with TieredMemory(config) as memory:
        assert [memory.get(key) for key in ("durable", "later", "now")] == [1, 2, 3]


def test_a_server_that_cannot_be_reached_at_all_is_said_to_be_so() -> None:
    with pytest.raises((TierUnavailable, StorageError), match=r"127\.0\.0\.1|reached"):
        TieredMemory(MemoryConfig(postgres_url="postgresql://nobody@127.0.0.1:9/none"))
    with TieredMemory(MemoryConfig(redis_url="redis://127.0.0.1:9", maintenance_interval=None)) as memory:
        memory.store("k", 1)
        assert memory.get("k") == 1
        memory.delete("k")
        assert memory.get("k") is None
