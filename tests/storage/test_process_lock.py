from pathlib import Path

import pytest

from coterie.errors import StorageLocked, StorageUnavailable
from coterie.storage.sqlite import sharing
from coterie.storage.sqlite.sharing import ProcessLock


def test_of_two_that_want_the_lock_one_gets_it(tmp_path: Path) -> None:
    one, two = ProcessLock(tmp_path / "run.db"), ProcessLock(tmp_path / "run.db")
    one.acquire()
    with pytest.raises(StorageLocked):
        two.acquire()
    one.release()
    two.acquire()
    assert two.path.exists()
    two.release()
    assert not two.path.exists()


def test_a_lock_on_a_file_that_was_deleted_meanwhile_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = (ProcessLock(tmp_path / "run.db") for _ in range(3))
    one.acquire()
    lock = ProcessLock._lock
    calls = 0

    def lock_late(self: ProcessLock, descriptor: int) -> None:
        # The owner lets go after the file was opened and before it was locked.
        nonlocal calls
        calls += 1
        one.release()
        lock(self, descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(ProcessLock, "_lock", lock_late)
        two.acquire()
    assert calls == 2
    with pytest.raises(StorageLocked):
        three.acquire()
    two.release()


def test_a_leftover_lock_file_does_not_lock_the_database(tmp_path: Path) -> None:
    (tmp_path / "run.db.lock").write_text("12345\n")
    lock = ProcessLock(tmp_path / "run.db")
    lock.acquire()
    lock.release()


def test_a_system_without_locks_gets_an_error_with_the_alternatives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "lock_file", None)
    with pytest.raises(StorageUnavailable, match="PostgreSQL"):
        ProcessLock(tmp_path / "run.db").acquire()
    assert list(tmp_path.iterdir()) == []
