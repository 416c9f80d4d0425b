from collections.abc import Callable
from functools import partial
from pathlib import Path

from coterie.storage import SqliteDatabase
from coterie.testing import checked_locks, run_together
from coterie.testing.conformance.storage import NOTES, insert, numbers


def test_locks_are_taken_in_their_order(tmp_path: Path) -> None:
    def user(base: int) -> None:
        for round_ in range(3):
            with SqliteDatabase(tmp_path / "run.db", capacity=4, readers=2) as database:
                database.migrate(NOTES)
                pending = [database.write(insert(base + round_ * 50 + number)) for number in range(20)]
                for each in pending:
                    each.result(10)
                numbers(database)
                database.flush()

    with checked_locks() as violations:
        users: list[Callable[[], None]] = [partial(user, base * 1000) for base in range(6)]
        run_together(*users)
    assert violations == []
