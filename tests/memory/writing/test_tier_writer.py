"""Changes that somebody waits for, which the tier's own writer takes when its turn comes."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from coterie.errors import StorageFull, TierUnavailable
from coterie.errors.storage import StatementFailed
from coterie.memory import Delete, MemoryConfig, MemoryRecord, Put, TieredMemory
from coterie.memory.contract import ArchiveChange
from coterie.memory.writing.access import TierAccess
from coterie.memory.writing.pending import WriteCompletion
from coterie.memory.writing.write_behind import WriteBehindQueue
from coterie.storage import Transaction
from coterie.testing import eventually, run_together
from tests.memory.stores import FlakyArchive


class ScriptedWriter:
    """A tier's writer that comes, and ends, when a test says so."""

    def __init__(self, archive: FlakyArchive) -> None:
        self.archive = archive
        self.asked: list[tuple[Callable[[], Sequence[ArchiveChange]], Callable[[BaseException | None], object]]] = []
        self.refuses = False

    def soon(self, take: Callable[[], Sequence[ArchiveChange]], ended: Callable[[BaseException | None], object]) -> None:
        if self.refuses:
            raise TierUnavailable("the database", "its queue is full")
        self.asked.append((take, ended))

    def come(self) -> tuple[list[ArchiveChange], Callable[[BaseException | None], object]]:
        """Take what waits, and return it with what is to be called in the end."""
        take, ended = self.asked.pop(0)
        return list(take()), ended

    def come_and_write(self) -> list[ArchiveChange]:
        changes, ended = self.come()
        self.archive.write(changes)
        ended(None)
        return changes


@pytest.fixture
def archive() -> FlakyArchive:
    return FlakyArchive()


@pytest.fixture
def writer(archive: FlakyArchive) -> ScriptedWriter:
    return ScriptedWriter(archive)


@pytest.fixture
def queue(archive: FlakyArchive, writer: ScriptedWriter) -> Iterator[WriteBehindQueue]:
    """A queue whose own thread has not begun to write."""
    queue = WriteBehindQueue(TierAccess("long", archive), archive.write, capacity=100, batch=10, write_soon=writer.soon)
    yield queue
    if queue._thread is None:
        queue.start()
    assert queue.close(10.0) == 0


def put(key: str, version: int) -> Put:
    return Put(MemoryRecord(key, key, version, b"\xc0"))


def test_waiting_changes_are_written_at_once_together_with_the_others(queue: WriteBehindQueue, writer: ScriptedWriter) -> None:
    queue.put(put("quiet", 1))
    waiters = [WriteCompletion() for _ in range(3)]
    for number, waiter in enumerate(waiters):
        queue.put(put(f"k{number}", number + 2), waiter=waiter)
    assert len(writer.asked) == 1
    assert len(writer.come_and_write()) == 4
    assert all(waiter.wait(0) for waiter in waiters)
    assert len(queue) == 0


def test_changes_that_arrive_during_a_write_are_in_the_next_one(queue: WriteBehindQueue, writer: ScriptedWriter) -> None:
    first, second = WriteCompletion(), WriteCompletion()
    queue.put(put("k", 1), waiter=first)
    changes, ended = writer.come()
    queue.put(put("k", 2), waiter=second)
    assert queue.pending("k") == put("k", 2)
    writer.archive.write(changes)
    ended(None)
    assert (first.wait(0), second.wait(0)) == (True, False)
    assert queue.pending("k") == put("k", 2)
    writer.come_and_write()
    assert second.wait(0)
    assert queue.pending("k") is None


def test_a_flush_waits_for_the_changes_of_the_tiers_writer(
    queue: WriteBehindQueue, writer: ScriptedWriter, archive: FlakyArchive
) -> None:
    queue.start()
    queue.put(put("k", 1), waiter=WriteCompletion())
    changes, ended = writer.come()
    with pytest.raises(TimeoutError):
        queue.flush(0.05)
    # The queue's own thread leaves alone what comes meanwhile, or a deletion could be overtaken by what it deletes.
    queue.put(Delete("k", 2))
    with pytest.raises(TimeoutError):
        queue.flush(0.05)
    assert archive.batches == []
    archive.write(changes)
    ended(None)
    queue.flush(10)
    assert archive.get(["k"]) == {}


