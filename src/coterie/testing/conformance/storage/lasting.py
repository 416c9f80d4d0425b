"""Cases of migrations, of closing, and of many threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from coterie.concurrency import start_thread
from coterie.errors import MigrationError, StorageUnavailable
from coterie.errors.storage import StatementFailed, StorageClosed, WriteInsideWrite
from coterie.storage import ReadTransaction, Schema, Transaction
from coterie.testing.conformance.base import Gate
from coterie.testing.conformance.storage.notes import (
    NOTES,
    Notes,
    insert,
    insert_and_wait,
    numbers,
)
from coterie.testing.waiting import Together, eventually, run_together


class Lasting(Notes):
    """The cases."""

    # Migrations

    def test_steps_are_taken_in_order_and_once(self) -> None:
        taken: list[int] = []

        def step(number: int) -> Callable[[Transaction], None]:
            def take(write: Transaction) -> None:
                taken.append(number)
                write.execute(f"CREATE TABLE t{number} (n BIGINT)")

            return take

        with self.open() as database:
            assert database.migrate(Schema("room", [step(1), step(2)])) == 2
            assert database.migrate(Schema("room", [step(1), step(2)])) == 2
            assert database.migrate(Schema("room", [step(1), step(2), step(3)])) == 3
            assert database.migrate(Schema("other", [step(4)])) == 1
        with self.open() as database:
            assert database.migrate(Schema("room", [step(1), step(2), step(3)])) == 3
            assert taken == [1, 2, 3, 4]
            assert database.rows("SELECT count(*) FROM t3") == [(0,)]

    def test_a_later_version_than_is_known_is_refused(self) -> None:
        with self.open() as database:
            database.migrate(Schema("room", ["CREATE TABLE a (n BIGINT)", "CREATE TABLE b (n BIGINT)"]))
            with pytest.raises(MigrationError, match="'room' has version 2 there, and only 1 is known here"):
                database.migrate(Schema("room", ["CREATE TABLE a (n BIGINT)"]))

    def test_a_step_that_fails_undoes_all_and_can_be_mended(self) -> None:
        first = "CREATE TABLE a (n BIGINT); INSERT INTO a VALUES (1);"
        with self.open() as database:
            with pytest.raises(MigrationError, match="'room' cannot apply step 2"):
                database.migrate(Schema("room", [first, "CREATE TABL b (n BIGINT)"]))
            with pytest.raises(MigrationError, match="IndexError"):
                database.migrate(Schema("room", [first, lambda _: list[int]().pop()]))
            with pytest.raises(StatementFailed):
                database.rows("SELECT * FROM a")
            assert database.migrate(Schema("room", [first, "CREATE TABLE b (n BIGINT)"])) == 2
            assert database.rows("SELECT * FROM a") == [(1,)]

    def test_two_users_that_migrate_at_once_migrate_once(self) -> None:
        taken: list[int] = []
        schema = Schema("room", ["CREATE TABLE a (n BIGINT)", lambda _: taken.append(1), "INSERT INTO a VALUES (1)"])

        def user() -> None:
            with self.open() as database:
                database.migrate(schema)
                assert database.rows("SELECT * FROM a") == [(1,)]

        run_together(*[user] * 6)
        assert taken == [1]

    # Closing

    def test_closing_does_accepted_writes(self) -> None:
        database = self.notes()
        pending = [database.write(insert(number), durable=False) for number in range(500)]
        database.close()
        assert [each.result(0) for each in pending] == list(range(500))
        with self.open() as database:
            assert numbers(database) == list(range(500))

    def test_a_closed_database_raises_its_own_error(self) -> None:
        database = self.notes()
        database.close()
        database.close()
        for use in (
            lambda: database.write(insert(1)),
            lambda: database.read(lambda view: view.row("SELECT 1")),
            lambda: database.row("SELECT 1"),
            lambda: database.migrate(NOTES),
            database.flush,
        ):
            with pytest.raises(StorageClosed):
                use()

    def test_closing_refuses_writers_that_wait_for_a_place(self) -> None:
        gate = Gate()
        database = self.notes(capacity=1)
        database.write(lambda _: gate.wait())
        gate.wait_for_entry()
        accepted = database.write(insert(1))
        refused: list[BaseException] = []
        entered = threading.Event()

        def wait() -> None:
            entered.set()
            try:
                database.write(insert(2))
            except StorageClosed as error:
                refused.append(error)

        waiting = Together(wait)
        assert entered.wait(10)
        closing = Together(database.close)
        eventually(lambda: len(refused) == 1)
        gate.open()
        closing.join()
        waiting.join()
        assert accepted.result(0) == 1

    def test_closing_does_not_wait_for_a_stuck_work_for_ever(self) -> None:
        gate = Gate()
        database = self.notes()
        stuck = database.write(partial(insert_and_wait, gate))
        gate.wait_for_entry()
        queued = database.write(insert(2))
        database.close(0.05)
        with pytest.raises(StorageUnavailable, match="stuck"):
            queued.result(0)
        assert not stuck.done
        gate.open()
        stuck.wait(10)

    def test_a_work_cannot_close_its_own_database(self) -> None:
        with self.notes() as database:
            with pytest.raises(WriteInsideWrite):
                database.write(lambda _: database.close()).result(10)
            assert database.write(insert(1)).result(10) == 1

    def test_one_user_that_closes_does_not_affect_another(self) -> None:
        one, two = self.notes(), self.open()
        one.write(insert(1)).result(10)
        one.close()
        assert two.write(insert(2)).result(10) == 2
        assert numbers(two) == [1, 2]
        two.close()

    def test_no_thread_is_left_when_it_is_closed(self) -> None:
        before = set(threading.enumerate())
        with self.notes() as database:
            database.write(insert(1)).result(10)
        assert [thread.name for thread in threading.enumerate() if thread not in before and thread.is_alive()] == []

    # All together

    def test_many_threads_that_write_and_read_lose_nothing_and_see_their_own(self) -> None:
        def work(base: int) -> None:
            for number in range(base, base + 40):
                durable = number % 2 == 0
                assert database.write(insert(number), durable=durable).result(20) == number
                assert database.row("SELECT id FROM notes WHERE id = ?", (number,)) == (number,)

        with self.notes() as database:
            run_together(*(partial(work, base * 1000) for base in range(12)))
            assert len(numbers(database)) == 480
            statistics = database.statistics()
            assert statistics.commits < statistics.stored
            assert database.check() == []

    def test_a_stuck_reader_does_not_keep_others_from_writing(self) -> None:
        entered, leave = threading.Event(), threading.Event()

        def hold(view: ReadTransaction) -> None:
            view.row("SELECT count(*) FROM notes")
            entered.set()
            leave.wait(20)

        with self.notes() as database:
            thread = start_thread(lambda: database.read(hold), "holds a moment")
            assert entered.wait(10)
            for number in range(100):
                database.write(insert(number)).result(10)
            assert len(numbers(database)) == 100
            leave.set()
            thread.join(10)
