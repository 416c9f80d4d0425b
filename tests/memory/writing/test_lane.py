"""Writing behind: order, urgency, flushing, and a tier that is away."""

import sys
import threading
from collections.abc import Iterator

import pytest

from coterie.errors import TierUnavailable, WriteTimeout
from coterie.kernel import stream
from coterie.memory import Delete, MemoryRecord, Put
from coterie.memory.tiers.key_filter import KeyFilter
from coterie.memory.writing.access import TierAccess
from coterie.memory.writing.lane import WriteLane
from coterie.memory.writing.waiting import MemoryPriority, Written
from coterie.memory.writing.workers import PriorityWorkers
from coterie.testing import Together, eventually, run_together
from tests.memory.stores import FlakyArchive


def put(key: str, version: int) -> Put:
    return Put(MemoryRecord(key, key, version, b"\xc0"))


@pytest.fixture
def archive() -> FlakyArchive:
    return FlakyArchive()


@pytest.fixture
def lane(archive: FlakyArchive) -> Iterator[WriteLane]:
    """A lane that has not begun to write."""
    lane = WriteLane(TierAccess("long", archive), archive.write, capacity=100, batch=10)
    yield lane
    archive.away = False
    if lane._thread is None:
        lane.start()
    lane.close(10.0)


def test_of_two_changes_of_a_key_only_the_later_is_written(lane: WriteLane, archive: FlakyArchive) -> None:
    waiter = Written()
    lane.put(put("k", 1), waiter=waiter)
    lane.put(put("k", 2))
    lane.put(Delete("k", 3))
    lane.put(put("k", 4))
    assert len(lane) == 1
    assert lane.pending("k") == put("k", 4)
    lane.start()
    assert waiter.wait(10)
    assert archive.get(["k"])["k"].version == 4
    assert archive.batches == [1]
    eventually(lambda: lane.pending("k") is None)


def test_what_is_urgent_is_written_first_and_the_rest_in_its_order(lane: WriteLane, archive: FlakyArchive) -> None:
    written: list[str] = []
    write = archive.write
    lane._write = lambda changes: (written.extend(each.record.key for each in changes), write(changes))[1]
    for n in range(15):
        lane.put(put(f"low{n:02}", n + 1), MemoryPriority.LOW)
        lane.put(put(f"normal{n:02}", n + 1))
    lane.put(put("low14", 99), MemoryPriority.HIGH)
    lane.start()
    lane.flush(10.0)
    assert written == ["low14", *(f"normal{n:02}" for n in range(15)), *(f"low{n:02}" for n in range(14))]


def test_a_flush_waits_for_what_came_before_and_not_for_what_comes_after(lane: WriteLane, archive: FlakyArchive) -> None:
    gate, entered = threading.Event(), threading.Event()
    write = archive.write

    def slow(changes: list[Put]) -> list[bool]:
        entered.set()
        assert gate.wait(10)
        return write(changes)

    lane._write = slow  # type: ignore[assignment]
    lane.start()
    lane.put(put("a", 1))
    assert entered.wait(10)
    # It supersedes what is being written, and both are before the flush.
    lane.put(put("a", 2))
    flush = Together(lambda: lane.flush(10.0))
    eventually(lambda: lane._flushes)
    gate.set()
    flush.join()
    assert archive.get(["a"])["a"].version == 2


def test_while_a_tier_is_away_changes_wait_and_merge_and_all_are_written_when_it_is_back(
    lane: WriteLane, archive: FlakyArchive
) -> None:
    archive.away = True
    lane.start()
    for n in range(30):
        lane.put(put(f"k{n % 7}", n + 1))
        lane.touch(f"k{n % 7}", 1, float(n))
    with pytest.raises(TierUnavailable, match="plug"):
        lane.flush(10.0, patient=False)
    with pytest.raises(WriteTimeout, match="plug"):
        lane.flush(0.05)
    assert [change.version for change in sorted(lane.pending_records(), key=lambda each: each.version)] == list(range(24, 31))
    archive.away = False
    lane.flush(10.0)
    assert len(lane) == 0
    assert {key: record.version for key, record in archive._records.items()} == {f"k{n % 7}": n + 1 for n in range(23, 30)}
    assert sum(record.access_count for record in archive._records.values()) == 30


