"""Files that are damaged, taken or unreachable: a clear error each, and nothing lost."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import InvalidSetting, StorageCorrupt, StorageError, StorageLocked
from coterie.memory import MemoryConfig, TieredMemory, opening

HOLD = """
import sys
from coterie.memory import MemoryConfig, TieredMemory
with TieredMemory(MemoryConfig(path=sys.argv[1])) as memory:
    memory.store("k", 1, durable=True)
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
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


def test_what_was_opened_is_let_go_of_when_the_rest_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