def test_it_takes_nothing_while_the_lanes_own_thread_writes(queue: WriteBehindQueue, writer: ScriptedWriter) -> None:
    queue.put(put("k", 1))
    assert [item.change for item in queue._take()] == [put("k", 1)]
    queue.put(Delete("k", 2), waiter=WriteCompletion())
    assert writer.asked == []
    queue._finish(queue._writing)


def test_the_queue_writes_changes_that_the_tiers_writer_could_not_write(
    queue: WriteBehindQueue, writer: ScriptedWriter, archive: FlakyArchive
) -> None:
    waiter = WriteCompletion()
    queue.put(put("k", 1), waiter=waiter)
    _, ended = writer.come()
    ended(TierUnavailable("the database", "it went away"))
    assert not waiter.wait(0)
    # As long as that is not mended it is not asked.
    queue.put(put("other", 2), waiter=WriteCompletion())
    assert writer.asked == []
    queue.start()
    assert waiter.wait(10)
    queue.flush(10)
    assert set(archive.get(["k", "other"])) == {"k", "other"}
    queue.put(put("third", 3), waiter=WriteCompletion())
    assert len(writer.come_and_write()) == 1


def test_a_writer_that_cannot_be_asked_is_done_without(
    queue: WriteBehindQueue, writer: ScriptedWriter, archive: FlakyArchive
) -> None:
    writer.refuses = True
    waiter = WriteCompletion()
    queue.put(put("k", 1), waiter=waiter)
    queue.start()
    assert waiter.wait(10)
    assert set(archive.get(["k"])) == {"k"}


def test_an_earlier_change_that_failed_does_not_undo_a_later_that_was_written(
    queue: WriteBehindQueue, writer: ScriptedWriter
) -> None:
    first, second = WriteCompletion(), WriteCompletion()
    queue.put(put("k", 1), waiter=first)
    _, first_ended = writer.come()
    queue.put(Delete("k", 2), waiter=second)
    changes, second_ended = writer.come()
    # One that fails alone, in a group whose others are committed.
    first_ended(StatementFailed("run.db", "no", "INSERT"))
    assert not first.wait(0)
    writer.archive.write(changes)
    second_ended(None)
    assert (first.wait(0), second.wait(0)) == (True, True)
    queue.start()
    queue.flush(10)
    assert writer.archive.get(["k"]) == {}


def test_a_group_that_is_undone_is_written_again_and_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TieredMemory(MemoryConfig(path=tmp_path / "run.db", maintenance_interval=None)) as memory:
        archive = memory.records.archive
        write = archive._write  # type: ignore[attr-defined]
        tried: list[int] = []

        def full_at_first(transaction: Transaction, changes: Sequence[ArchiveChange], newest: int) -> list[bool]:
            tried.append(len(changes))
            if len(tried) == 1:
                raise StorageFull(tmp_path, "no room")
            done: list[bool] = write(transaction, changes, newest)
            return done

        monkeypatch.setattr(archive, "_write", full_at_first)
        memory.store("k", 1, durable=True)
        assert len(tried) > 1
        assert archive.get(["k"])["k"].value == b"\x01"
        eventually(lambda: memory.metrics().tiers["long"].waiting == 0)


@pytest.mark.stress
def test_durable_and_other_changes_of_the_same_keys_end_as_the_last_of_each(tmp_path: Path) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with TieredMemory(MemoryConfig(path=tmp_path / "run.db", maintenance_interval=None)) as memory:
            keys = [f"k{number}" for number in range(4)]

            def change(thread: int) -> None:
                for number in range(60):
                    key = keys[(thread + number) % 4]
                    if number % 7 == 3:
                        memory.delete(key, durable=thread % 2 == 0)
                    else:
                        memory.store(key, (thread, number), durable=(thread + number) % 3 == 0)

            run_together(*(lambda thread=thread: change(thread) for thread in range(8)), timeout=120.0)
            held = {key: memory.get(key) for key in keys}
            memory.flush()
        with TieredMemory(MemoryConfig(path=tmp_path / "run.db", maintenance_interval=None)) as memory:
            assert {key: memory.get(key) for key in keys} == held
    finally:
        sys.setswitchinterval(before)
