"""Memories that go without their handle's doing: by time, by maintenance, or deleted from below."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from coterie.errors import TierUnavailable, UnknownMemory
from coterie.memory import AgentMemory, TieredMemory
from coterie.testing import ManualClock
from tests.memory.stores import FlakyArchive, open_memory


@pytest.mark.parametrize("eviction", ["fifo", "age", "relevance"])
@pytest.mark.parametrize("maintained", [True, False])
def test_expired_episodes_take_no_place(eviction: str, maintained: bool) -> None:
    clock = ManualClock()
    with open_memory(clock) as memory:
        mind = AgentMemory(memory, "alice", max_episodes=10, eviction=eviction, consolidate_at=None, warn_at=2.0)
        for number in range(9):
            mind.remember(f"soon over {number}", ttl=60)
        mind.remember("stays", importance=1.0)
        clock.advance(60)
        if maintained:
            memory.maintain()
        assert len(mind) == mind.stats().episodes == len(mind.recent(100)) == 1
        for number in range(5):
            mind.remember(f"new {number}")
        assert len(mind) == len(mind.recent(100)) == 6
        counts = mind.stats()
        assert (counts.expired, counts.cleaned, counts.unconsolidated) == (9, 0, 6)


def test_episodes_that_expired_without_a_handle_are_not_counted_by_a_later_handle(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_memory(clock, path=tmp_path / "run.db") as memory:
        AgentMemory(memory, "alice").remember("soon over", ttl=60)
    with open_memory(clock, path=tmp_path / "run.db") as memory:
        mind = AgentMemory(memory, "alice")
        assert len(mind) == 1
        clock.advance(60)
        assert len(mind) == 0


def test_faded_memories_are_counted_as_gone() -> None:
    clock = ManualClock()
    with open_memory(clock, forget_below=0.9, stm_ttl=10, im_ttl=10) as memory:
        mind = AgentMemory(memory, "alice", consolidate_at=None)
        mind.remember("weak", importance=0.0)
        clock.advance(10)
        memory.maintain()
        clock.advance(10)
        assert memory.maintain().expired == 1
        assert len(mind) == len(mind.recent()) == 0
        assert mind.stats().expired == 1


def test_memories_deleted_from_the_store_are_gone_from_the_handle() -> None:
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", consolidate_at=None)
        kept, lost = mind.remember("kept"), mind.remember("lost")
        concluded = mind.learn("concluded", sources=[kept])
        memory.delete(f"alice/episode/{lost}")
        memory.delete(f"alice/semantic/{concluded}")
        counts = mind.stats()
        assert (counts.episodes, counts.semantic, counts.unconsolidated) == (1, 0, 1)
        with pytest.raises(UnknownMemory):
            mind.get(lost)
        # The next one has the newest that is left for its neighbour.
        mind.remember("after")
        assert mind.recall("kept", 2)[0].text == "kept"
        assert {each.text for each in mind.recall("kept", 5) if each.parts["text"] > 0} == {"kept", "after"}


def test_a_repeated_consolidation_is_counted_once() -> None:
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", consolidate_at=None)
        mind.remember("apples are red")
        (first,) = mind.consolidate(force=True).semantic
        mind.forget(first)
        (second,) = mind.consolidate(force=True).semantic
        assert (second, mind.stats().semantic) == (first, 1)


def test_memories_that_are_not_valid_yet_are_not_recalled() -> None:
    clock = ManualClock()
    with open_memory(clock) as memory:
        mind = AgentMemory(memory, "alice")
        mind.learn("Bob lives in Rome", valid_from=clock.time() + 100)
        assert mind.recall("where does Bob live?") == []
        assert len(mind.recall("where does Bob live?", valid_at=clock.time() + 100)) == 1
        clock.advance(100)
        assert len(mind.recall("where does Bob live?")) == 1


def test_a_callback_for_warnings_that_raises_is_logged_and_the_episode_kept(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("no more warnings")

    with open_memory() as memory:
        mind = AgentMemory(memory, "alice", max_episodes=2, on_warning=fail)
        for number in range(3):
            mind.remember(f"event {number}")
        assert len(mind) == 2
    assert "no more warnings" in caplog.text


def test_a_durable_episode_is_refused_where_nothing_is_durable() -> None:
    with open_memory() as memory:
        mind = AgentMemory(memory, "alice")
        with pytest.raises(ValueError, match="this store ends with the process"):
            mind.remember("hello", durable=True)
        assert len(mind) == 0


def test_a_handle_is_one_agents_for_good_and_gives_no_way_to_the_memories_of_others(memory: TieredMemory) -> None:
    AgentMemory(memory, "alice").remember("the key is under the mat")
    bob = AgentMemory(memory, "bob")
    with pytest.raises(AttributeError):
        bob.agent = "alice"  # type: ignore[misc]
    public = [getattr(bob, name) for name in dir(bob) if not name.startswith("_")]
    assert not any(isinstance(each, TieredMemory) for each in public)


@pytest.mark.parametrize(
    "name", ["alice/episode", "alice/", "alic", "ALICE", "alice ", "alice%", "al_ce", "a*", 'alice" OR "', "a'--"]
)
def test_no_name_and_no_id_reads_anothers_memories(memory: TieredMemory, name: str) -> None:
    alice, other = AgentMemory(memory, "alice"), AgentMemory(memory, name)
    secret, theirs = alice.remember("the key is under the mat"), other.remember("nothing to see")
    for handle, id_, owner in ((other, secret, "alice"), (alice, theirs, name)):
        for crafted in (id_, f"{owner}/episode/{id_}", f"../{owner}/episode/{id_}", f"episode/{id_}", f"../episode/{id_}"):
            for use in (handle.get, handle.explain, handle.forget, handle.invalidate):
                with pytest.raises(UnknownMemory):
                    use(crafted)
    assert [each.text for each in other.recall("key under the mat nothing")] == ["nothing to see"]
    assert [each.text for each in other.recent(100, kinds=["episode", "semantic", "value"])] == ["nothing to see"]


def test_a_handle_is_not_made_of_half_of_its_memories() -> None:
    archive = FlakyArchive()
    with open_memory(archive=archive) as memory:
        AgentMemory(memory, "alice").remember("kept")
        memory.flush()
    with open_memory(archive=archive) as memory:
        archive.away = True
        with pytest.raises(TierUnavailable):
            AgentMemory(memory, "alice")
        archive.away = False
    with open_memory(archive=archive) as memory:
        assert len(AgentMemory(memory, "alice")) == 1


@pytest.fixture
def memory() -> Iterator[TieredMemory]:
    with open_memory() as memory:
        yield memory
