"""What is particular to a file: who may open it, what can be wrong with it, and what is left of it."""

import gc
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from coterie.errors import StorageCorrupt, StorageFull, StorageLocked, StorageUnavailable
from coterie.errors.storage import StorageBusy
from coterie.storage import Schema, SqliteDatabase
from coterie.storage.engine import writer
from coterie.storage.sqlite import database as sqlite_database
from coterie.storage.transaction import ReadTransaction, Transaction
from coterie.testing import eventually, run_together
from coterie.testing.conformance.base import Gate
from coterie.testing.conformance.storage import INSERT, NOTES, insert, numbers

HOLD = """
import sys
from coterie.storage import SqliteDatabase
from coterie.testing.conformance.storage import NOTES, insert

database = SqliteDatabase(sys.argv[1])
database.migrate(NOTES)
database.write(insert(1)).result(10)
print("ready", flush=True)
sys.stdin.read()
"""


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own


def lines(program: str, *arguments: object) -> list[str]:
    with python(program, *arguments) as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out.splitlines()


def test_a_second_process_is_refused_until_the_first_has_ended_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with python(HOLD, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(StorageLocked, match=rf"run\.db: the process {process.pid} has it open") as caught:
            SqliteDatabase(path)
        assert caught.value.pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        with SqliteDatabase(path) as database:
            assert numbers(database) == [1]


def test_the_lock_is_gone_and_the_log_taken_in_when_it_is_closed(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path / "run.db") as database:
        database.migrate(NOTES)
        assert {path.name for path in tmp_path.iterdir()} >= {"run.db", "run.db.lock", "run.db-wal"}
    assert [path.name for path in tmp_path.iterdir()] == ["run.db"]


def test_users_of_one_file_share_its_writer_by_whatever_path_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "run.db")
    monkeypatch.chdir(tmp_path)
    with SqliteDatabase(tmp_path / "run.db") as one, SqliteDatabase("run.db") as two, SqliteDatabase("link.db") as three:
        assert one._engine is two._engine is three._engine
        one.migrate(NOTES)
        one.write(insert(1)).result(10)
        assert numbers(three) == [1]
        assert three.statistics() == one.statistics()


def test_opening_and_closing_from_many_threads_at_once_leaves_nothing_open(tmp_path: Path) -> None:
    def use() -> None:
        for _ in range(10):
            with SqliteDatabase(tmp_path / "run.db") as database:
                database.migrate(NOTES)
                database.write(lambda write: write.execute("INSERT INTO notes (body) VALUES ('x')")).result(10)

    run_together(*[use] * 8)
    assert [path.name for path in tmp_path.iterdir()] == ["run.db"]
    with SqliteDatabase(tmp_path / "run.db") as database:
        assert len(numbers(database)) == 80
        assert database.check() == []


def test_connections_do_not_carry_over_to_a_forked_child(tmp_path: Path) -> None:
    program = """
import os, sys, warnings
warnings.simplefilter("ignore")
from coterie.errors import StorageError
from coterie.storage import SqliteDatabase
from coterie.testing.conformance.storage import NOTES, insert, numbers

database = SqliteDatabase(sys.argv[1])
database.migrate(NOTES)
numbers(database)
child = os.fork()
if child == 0:
    for use in (lambda: database.write(insert(1)), lambda: numbers(database), lambda: SqliteDatabase(sys.argv[1])):
        try:
            use()
        except StorageError as error:
            print(type(error).__name__, flush=True)
    database.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
database.write(insert(2)).result(10)
print(numbers(database))
database.close()
"""
    assert lines(program, tmp_path / "run.db") == ["StorageForked", "StorageForked", "StorageLocked", "[2]"]


def test_a_child_that_outlives_its_parent_does_not_keep_the_file_locked(tmp_path: Path) -> None:
    program = """
import os, sys, time, warnings
warnings.simplefilter("ignore")
from coterie.storage import SqliteDatabase
from coterie.testing.conformance.storage import NOTES

database = SqliteDatabase(sys.argv[1])
database.migrate(NOTES)
read, write = os.pipe()
if child := os.fork():
    print(child, flush=True)
    os._exit(0)
os.close(1)
os.close(2)
time.sleep(30)
"""
    child = int(lines(program, tmp_path / "run.db")[0])
    try:
        SqliteDatabase(tmp_path / "run.db").close()
    finally:
        os.kill(child, signal.SIGKILL)


