"""Files that are damaged, taken or unreachable: a clear error each, and nothing lost."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from coterie.concurrency import start_thread
from coterie.errors import (
    InvalidSetting,
    MemoryClosed,
    StorageCorrupt,
    StorageError,
    StorageLocked,
    StorageUnavailable,
    TierUnavailable,
    WriteTimeout,
)
from coterie.errors.memory import MemoryForked
from coterie.memory import MemoryConfig, TieredMemory
from coterie.memory.backends import opening
from coterie.storage import open_database
from coterie.testing import eventually
from tests.memory.stores import FlakyArchive, open_memory

HOLD = """
import sys
from coterie.memory import MemoryConfig, TieredMemory
with TieredMemory(MemoryConfig(path=sys.argv[1])) as memory:
    memory.store("k", 1, durable=True)
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_file_that_is_not_a_database_is_refused_and_stays_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(b"this is no database, and never was one" * 100)
    with pytest.raises(StorageCorrupt, match=r"run\.db"):
        TieredMemory(MemoryConfig(path=path))
    assert path.read_bytes().startswith(b"this is no database")


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "x" / "run.db"):
        try:
            TieredMemory(MemoryConfig(path=path)).close()
        except StorageError as error:
            assert str(path) in str(error)  # noqa: PT017 - it may also make the folders


def test_a_second_process_is_refused_while_the_first_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - our own
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(StorageLocked, match=r"run\.db"):
            TieredMemory(MemoryConfig(path=path))
        child.communicate("done\n", timeout=20)
    with TieredMemory(MemoryConfig(path=path)) as memory:
        assert memory.get("k") == 1


def test_opened_backends_are_closed_when_another_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    open_archive = opening.open_archive

    def watched(config: MemoryConfig) -> Any:
        archive = open_archive(config)
        close = archive.close
        monkeypatch.setattr(archive, "close", lambda: (closed.append(True), close()))
        return archive

    def refuse(_: MemoryConfig) -> Any:
        raise InvalidSetting("redis_url", "redis://x", "a test does not want it")

    monkeypatch.setattr(opening, "open_archive", watched)
    monkeypatch.setattr(opening, "open_intermediate", refuse)
    with pytest.raises(InvalidSetting):
        TieredMemory(MemoryConfig(path=tmp_path / "run.db"))
    assert closed == [True]


def test_memories_of_a_file_are_there_again_with_their_words_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with TieredMemory(MemoryConfig(path=path)) as memory:
        first = memory.store("alice/goal", {"text": "find work"}, importance=0.8)
        memory.get("alice/goal")
    with TieredMemory(MemoryConfig(path=path)) as memory:
        assert memory.get("alice/goal") == {"text": "find work"}
        record = memory.record("alice/goal")
        assert record is not None
        assert (record.id, record.created, record.importance) == (first.id, first.created, 0.8)
        assert record.access_count == 2
        assert [hit.record.key for hit in memory.search("working")] == ["alice/goal"]


def test_a_full_disk_holds_writes_up_and_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    config = MemoryConfig(path=path, write_timeout=0.3, cache_size=0, maintenance_interval=None)
    with TieredMemory(config) as memory, open_database(path) as database:
        memory.store("first", 1, durable=True)
        row = database.row("PRAGMA page_count")
        assert row is not None
        database.write(lambda write: write.rows(f"PRAGMA max_page_count = {row[0] + 5}")).result(10)
        acknowledged: list[str] = []

        def fill() -> None:
            for number in range(100):
                memory.store(f"k{number}", bytes(3_000), durable=True)
                acknowledged.append(f"k{number}")

        with pytest.raises(WriteTimeout, match=r"run\.db: the disk is full.*free some space"):
            fill()
        memory.store("later", "accepted")
        with pytest.raises(WriteTimeout, match=r"2 memories were not written"):
            memory.flush()
        assert all(memory.get(key) == bytes(3_000) for key in acknowledged)
        assert memory.get("later") == "accepted"
        database.write(lambda write: write.rows("PRAGMA max_page_count = 1000000")).result(10)
        eventually(lambda: memory.metrics().tiers["long"].waiting == 0)
    with TieredMemory(MemoryConfig(path=path)) as memory:
        assert all(memory.get(key) == bytes(3_000) for key in [*acknowledged, f"k{len(acknowledged)}"])
        assert memory.get("later") == "accepted"


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.db"
    with TieredMemory(MemoryConfig(path=path)) as memory:
        memory.store("k", 1)
    access = os.access
    # The tests may run as root, who may write everything.
    monkeypatch.setattr(os, "access", lambda file, mode: not (Path(file) == path and mode == os.W_OK) and access(file, mode))
    with pytest.raises(StorageUnavailable, match=r"run\.db: cannot be written"):
        TieredMemory(MemoryConfig(path=path))


def test_a_memory_that_cannot_be_looked_up_now_is_not_reported_missing() -> None:
    archive = FlakyArchive()
    with open_memory(archive=archive) as memory:
        memory.store("k", 1)
        memory.flush()
    with open_memory(archive=archive, cache_size=0) as memory:
        archive.away = True
        for ask in (memory.get, memory.record, memory.delete, memory.__contains__):
            with pytest.raises(TierUnavailable):
                ask("k")
        archive.away = False
    with open_memory(archive=archive) as memory:
        assert memory.get("k") == 1


def test_a_flush_raises_for_writes_that_were_given_up_before() -> None:
    archive = FlakyArchive()
    with open_memory(archive=archive) as memory:
        archive.refuses = "poison"
        memory.store("poison", 1)
        memory.store("good", 1)
        # A reader is not to fail for it, nor to take the word of it from whoever flushes.
        eventually(lambda: memory.metrics().tiers["long"].lost == 1)
        memory.search("anything")
        with pytest.raises(ValueError, match="does not want it"):
            memory.flush()
        memory.flush()
        assert set(archive.get(["poison", "good"])) == {"good"}


def test_calls_in_a_forked_child_raise_at_once(tmp_path: Path) -> None:
    for path in (None, tmp_path / "run.db"):
        with open_memory(path=path) as memory:
            memory.store("k", 1)
            memory.flush()
            child = os.fork()
            if not child:
                told = 0
                for use in (
                    lambda: memory.store("x", 1),
                    memory.flush,
                    memory.recent,
                    memory.maintain,
                    lambda: memory.get("x"),
                ):
                    try:
                        use()
                    except MemoryForked:
                        told += 1
                memory.close()
                os._exit(told)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
            memory.store("y", 2)
            memory.flush()
            assert (memory.get("k"), memory.get("y")) == (1, 2)


def test_a_store_that_meets_the_close_is_kept_or_refused_and_never_lost(tmp_path: Path) -> None:
    memory = TieredMemory(MemoryConfig(path=tmp_path / "run.db"))
    looked, closing = threading.Event(), threading.Event()
    wait_for_room = memory._store.queue.wait_for_room

    def late(timeout: float) -> None:
        # It has seen that the memory is open; now that is closed.
        looked.set()
        assert closing.wait(20)
        wait_for_room(timeout)

    memory._store.queue.wait_for_room = late  # type: ignore[method-assign]
    outcome: list[object] = []

    def store() -> None:
        try:
            outcome.append(memory.store("k", 1))
        except MemoryClosed as error:
            outcome.append(error)

    thread = start_thread(store, "late")
    assert looked.wait(20)
    memory.close()
    closing.set()
    thread.join(20)
    assert isinstance(outcome[0], MemoryClosed)
