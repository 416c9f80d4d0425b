"""What every database promises. Override `open`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coterie.concurrency import start_thread
from coterie.errors import (
    ConstraintViolated,
    DefinitionError,
    MigrationError,
    StatementFailed,
    StorageBusy,
    StorageClosed,
    StorageUnavailable,
    WaitTimeout,
    WriteInsideWrite,
)
from coterie.storage import Database, Pending, Schema, Transaction, View
from coterie.testing.conformance.base import Gate
from coterie.testing.settling import eventually
from coterie.testing.together import Together, run_together

NOTES = Schema("notes", ("CREATE TABLE notes (id BIGINT PRIMARY KEY, body TEXT NOT NULL);",))

INSERT = "INSERT INTO notes (id, body) VALUES (?, ?)"

VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    | st.binary()
)


def insert(number: int, body: str = "x") -> Callable[[Transaction], int]:
    """Return a work that stores a note, and returns its number."""

    def work(transaction: Transaction) -> int:
        transaction.execute(INSERT, (number, body))
        return number

    return work


def spoil(number: int, error: BaseException) -> Callable[[Transaction], None]:
    """Return a work that stores a note and then raises."""

    def work(transaction: Transaction) -> None:
        transaction.execute(INSERT, (number, "never"))
        raise error

    return work


def numbers(database: Database) -> list[int]:
    """Return the numbers of all notes."""
    return [row[0] for row in database.rows("SELECT id FROM notes ORDER BY id")]


class DatabaseConformance:
    """The suite. A test begins with an empty database, which `open` opens, as often as it is called."""

    def open(self, **options: Any) -> Database:
        """Return a new handle on the database of the test. Override this."""
        raise NotImplementedError

    def notes(self, **options: Any) -> Database:
        database = self.open(**options)
        database.migrate(NOTES)
        return database

    # Writing

    def test_a_write_returns_what_its_work_returned(self) -> None:
        with self.notes() as database:
            assert database.write(insert(1)).result(10) == 1
            assert database.write(lambda write: write.row("SELECT body FROM notes")).result(10) == ("x",)
            assert database.write(lambda write: write.execute("UPDATE notes SET body = ?", ("y",))).result(10) == 1

    @pytest.mark.parametrize("durable", [True, False])
    def test_what_was_acknowledged_is_seen_by_every_read(self, *, durable: bool) -> None:
        with self.notes() as database:
            for number in range(50):
                database.write(insert(number), durable=durable).result(10)
                assert database.row("SELECT body FROM notes WHERE id = ?", (number,)) == ("x",)

    def test_writes_are_done_in_the_order_in_which_they_were_given(self) -> None:
        with self.notes() as database:
            seen: list[int] = []
            for number in range(300):
                database.write(partial(_note, seen, number), durable=number % 3 == 0)
            database.flush(10)
            assert seen == list(range(300))

    def test_writes_that_gather_share_a_commit(self) -> None:
        gate = Gate()
        with self.notes() as database:
            database.write(lambda _: gate.wait())
            gate.wait_for_entry()
            before = database.statistics()
            pending = [database.write(insert(number)) for number in range(100)]
            assert database.statistics().queued == 100
            gate.open()
            assert [each.result(10) for each in pending] == list(range(100))
            after = database.statistics()
            assert after.stored - before.stored == 101
            assert after.commits - before.commits <= 4

    def test_a_work_that_raises_changes_nothing_and_fails_alone(self) -> None:
        gate, error = Gate(), LookupError("as told")
        with self.notes() as database:
            database.write(lambda _: gate.wait())
            gate.wait_for_entry()
            good = [database.write(insert(number)) for number in range(3)]
            bad = database.write(spoil(10, error))
            twice = database.write(insert(1))
            more = [database.write(insert(number)) for number in range(3, 6)]
            gate.open()
            assert [each.result(10) for each in (*good, *more)] == list(range(6))
            assert bad.exception() is error
            with pytest.raises(LookupError):
                bad.result(10)
            with pytest.raises(ConstraintViolated):
                twice.result(10)
            assert numbers(database) == list(range(6))
            assert database.statistics().failed == 2

    def test_a_work_that_is_alone_and_raises_changes_nothing(self) -> None:
        with self.notes() as database:
            with pytest.raises(LookupError):
                database.write(spoil(1, LookupError())).result(10)
            with pytest.raises(SystemExit):
                database.write(spoil(1, SystemExit())).result(10)
            assert numbers(database) == []
            assert database.write(insert(1)).result(10) == 1

    def test_a_write_whose_statement_failed_has_failed_even_if_its_work_goes_on(self) -> None:
        def work(transaction: Transaction) -> str:
            transaction.execute(INSERT, (1, "one"))
            with pytest.raises(ConstraintViolated):
                transaction.execute(INSERT, (1, "again"))
            return "done"

        with self.notes() as database:
            with pytest.raises(ConstraintViolated):
                database.write(work).result(10)
            assert numbers(database) == []

    def test_many_rows_are_written_by_one_statement(self) -> None:
        with self.notes() as database:
            rows = [(number, str(number)) for number in range(1000)]
            assert database.write(lambda write: write.execute_many(INSERT, rows)).result(10) == 1000
            assert numbers(database) == list(range(1000))

    def test_upserts_and_returning_are_the_same_everywhere(self) -> None:
        sql = f"{INSERT} ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING body"
        with self.notes() as database:
            assert database.write(lambda write: write.rows(sql, (1, "a"))).result(10) == [("a",)]
            assert database.write(lambda write: write.row(sql, (1, "b?%"))).result(10) == ("b?%",)
            assert database.rows("SELECT count(*), sum(id), '?%' FROM notes WHERE body LIKE 'b%'") == [(1, 1, "?%")]

    @pytest.mark.parametrize("sql", ["COMMIT", " rollback", "-- x\nBEGIN", "/* x */ savepoint a", "END", "release one_work"])
    def test_a_work_can_neither_begin_nor_end_a_transaction(self, sql: str) -> None:
        with self.notes() as database:
            done = database.write(insert(1))
            with pytest.raises(StatementFailed, match="by themselves"):
                database.write(lambda write: (write.execute(INSERT, (2, "x")), write.execute(sql))).result(10)
            with pytest.raises(StatementFailed, match="by themselves"):
                database.row(sql)
            with pytest.raises(StatementFailed, match="by themselves"):
                database.read(lambda view: view.row(sql))
            assert done.result(10) == 1
            assert numbers(database) == [1]

    @pytest.mark.parametrize("sql", ["SELEC 1", "SELECT * FROM nowhere", "SELECT ?", "SELECT 1; SELECT 2"])
    def test_a_statement_that_makes_no_sense_is_named(self, sql: str) -> None:
        with self.notes() as database:
            with pytest.raises(StatementFailed, match="SELEC"):
                database.write(lambda write: write.execute(sql)).result(10)
            with pytest.raises(StatementFailed, match="SELEC"):
                database.rows(sql)
            assert database.write(insert(1)).result(10) == 1

    @pytest.mark.parametrize("value", [object(), 2**63, "\ud800", {1: 2}])
    def test_values_that_have_no_form_there_are_refused(self, value: object) -> None:
        with self.notes() as database:
            with pytest.raises(StatementFailed):
                database.write(lambda write: write.execute(INSERT, (value, "x"))).result(10)
            assert numbers(database) == []

    def test_errors_show_no_values(self) -> None:
        with self.notes() as database:
            database.write(insert(1, "open")).result(10)
            with pytest.raises(StatementFailed) as caught:
                database.write(insert(1, "secret")).result(10)
            assert "secret" not in str(caught.value)

    def test_an_async_work_is_refused(self) -> None:
        async def work(transaction: Transaction) -> None: ...

        with self.notes() as database, pytest.raises(DefinitionError, match="plain function"):
            database.write(cast("Callable[[Transaction], None]", work)).result(10)

    def test_a_transaction_ends_with_its_work(self) -> None:
        with self.notes() as database:
            leaked = database.write(lambda write: write).result(10)
            with pytest.raises(StatementFailed, match="has ended"):
                leaked.execute(INSERT, (1, "late"))
            view = database.read(lambda view: view)
            with pytest.raises(StatementFailed, match="has ended"):
                view.rows("SELECT 1")

    def test_a_work_may_ask_for_another_write_but_not_wait_for_it(self) -> None:
        def ask(_: Transaction) -> Any:
            return database.write(insert(7))

        def wait(_: Transaction) -> int:
            return database.write(insert(8)).result()

        with self.notes(capacity=1) as database:
            assert database.write(ask).result(10).result(10) == 7
            with pytest.raises(WriteInsideWrite):
                database.write(wait).result(10)
            database.flush(10)
            assert numbers(database) == [7, 8]

    def test_a_full_queue_makes_writers_wait_and_lets_them_in_in_their_order(self) -> None:
        gate = Gate()
        with self.notes(capacity=2) as database:
            database.write(lambda _: gate.wait())
            gate.wait_for_entry()
            database.write(insert(1))
            database.write(insert(2))
            with pytest.raises(StorageBusy):
                database.write(insert(3), timeout=0)
            with pytest.raises(StorageBusy):
                database.write(insert(4), timeout=0.01)
            waiting = Together(lambda: database.write(insert(5)).result(10))
            gate.open()
            waiting.join()
            assert numbers(database) == [1, 2, 5]

    def test_waiting_for_a_result_has_an_end_and_the_write_goes_on(self) -> None:
        gate = Gate()
        with self.notes() as database:
            database.write(lambda _: gate.wait())
            pending = database.write(insert(1))
            with pytest.raises(WaitTimeout):
                pending.result(0.01)
            with pytest.raises(WaitTimeout):
                database.flush(0.01)
            gate.open()
            assert pending.result(10) == 1

    def test_results_are_awaited_on_any_event_loop(self) -> None:
        async def store(begin: int) -> list[int]:
            return [await database.write(insert(begin + n)) for n in range(20)]

        async def fail() -> None:
            with pytest.raises(LookupError):
                await database.write(spoil(-1, LookupError()))

        with self.notes() as database:
            found: list[list[int]] = []
            bodies = [lambda begin=begin: found.append(asyncio.run(store(begin))) for begin in (0, 100, 200)]
            run_together(*bodies)
            asyncio.run(fail())
            assert sorted(number for part in found for number in part) == numbers(database)

    def test_cancelling_an_await_stops_only_the_waiting(self) -> None:
        gate = Gate()

        async def give_up() -> Any:
            pending = database.write(insert(1))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pending, 0.01)
            return pending

        with self.notes() as database:
            database.write(lambda _: gate.wait())
            pending = asyncio.run(give_up())
            gate.open()
            assert pending.result(10) == 1

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(groups=st.lists(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["insert", "raise", "delete"])), max_size=8)))
    def test_any_mixture_of_works_ends_as_if_each_had_run_alone(self, groups: list[list[tuple[int, str]]]) -> None:
        with self.notes() as database:
            database.write(lambda write: write.execute("DELETE FROM notes")).result(10)
            model: set[int] = set()
            for group in groups:
                gate = Gate()
                database.write(partial(_wait, gate))
                pending: list[tuple[Pending[Any], bool]] = []
                for number, what in group:
                    if what == "insert":
                        pending.append((database.write(insert(number)), number not in model))
                        model.add(number)
                    elif what == "raise":
                        pending.append((database.write(spoil(number, LookupError())), False))
                    else:
                        delete = partial(_delete, number)
                        pending.append((database.write(delete), True))
                        model.discard(number)
                gate.open()
                database.flush(10)
                assert [each.exception() is None for each, _ in pending] == [good for _, good in pending]
            assert numbers(database) == sorted(model)

    # Reading

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(value=VALUES)
    def test_every_value_comes_back_as_it_was(self, value: object) -> None:
        columns = {int: "whole", float: "real", str: "words", bytes: "raw", type(None): "raw"}
        column = columns[type(value)]
        schema = "CREATE TABLE things (whole BIGINT, real DOUBLE PRECISION, words TEXT, raw BYTEA);"
        with self.open() as database:
            database.migrate(Schema("things", (schema,)))
            database.write(lambda write: write.execute("DELETE FROM things")).result(10)
            database.write(lambda write: write.execute(f"INSERT INTO things ({column}) VALUES (?)", (value,))).result(10)  # noqa: S608
            row = database.row(f"SELECT {column} FROM things")  # noqa: S608
            assert row == (value,)
            assert type(row[0]) is type(value)

    def test_a_read_is_of_one_moment(self) -> None:
        def read(view: View) -> tuple[object, object, object, object]:
            first = view.row("SELECT count(*) FROM notes")
            database.write(insert(2)).result(10)
            nested = database.read(lambda inner: inner.row("SELECT count(*) FROM notes"))
            return first, view.row("SELECT count(*) FROM notes"), nested, database.row("SELECT count(*) FROM notes")

        with self.notes() as database:
            database.write(insert(1)).result(10)
            assert set(database.read(read)) == {(1,)}
            assert database.row("SELECT count(*) FROM notes") == (2,)

    def test_a_long_result_is_gone_through_row_by_row(self) -> None:
        with self.notes() as database:
            rows = [(number, "x") for number in range(2000)]
            database.write(lambda write: write.execute_many(INSERT, rows)).result(10)
            each = "SELECT id FROM notes WHERE id >= ? ORDER BY id"
            assert database.read(lambda view: [row[0] for row in view.each(each, (5,))]) == list(range(5, 2000))
            assert database.read(lambda view: next(view.each(each, (7,)))) == (7,)
            assert database.write(lambda write: sum(1 for _ in write.each(each, (0,)))).result(10) == 2000

            def two_at_once(view: View) -> int:
                return sum(1 for _ in zip(view.each(each, (0,)), view.each(each, (10,)), strict=False))

            assert database.read(two_at_once) == 1990
            leaked = database.read(lambda view: view.each(each, (0,)))
            with pytest.raises(StatementFailed, match="has ended"):
                next(leaked)

    def test_a_read_cannot_write(self) -> None:
        with self.notes() as database:
            with pytest.raises(StatementFailed):
                database.rows("DELETE FROM notes")
            with pytest.raises(StatementFailed):
                database.read(lambda view: view.rows("DELETE FROM notes"))

    def test_a_read_that_raises_gives_its_connection_back(self) -> None:
        def fail(view: View) -> None:
            view.row("SELECT 1")
            raise LookupError

        with self.notes(readers=1) as database:
            for _ in range(5):
                with pytest.raises(LookupError):
                    database.read(fail)
                with pytest.raises(StatementFailed):
                    database.row("SELEC")
            assert database.row("SELECT 1") == (1,)
            assert database.statistics().readers == 1

    def test_readers_are_bounded_and_outlive_the_threads_that_used_them(self) -> None:
        def read() -> None:
            for _ in range(5):
                assert database.read(lambda view: (view.row("SELECT 1"), view.row("SELECT 2"))) == ((1,), (2,))

        with self.notes(readers=3) as database:
            for _ in range(3):
                run_together(*[read] * 10)
            assert database.statistics().readers <= 3

    def test_reads_go_on_while_a_write_is_slow(self) -> None:
        gate = Gate()
        with self.notes() as database:
            database.write(partial(_insert_and_wait, gate))
            gate.wait_for_entry()
            assert numbers(database) == []
            gate.open()
            database.flush(10)
            assert numbers(database) == [1]

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
            with pytest.raises(MigrationError, match="'room' cannot take step 2"):
                database.migrate(Schema("room", [first, "CREATE TABL b (n BIGINT)"]))
            with pytest.raises(MigrationError, match="IndexError"):
                database.migrate(Schema("room", [first, lambda _: list[int]().pop()]))
            with pytest.raises(StatementFailed):
                database.rows("SELECT * FROM a")
            assert database.migrate(Schema("room", [first, "CREATE TABLE b (n BIGINT)"])) == 2
            assert database.rows("SELECT * FROM a") == [(1,)]

    def test_two_users_who_migrate_at_once_do_it_once(self) -> None:
        taken: list[int] = []
        schema = Schema("room", ["CREATE TABLE a (n BIGINT)", lambda _: taken.append(1), "INSERT INTO a VALUES (1)"])

        def user() -> None:
            with self.open() as database:
                database.migrate(schema)
                assert database.rows("SELECT * FROM a") == [(1,)]

        run_together(*[user] * 6)
        assert taken == [1]

    # Closing

    def test_closing_does_what_was_accepted(self) -> None:
        database = self.notes()
        pending = [database.write(insert(number), durable=False) for number in range(500)]
        database.close()
        assert [each.result(0) for each in pending] == list(range(500))
        with self.open() as database:
            assert numbers(database) == list(range(500))

    def test_a_closed_database_says_so(self) -> None:
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

    def test_closing_refuses_those_who_wait_for_room(self) -> None:
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
        stuck = database.write(partial(_insert_and_wait, gate))
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

    def test_one_user_who_closes_does_not_disturb_another(self) -> None:
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

        def hold(view: View) -> None:
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


def _note(seen: list[int], number: int, _: Transaction) -> None:
    seen.append(number)


def _wait(gate: Gate, _: Transaction) -> None:
    gate.wait()


def _insert_and_wait(gate: Gate, transaction: Transaction) -> None:
    transaction.execute(INSERT, (1, "x"))
    gate.wait()


def _delete(number: int, transaction: Transaction) -> None:
    transaction.execute("DELETE FROM notes WHERE id = ?", (number,))
