"""Writing behind: order, priority, flushing, and a tier that is away."""

import sys
import threading
from collections.abc import Iterator

import pytest

from coterie.errors import TierUnavailable, WriteTimeout
from coterie.kernel import stream
from coterie.memory import Delete, MemoryRecord, Put
from coterie.memory.tiers.keys import KeyFilter
from coterie.memory.writing.access import TierAccess
from coterie.memory.writing.pending import MemoryPriority, WriteCompletion, key_of_change
from coterie.memory.writing.workers import PriorityWorkers
from coterie.memory.writing.write_behind import WriteBehindQueue
from coterie.testing import Together, eventually, run_together
from tests.memory.stores import FlakyArchive


def put(key: str, version: int) -> Put:
    return Put(MemoryRecord(key, key, version, b"\xc0"))


@pytest.fixture
def archive() -> FlakyArchive:
    return FlakyArchive()


@pytest.fixture
def queue(archive: FlakyArchive) -> Iterator[WriteBehindQueue]:
    """A queue that has not begun to write."""
    queue = WriteBehindQueue(TierAccess("long", archive), archive.write, capacity=100, batch=10)
    yield queue
    archive.away = False
    if queue._thread is None:
        queue.start()
    queue.close(10.0)


def test_of_two_changes_of_a_key_only_the_later_is_written(queue: WriteBehindQueue, archive: FlakyArchive) -> None:
    waiter = WriteCompletion()
    queue.put(put("k", 1), waiter=waiter)
    queue.put(put("k", 2))
    queue.put(Delete("k", 3))
    queue.put(put("k", 4))
    assert len(queue) == 1
    assert queue.pending("k") == put("k", 4)
    queue.start()
    assert waiter.wait(10)
    assert archive.get(["k"])["k"].version == 4
    assert archive.batches == [1]
    eventually(lambda: queue.pending("k") is None)


def test_urgent_changes_are_written_first_and_others_in_their_order(queue: WriteBehindQueue, archive: FlakyArchive) -> None:
    written: list[str] = []
    write = archive.write
    queue._write = lambda changes: (written.extend(map(key_of_change, changes)), write(changes))[1]
    for n in range(15):
        queue.put(put(f"low{n:02}", n + 1), MemoryPriority.LOW)
        queue.put(put(f"normal{n:02}", n + 1))
    queue.put(put("low14", 99), MemoryPriority.HIGH)
    queue.start()
    queue.flush(10.0)
    assert written == ["low14", *(f"normal{n:02}" for n in range(15)), *(f"low{n:02}" for n in range(14))]


def test_a_flush_waits_for_earlier_changes_and_not_for_later_ones(queue: WriteBehindQueue, archive: FlakyArchive) -> None:
    gate, entered = threading.Event(), threading.Event()
    write = archive.write

    def slow(changes: list[Put]) -> list[bool]:
        entered.set()
        assert gate.wait(10)
        return write(changes)

    queue._write = slow  # type: ignore[assignment]
    queue.start()
    queue.put(put("a", 1))
    assert entered.wait(10)
    # It supersedes what is being written, and both are before the flush.
    queue.put(put("a", 2))
    flush = Together(lambda: queue.flush(10.0))
    eventually(lambda: queue._flushes)
    gate.set()
    flush.join()
    assert archive.get(["a"])["a"].version == 2


def test_while_a_tier_is_away_changes_wait_and_merge_and_all_are_written_when_it_is_back(
    queue: WriteBehindQueue, archive: FlakyArchive
) -> None:
    archive.away = True
    queue.start()
    for n in range(30):
        queue.put(put(f"k{n % 7}", n + 1))
        queue.touch(f"k{n % 7}", 1, float(n))
    with pytest.raises(TierUnavailable, match="plug"):
        queue.flush(10.0, patient=False)
    with pytest.raises(WriteTimeout, match="plug"):
        queue.flush(0.05)
    assert [change.version for change in sorted(queue.pending_records(), key=lambda each: each.version)] == list(range(24, 31))
    archive.away = False
    queue.flush(10.0)
    assert len(queue) == 0
    assert {key: record.version for key, record in archive._records.items()} == {f"k{n % 7}": n + 1 for n in range(23, 30)}
    assert sum(record.access_count for record in archive._records.values()) == 30


def test_counts_of_reads_are_written_together_and_only_when_asked_for(queue: WriteBehindQueue, archive: FlakyArchive) -> None:
    queue.start()
    queue.put(put("k", 1))
    for n in range(5):
        queue.touch("k", 1, float(n))
    queue.flush(10.0, touches=False)
    assert archive.get(["k"])["k"].access_count == 0
    queue.flush(10.0)
    assert (archive.get(["k"])["k"].access_count, archive.get(["k"])["k"].last_access) == (5, 4.0)


def test_a_rejected_change_is_given_up_and_reported_and_the_others_are_written(
    queue: WriteBehindQueue, archive: FlakyArchive
) -> None:
    archive.refuses = "bad"
    waiters = {key: WriteCompletion() for key in ("a", "bad", "b")}
    for version, (key, waiter) in enumerate(waiters.items(), start=1):
        queue.put(put(key, version), waiter=waiter)
    queue.start()
    assert all(waiter.wait(10) for waiter in waiters.values())
    assert [type(waiter.error) for waiter in waiters.values()] == [type(None), ValueError, type(None)]
    assert queue.lost == 1
    assert set(archive._records) == {"a", "b"}


@pytest.mark.timeout(120)
def test_whatever_fails_in_between_every_flush_ends_and_the_newest_of_each_key_is_written(archive: FlakyArchive) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        queue = WriteBehindQueue(TierAccess("long", archive), archive.write, capacity=50, batch=7)
        queue.start()
        stop = threading.Event()

        def trouble() -> None:
            random = stream(1)
            while not stop.is_set():
                archive.away = random.random() < 0.3
                stop.wait(0.002)
            archive.away = False

        def write(me: int) -> None:
            for n in range(200):
                queue.wait_for_room(30.0)
                queue.put(put(f"{me}/{n % 5}", n + 1), MemoryPriority(n % 3))
                queue.touch(f"{me}/{n % 5}", 1, 0.0)
                if n % 20 == 0:
                    queue.flush(30.0)

        troubles = Together(trouble)
        run_together(*(lambda me=me: write(me) for me in range(4)), timeout=90.0)
        stop.set()
        troubles.join()
        queue.flush(30.0)
        assert {key: record.version for key, record in archive._records.items()} == {
            f"{me}/{n % 5}": n + 1 for me in range(4) for n in range(195, 200)
        }
        assert len(queue) == 0
        assert queue.close(5.0) == 0
    finally:
        sys.setswitchinterval(before)


def test_workers_do_the_most_urgent_first_and_pass_on_errors() -> None:
    workers = PriorityWorkers("test", 1)
    gate, done = threading.Event(), list[str]()
    first = workers.submit(lambda: gate.wait(10))
    rest = [
        workers.submit(lambda name=name: done.append(name), priority)  # type: ignore[misc]
        for name, priority in (("low", MemoryPriority.LOW), ("normal", MemoryPriority.NORMAL), ("high", MemoryPriority.HIGH))
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
