"""Cases of writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coterie.errors import DefinitionError, WaitTimeout
from coterie.errors.storage import ConstraintViolated, StatementFailed, StorageBusy, WriteInsideWrite
from coterie.storage import Pending, Transaction
from coterie.testing.conformance.base import Gate
from coterie.testing.conformance.storage.notes import (
    INSERT,
    Notes,
    delete,
    insert,
    numbers,
    spoil,
    wait_within,
)
from coterie.testing.waiting import Together, run_together


class Writing(Notes):
    """The cases."""

    def test_a_write_returns_the_result_of_its_work(self) -> None:
        with self.notes() as database:
            assert database.write(insert(1)).result(10) == 1
            assert database.write(lambda write: write.row("SELECT body FROM notes")).result(10) == ("x",)
            assert database.write(lambda write: write.execute("UPDATE notes SET body = ?", ("y",))).result(10) == 1

    @pytest.mark.parametrize("durable", [True, False])
    def test_every_read_sees_acknowledged_writes(self, *, durable: bool) -> None:
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
    def test_an_invalid_statement_is_named(self, sql: str) -> None:
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
                database.write(partial(wait_within, gate))
                pending: list[tuple[Pending[Any], bool]] = []
                for number, what in group:
                    if what == "insert":
                        pending.append((database.write(insert(number)), number not in model))
                        model.add(number)
                    elif what == "raise":
                        pending.append((database.write(spoil(number, LookupError())), False))
                    else:
                        pending.append((database.write(partial(delete, number)), True))
                        model.discard(number)
                gate.open()
                database.flush(10)
                assert [each.exception() is None for each, _ in pending] == [good for _, good in pending]
            assert numbers(database) == sorted(model)


def _note(seen: list[int], number: int, _: Transaction) -> None:
    seen.append(number)