def test_accepted_writes_are_done_when_a_program_ends_without_closing(tmp_path: Path) -> None:
    program = """
import sys
from coterie.storage import SqliteDatabase
from coterie.testing.conformance.storage import NOTES, insert

database = SqliteDatabase(sys.argv[1])
database.migrate(NOTES)
for number in range(300):
    database.write(insert(number), durable=False)
"""
    lines(program, tmp_path / "run.db")
    with SqliteDatabase(tmp_path / "run.db") as database:
        assert len(numbers(database)) == 300


def test_a_file_that_is_not_a_database_stays_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(StorageCorrupt, match=r"run\.db: it is damaged or not a database"):
        SqliteDatabase(path)
    assert path.read_bytes() == b"dear diary, " * 1000
    assert [each.name for each in tmp_path.iterdir()] == ["run.db"]


def test_damage_is_named_when_it_is_met_and_found_when_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with SqliteDatabase(path) as database:
        database.migrate(NOTES)
        database.write(lambda write: write.execute_many(INSERT, [(n, "x" * 500) for n in range(500)])).result(10)
        assert database.check() == []
    content = bytearray(path.read_bytes())
    content[20 * 4096 : 40 * 4096] = b"\xff" * (20 * 4096)
    path.write_bytes(content)
    with SqliteDatabase(path) as database:
        with pytest.raises(StorageCorrupt, match=r"run\.db"):
            database.rows("SELECT * FROM notes")
        with pytest.raises(StorageCorrupt):
            database.write(lambda write: write.execute("UPDATE notes SET body = 'y'")).result(10)
        assert database.check() != []


def test_a_full_disk_fails_writes_without_room_and_later_writes_succeed(tmp_path: Path) -> None:
    gate = Gate()
    with SqliteDatabase(tmp_path / "run.db") as database:
        database.migrate(NOTES)
        database.write(insert(0)).result(10)
        pages = database.write(lambda write: write.rows("PRAGMA page_count")).result(10)[0][0]
        database.write(lambda write: write.rows(f"PRAGMA max_page_count = {pages + 3}")).result(10)
        database.write(lambda _: gate.wait())
        gate.wait_for_entry()
        pending = [database.write(insert(number, "x" * 3000)) for number in range(1, 20)]
        gate.open()
        database.flush(10)
        failed = [each.exception() for each in pending]
        assert any(isinstance(error, StorageFull) for error in failed)
        stored = [0, *(number for number, error in enumerate(failed, start=1) if error is None)]
        assert numbers(database) == stored
        with pytest.raises(StorageFull, match=r"run\.db: the disk is full"):
            database.write(insert(100, "x" * 20_000)).result(10)
        database.write(lambda write: write.rows("PRAGMA max_page_count = 100000")).result(10)
        assert database.write(insert(101, "x" * 20_000)).result(10) == 101
        assert numbers(database) == [*stored, 101]
        assert database.check() == []


def test_a_program_that_holds_the_file_for_long_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coterie.storage.sqlite.connection._BUSY", 0.05)
    path = tmp_path / "run.db"
    with SqliteDatabase(path) as database:
        database.migrate(NOTES)
        shell = sqlite3.connect(path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageLocked):
            database.write(insert(1)).result(10)
        shell.execute("COMMIT")
        shell.close()
        assert database.write(insert(2)).result(10) == 2


@pytest.mark.parametrize(
    ("name", "problem"), [("", "is a folder"), ("missing/run.db", "does not exist"), ("file/run.db", "does not exist")]
)
def test_a_path_where_no_database_can_be_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match=problem):
        SqliteDatabase(tmp_path / name)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        # Root may write everywhere, but not here.
        folder = Path("/proc")
    with pytest.raises(StorageUnavailable, match=r"run\.db: cannot be opened: .*; check its folder"):
        SqliteDatabase(folder / "run.db")


def test_a_copy_of_a_database_is_another_database(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path / "run.db") as database:
        database.migrate(NOTES)
        database.write(insert(1)).result(10)
    shutil.copy(tmp_path / "run.db", tmp_path / "copy.db")
    with SqliteDatabase(tmp_path / "run.db") as one, SqliteDatabase(tmp_path / "copy.db") as two:
        two.write(insert(2)).result(10)
        assert numbers(one) == [1]
        assert numbers(two) == [1, 2]