def test_counts_of_reads_are_written_together_and_only_when_asked_for(lane: WriteLane, archive: FlakyArchive) -> None:
    lane.start()
    lane.put(put("k", 1))
    for n in range(5):
        lane.touch("k", 1, float(n))
    lane.flush(10.0, touches=False)
    assert archive.get(["k"])["k"].access_count == 0
    lane.flush(10.0)
    assert (archive.get(["k"])["k"].access_count, archive.get(["k"])["k"].last_access) == (5, 4.0)


def test_what_cannot_be_written_is_given_up_and_told_and_the_rest_is_written(lane: WriteLane, archive: FlakyArchive) -> None:
    archive.refuses = "bad"
    waiters = {key: Written() for key in ("a", "bad", "b")}
    for version, (key, waiter) in enumerate(waiters.items(), start=1):
        lane.put(put(key, version), waiter=waiter)
    lane.start()
    assert all(waiter.wait(10) for waiter in waiters.values())
    assert [type(waiter.error) for waiter in waiters.values()] == [type(None), ValueError, type(None)]
    assert lane.lost == 1
    assert set(archive._records) == {"a", "b"}


@pytest.mark.timeout(120)
def test_whatever_fails_in_between_every_flush_ends_and_the_newest_of_each_key_is_written(archive: FlakyArchive) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        lane = WriteLane(TierAccess("long", archive), archive.write, capacity=50, batch=7)
        lane.start()
        stop = threading.Event()

        def trouble() -> None:
            random = stream(1)
            while not stop.is_set():
                archive.away = random.random() < 0.3
                stop.wait(0.002)
            archive.away = False

        def write(me: int) -> None:
            for n in range(200):
                lane.wait_for_room(30.0)
                lane.put(put(f"{me}/{n % 5}", n + 1), MemoryPriority(n % 3))
                lane.touch(f"{me}/{n % 5}", 1, 0.0)
                if n % 20 == 0:
                    lane.flush(30.0)

        troubles = Together(trouble)
        run_together(*(lambda me=me: write(me) for me in range(4)), timeout=90.0)
        stop.set()
        troubles.join()
        lane.flush(30.0)
        assert {key: record.version for key, record in archive._records.items()} == {
            f"{me}/{n % 5}": n + 1 for me in range(4) for n in range(195, 200)
        }
        assert len(lane) == 0
        assert lane.close(5.0) == 0
    finally:
        sys.setswitchinterval(before)


def test_workers_do_the_most_urgent_first_and_hand_over_what_is_raised() -> None:
    workers = PriorityWorkers("test", 1)
    gate, done = threading.Event(), list[str]()
    first = workers.submit(lambda: gate.wait(10))
    rest = [
        workers.submit(lambda name=name: done.append(name), urgency)  # type: ignore[misc]
        for name, urgency in (("low", MemoryPriority.LOW), ("normal", MemoryPriority.NORMAL), ("high", MemoryPriority.HIGH))
    ]
    broken = workers.submit(lambda: 1 / 0, MemoryPriority.LOW)
    eventually(lambda: len(workers) == 4)
    gate.set()
    assert first.result(10)
    for each in rest:
        each.result(10)
    assert done == ["high", "normal", "low"]
    assert isinstance(broken.exception(10), ZeroDivisionError)
    workers.close(5.0)


def test_a_key_that_was_added_is_never_said_to_be_new_and_few_others_are_said_to_be_known() -> None:
    keys = KeyFilter()
    for n in range(300_000):
        keys.note(f"key{n}")
    assert all(f"key{n}" in keys for n in range(0, 300_000, 97))
    assert sum(f"other{n}" in keys for n in range(10_000)) < 1_000
