"""Moving between tiers: whatever instant it is interrupted, a memory is there, and found once."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from coterie.memory import MemoryRecord, Put, Tier, TieredMemory
from coterie.memory.backends.in_process import InProcessBackend
from coterie.memory.contract import ArchiveChange, Change
from coterie.testing import ManualClock, Together
from tests.memory.stores import FlakyArchive, FlakyBackend, open_memory


class Killed(BaseException):
    """The process ends here."""


class Steps:
    """Counts the steps of all backends, and ends the process before one of them."""

    def __init__(self) -> None:
        self.left: int | None = None

    def step(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


class SteppedArchive(FlakyArchive):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def write(self, changes: Sequence[ArchiveChange]) -> list[bool]:
        self.steps.step()
        return super().write(changes)


class SteppedBackend(FlakyBackend):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def write(self, changes: Sequence[Change]) -> list[bool]:
        done = []
        for change in changes:
            self.steps.step()
            done += super().write([change])
        return done

    def get(self, keys: Sequence[str]) -> dict[str, Any]:
        self.steps.step()
        return super().get(keys)


@pytest.mark.parametrize("instant", range(14))
def test_a_process_that_is_killed_in_the_middle_of_a_move_leaves_every_memory_found_once(instant: int) -> None:
    steps, clock = Steps(), ManualClock()
    archive, short, intermediate = SteppedArchive(steps), SteppedBackend(steps), SteppedBackend(steps)

    def opened() -> TieredMemory:
        return open_memory(
            clock, archive=archive, short_term=short, intermediate=intermediate, stm_ttl=10, im_ttl=10, compression=False
        )

    memory = opened()
    for n in range(3):
        memory.store(f"a/{n}", f"apple {n}")
    memory.flush()
    memory.maintain()
    clock.advance(11)
    steps.left = instant
    with suppress(Killed):
        memory.maintain()
    steps.left = None
    # Nothing of the first process goes on: its threads have nothing to do.
    with opened() as again:
        for _ in range(3):
            assert [again.get(f"a/{n}") for n in range(3)] == [f"apple {n}" for n in range(3)]
            assert sorted(record.key for record in again.recent("a")) == ["a/0", "a/1", "a/2"]
            assert sorted(hit.record.key for hit in again.search("apples")) == ["a/0", "a/1", "a/2"]
            clock.advance(11)
            again.maintain()
        assert all(record.tier is Tier.LONG for record in again.recent("a"))
        assert short.count() == intermediate.count() == 0
    memory.close()


class PausingBackend(InProcessBackend):
    """Lets a test do something in the middle of a copy."""

    meanwhile: Any = None

    def write(self, changes: Sequence[Change]) -> list[bool]:
        if self.meanwhile is not None and any(isinstance(change, Put) for change in changes):
            call, self.meanwhile = self.meanwhile, None
            call()
        return super().write(changes)


@pytest.mark.parametrize("what", ["store", "delete"])
def test_a_writer_of_a_memory_that_is_being_moved_waits_and_wins(what: str) -> None:
    clock, intermediate = ManualClock(), PausingBackend()
    with open_memory(clock, intermediate=intermediate, stm_ttl=10) as memory:
        memory.store("k", "old")
        clock.advance(11)
        writers: list[Together] = []

        def meanwhile() -> None:
            write = (lambda: memory.store("k", "new")) if what == "store" else (lambda: memory.delete("k"))
            writers.append(Together(write))
            # Others do not wait.
            memory.store("other", 1)
            assert memory.get("k") == "old"

        intermediate.meanwhile = meanwhile
        assert memory.maintain().promoted == 1
        writers[0].join()
        expected = "new" if what == "store" else None
        assert memory.get("k") == expected
        memory._store.cache.discard("k")  # type: ignore[union-attr]
        assert memory.get("k") == expected
        assert intermediate.get(["k"]) == {}


def test_a_memory_that_another_process_has_changed_is_not_moved() -> None:
    clock, archive = ManualClock(), FlakyArchive()
    with open_memory(clock, archive=archive, stm_ttl=10) as memory:
        memory.store("k", "mine")
        memory.flush()
        clock.advance(11)
        due = archive.due

        def changed(*arguments: Any) -> Any:
            found: list[MemoryRecord] = due(*arguments)
            archive.write([Put(replace(each, version=2**60)) for each in found])
            return found

        archive.due = changed  # type: ignore[assignment,method-assign]
        report = memory.maintain()
        assert (report.promoted, report.skipped) == (0, 1)
        assert archive.get(["k"])["k"].version == 2**60
        assert memory._store.working[1].backend.get(["k"]) == {}


def test_a_full_tier_moves_its_oldest_memories_on() -> None:
    clock = ManualClock()
    with open_memory(clock, stm_size=3, im_size=2) as memory:
        for n in range(8):
            memory.store(f"k{n}", n)
            clock.advance(1)
        memory.maintain()
        memory.maintain()
        tiers = [record.tier for record in sorted(memory.recent(limit=10), key=lambda record: record.created)]
        assert tiers == [Tier.LONG] * 3 + [Tier.INTERMEDIATE] * 2 + [Tier.SHORT] * 3


def test_faded_memories_expire_by_a_recorded_decision() -> None:
    clock = ManualClock()
    with open_memory(clock, stm_ttl=10, im_ttl=10, forget_below=0.5) as memory:
        memory.store("weak", 1, importance=0.0)
        memory.store("strong", 1, importance=1.0)
        for _ in range(2):
            clock.advance(30 * 86_400)
            memory.maintain()
        assert memory.get("weak") is None
        assert memory.get("strong") == 1
        assert [each.action for each in memory.decisions("weak")] == ["expired", "promoted"]
        assert [each.action for each in memory.decisions("strong")] == ["promoted", "promoted"]
        assert memory.metrics().expirations == 1


def test_frequently_read_memories_come_back_to_the_short_term_tier() -> None:
    clock = ManualClock()
    with open_memory(clock, stm_ttl=10, im_ttl=10, busy_uses=3) as memory:
        memory.store("k", 1)
        for _ in range(2):
            clock.advance(20)
            memory.maintain()
        for _ in range(3):
            memory.get("k")
        assert memory.maintain().demoted == 1
        record = memory.record("k")
        assert record is not None
        assert record.tier is Tier.SHORT
        assert memory._store.working[0].backend.get(["k"])["k"].version == record.version


@given(
    st.lists(
        st.tuples(st.sampled_from(["store", "delete", "get", "advance", "maintain", "ttl"]), st.integers(0, 3)), max_size=40
    )
)
def test_after_any_operations_the_store_equals_a_dictionary(steps: list[tuple[str, int]]) -> None:
    clock = ManualClock()
    with open_memory(clock, stm_ttl=10, im_ttl=20, cache_size=2) as memory:
        model: dict[str, tuple[int, float | None]] = {}
        for number, (step, name) in enumerate(steps):
            key = f"k{name}"
            model = {each: held for each, held in model.items() if held[1] is None or held[1] > clock.time()}
            match step:
                case "store":
                    memory.store(key, number)
                    model[key] = (number, None)
                case "ttl":
                    memory.store(key, number, ttl=15)
                    model[key] = (number, clock.time() + 15)
                case "delete":
                    assert memory.delete(key) == (model.pop(key, None) is not None)
                case "advance":
                    clock.advance(4 * (name + 1))
                case "maintain":
                    memory.maintain()
                case _:
                    assert memory.get(key, "none") == model.get(key, ("none", None))[0]
        now = clock.time()
        alive = {each: held[0] for each, held in model.items() if held[1] is None or held[1] > now}
        assert {record.key: memory.records.value_of(record) for record in memory.recent(limit=99)} == alive