def test_the_log_is_taken_in_while_the_writer_rests(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path / "run.db") as database:
        database.migrate(Schema("blobs", ("CREATE TABLE blobs (raw BYTEA)",)))
        for _ in range(10):
            database.write(lambda write: write.execute("INSERT INTO blobs VALUES (?)", (b"x" * 100_000,))).result(10)
        before = (tmp_path / "run.db").stat().st_size
        database._engine.writer.store.rest()
        assert (tmp_path / "run.db").stat().st_size > before + 900_000


def test_a_file_that_can_be_written_no_more_is_unavailable_and_its_statements_are_not_blamed(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path / "run.db") as database:
        database.migrate(NOTES)
        # As after an error of the disk, when a system makes a file system read-only.
        database.write(lambda transaction: transaction.rows("PRAGMA query_only = ON")).result(10)
        with pytest.raises(StorageUnavailable, match="permissions"):
            database.write(insert(1)).result(10)
        assert numbers(database) == []


def test_the_log_stays_small_while_much_is_written_and_is_empty_at_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_REST_AFTER", 0.05)
    log = tmp_path / "run.db-wal"
    with SqliteDatabase(tmp_path / "run.db") as database:
        database.write(lambda transaction: transaction.execute("CREATE TABLE blobs (key INTEGER PRIMARY KEY, blob BLOB)"))

        def replace(transaction: Transaction, number: int) -> None:
            transaction.execute("REPLACE INTO blobs VALUES (?, ?)", (number % 8, bytes(200_000)))

        def write(count: int) -> int:
            largest = 0
            for number in range(count):
                database.write(partial(replace, number=number)).result(10)
                largest = max(largest, log.stat().st_size)
            return largest

        assert write(200) < 12 * 2**20
        eventually(lambda: log.stat().st_size == 0)
        # A read holds the log as it is; the read over, it shrinks again.
        assert database.read(lambda view: (view.row("SELECT count(*) FROM blobs"), write(60))[1]) > 12 * 2**20
        assert write(60) > 0
        eventually(lambda: log.stat().st_size == 0)


def test_a_dropped_database_does_its_writes_and_is_closed(tmp_path: Path) -> None:
    def writers() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name.startswith(f"storage-writer {tmp_path}")]

    databases = [SqliteDatabase(tmp_path / "run.db")]
    databases[0].migrate(NOTES)
    databases[0].write(insert(1))
    with pytest.warns(ResourceWarning, match=r"the database .*run.db was dropped and not stopped"):
        eventually(lambda: databases.clear() is None and gc.collect() >= 0 and not writers())
    with SqliteDatabase(tmp_path / "run.db") as database:
        assert numbers(database) == [1]


def test_a_dropped_handle_leaves_the_other_users_of_its_file_alone(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path / "run.db") as database:
        database.migrate(NOTES)
        with pytest.warns(ResourceWarning):
            assert SqliteDatabase(tmp_path / "run.db").name.endswith("run.db")
        database.write(insert(2)).result(10)
        assert numbers(database) == [2]


def test_a_compaction_leaves_no_byte_of_deleted_rows(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with SqliteDatabase(path) as database:
        database.migrate(Schema("notes", ("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL)",)))
        bodies = [(f"quagmire {number}" * 40,) for number in range(50)]
        database.write(lambda write: write.execute_many("INSERT INTO notes (body) VALUES (?)", bodies))
        database.write(lambda write: write.execute("DELETE FROM notes WHERE id > 1"))
        database.write(lambda write: write.execute("UPDATE notes SET body = 'other'"))
        database.compact()
        database.write(lambda write: write.execute("INSERT INTO notes (body) VALUES ('later')")).result()
        assert database.rows("SELECT body FROM notes ORDER BY id") == [("other",), ("later",)]
        assert all(b"quagmire" not in each.read_bytes() for each in tmp_path.iterdir())


def test_a_compaction_waits_for_reads_and_says_if_they_do_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_database, "_COMPACT_PATIENCE", 0.05)
    with SqliteDatabase(tmp_path / "run.db") as database:
        database.migrate(Schema("notes", ("CREATE TABLE notes (id TEXT PRIMARY KEY)",)))

        def read(view: ReadTransaction) -> None:
            view.rows("SELECT * FROM notes")
            database.write(lambda write: write.execute("INSERT INTO notes VALUES ('a')")).result()
            with pytest.raises(StorageBusy, match="a read holds"):
                database.compact()

        database.read(read)
        database.compact()
        assert database.rows("SELECT id FROM notes") == [("a",)]
