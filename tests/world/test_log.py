"""What is wrong with a log is found when it is read, and is an error that says so."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from coterie.errors import InvalidSetting, MigrationError, StorageCorrupt, StorageLocked
from coterie.errors.world import LogDamaged, LogTaken
from coterie.storage import SqliteDatabase
from coterie.world import EventLog, ExternalEvent, Intent, World


def written(path: Path, events: int = 30) -> str:
    with World({"n": 0}, log=EventLog(path), snapshot_every=10) as world:
        for number in range(events):
            world.update({"n": number, f"key-{number}": "x" * 50})
        return world.digest()


def change(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql)
    connection.close()


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        (
            "UPDATE world_commits SET body = substr(body, 1, 10) WHERE first = 15",
            "the events 15 to 15 are not what was written",
        ),
        ("DELETE FROM world_commits WHERE first = 15", "after event 14 comes event 16"),
        ("UPDATE world_commits SET body = x'00', checksum = 3523407757 WHERE first = 15", "cannot be read"),
        ("UPDATE world_commits SET first = 115, last = 115 WHERE first = 15", "comes event"),
    ],
)
def test_a_record_that_was_cut_or_lost_is_found_by_its_number(sql: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    written(path)
    change(path, sql)
    with EventLog(path) as log, pytest.raises(LogDamaged, match=problem):
        World.replay(log)


def test_a_snapshot_that_was_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    written(path)
    change(path, "UPDATE world_snapshots SET body = substr(body, 1, 10)")
    with EventLog(path) as log, pytest.raises(LogDamaged, match="the snapshot after event 31"):
        World(log=log)


def test_a_damaged_newest_snapshot_is_passed_over_for_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "run.db"
    written(path)
    with World(log=EventLog(path)) as world:
        expected = world.digest()
        world.update({"last": 1})
        world.snapshot()
        world.update({"last": 2}, remove=["last"])
        world.update(remove=["last"])
        world.snapshot()
    change(
        path,
        "UPDATE world_snapshots SET body = substr(body, 1, 10) WHERE sequence = (SELECT max(sequence) FROM world_snapshots)",
    )
    with World(log=EventLog(path)) as world:
        assert world.digest() == expected == world.view().digest()
    assert "the one before is taken" in caplog.text


def test_a_file_that_was_cut_in_the_middle_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    written(path, 300)
    cut = path.read_bytes()[: path.stat().st_size // 2 + 100]
    path.write_bytes(cut)
    with pytest.raises((StorageCorrupt, LogDamaged)), EventLog(path) as log:
        World.replay(log)
    assert path.read_bytes()[4096:] == cut[4096:]


def test_a_log_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    written(path)
    change(path, "INSERT INTO coterie_migrations VALUES ('world', 99, 0)")
    with pytest.raises(MigrationError, match="use a later version"):
        EventLog(path)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    digest = written(path)
    code = "import sys; from coterie.world import EventLog; EventLog(sys.argv[1])"
    with World(log=EventLog(path)) as world:
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)  # noqa: S603 - our own
        assert done.returncode == 1
        assert StorageLocked.__name__ in done.stderr
        assert world.digest() == digest


def test_a_log_is_cut_back_at_the_end_of_a_commit_only(tmp_path: Path) -> None:
    with World({"n": 0}, log=EventLog(tmp_path / "run.db")) as world:
        world.commit([Intent("ada", "add", {"key": "n", "amount": 1}, index=number) for number in range(3)])
        assert world.log is not None
        with pytest.raises(LogDamaged, match="in the middle of a commit"):
            world.log.truncate(2)
        assert world.log.last() == 4


def test_only_the_newest_snapshots_are_kept(tmp_path: Path) -> None:
    with World(log=EventLog(tmp_path / "run.db", snapshots=2), snapshot_every=1) as world:
        for _ in range(10):
            world.update({"n": 1})
        assert world.log is not None
        assert world.log.database.row("SELECT count(*) FROM world_snapshots") == (2,)
    with pytest.raises(InvalidSetting):
        EventLog(tmp_path / "run.db", snapshots=0)


NOTE = [ExternalEvent("seen")]


def test_a_log_written_behind_is_whole_for_reads_and_at_its_end(tmp_path: Path) -> None:
    with World(log=EventLog(tmp_path / "run.db")) as world:
        log = world.log
        assert log is not None
        with log.behind.on():
            for number in range(1, 41):
                world.commit([], notes=NOTE, durable=False)
                if number % 10 == 0:
                    assert [event.sequence for event in log.events()] == list(range(1, number + 1))
                    assert log.last() == number
        # Read by the database itself, which waits for nothing.
        assert log.database.row("SELECT max(last) FROM world_commits") == (40,)


def test_after_a_write_behind_that_failed_no_later_one_is_written(tmp_path: Path) -> None:
    with SqliteDatabase(tmp_path / "run.db") as database:
        one, other = World(log=EventLog(database)), World(log=EventLog(database))
        other.commit([], notes=NOTE)
        log = one.log
        assert log is not None

        def commit_behind() -> None:
            with log.behind.on():
                for _ in range(3):
                    one.commit([], notes=NOTE, durable=False)

        with pytest.raises(LogTaken):
            commit_behind()
        with pytest.raises(LogTaken):
            one.commit([], notes=NOTE)
        assert [event.sequence for event in log.events()] == [1]
