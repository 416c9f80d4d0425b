"""Cases of reads."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coterie.errors.storage import StatementFailed
from coterie.storage import ReadTransaction, Schema
from coterie.testing.conformance.base import Gate
from coterie.testing.conformance.storage.notes import (
    INSERT,
    Notes,
    insert,
    insert_and_wait,
    numbers,
)
from coterie.testing.waiting import run_together

VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    | st.binary()
)


class Reading(Notes):
    """The cases."""

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
        def read(view: ReadTransaction) -> tuple[object, object, object, object]:
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

            def two_at_once(view: ReadTransaction) -> int:
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
        def fail(view: ReadTransaction) -> None:
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
            database.write(partial(insert_and_wait, gate))
            gate.wait_for_entry()
            assert numbers(database) == []
            gate.open()
            database.flush(10)
            assert numbers(database) == [1]
