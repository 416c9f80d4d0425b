"""Group commit: many works in one transaction, each of which fails alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CoroutineType
from typing import ParamSpec, TypeVar

from coterie.errors import DefinitionError, StorageError
from coterie.errors.storage import StatementFailed
from coterie.kernel import Clock
from coterie.storage.dialect import Dialect, fault_of
from coterie.storage.engine.contract import ConnectionLost, Work, WriteOutcome, WritingConnection
from coterie.storage.transaction import Parameters, Row

P = ParamSpec("P")
R = TypeVar("R")


_LONGEST = 0.05
"""Seconds after which a group accepts no further work, to bound the latency of the first works."""


def run_group(connection: WritingConnection, works: Sequence[Work], where: str, clock: Clock) -> list[WriteOutcome]:
    """Do the works, or the first few, in the open transaction of `connection`; undo failed ones.

    Raises errors that end the whole transaction: a lost connection, a full disk.
    """
    outcomes = []
    end = clock.monotonic() + _LONGEST
    # A single work needs no savepoint: it is undone with the transaction.
    guarded = len(works) > 1
    for work in works:
        outcomes.append(_run(OpenTransaction(connection, where, guarded=guarded), work))
        if clock.monotonic() > end:
            break
    return outcomes


def _run(transaction: OpenTransaction, work: Work) -> WriteOutcome:
    try:
        value = work(transaction)
        if isinstance(value, CoroutineType):
            value.close()
            raise DefinitionError(repr(work), "is async, and the writer awaits nothing", "give a plain function")  # noqa: TRY301
        transaction.finish()
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who waits
        return WriteOutcome(None, transaction.undo(error))
    return WriteOutcome(value, None)


class OpenTransaction:
    """The transaction that a work receives: its part of the group's transaction.

    Its savepoint is set before its first statement, so that a work without statements costs none.
    """

    __slots__ = ("_connection", "_error", "_guarded", "_over", "_saved", "_where")

    def __init__(self, connection: WritingConnection, where: str, *, guarded: bool) -> None:
        self._connection = connection
        self._where = where
        self._guarded = guarded
        self._saved = False
        self._over = False
        self._error: StorageError | None = None

    @property
    def dialect(self) -> Dialect:
        """The dialect of its SQL."""
        return self._connection.dialect

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement and return the number of changed rows."""
        self._enter(sql)
        return self._do(self._connection.execute, sql, parameters)

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run a statement for each of `rows` and return the number of changed rows."""
        self._enter(sql)
        return self._do(self._connection.execute_many, sql, rows)

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows."""
        self._enter(sql)
        return self._do(self._connection.rows, sql, parameters)

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row, or None."""
        self._enter(sql)
        return self._do(self._connection.row, sql, parameters)

    def each(self, sql: str, parameters: Parameters = ()) -> Iterator[Row]:
        """Yield the rows without holding all of them in memory."""
        self._enter(sql)
        try:
            yield from self._connection.each(sql, parameters)
        except StorageError as error:
            self._error = error
            raise

    def finish(self) -> None:
        """Merge the changes into the group's transaction. Raises the error of a failed statement."""
        self._over = True
        if self._error is not None:
            raise self._error
        if self._saved:
            self._do(self._connection.release)

    def undo(self, error: BaseException) -> BaseException:
        """Undo the changes and return the error of the work.

        Raises an error that ended the whole transaction instead.
        """
        self._over = True
        if isinstance(self._error, ConnectionLost):
            raise self._error
        if not self._connection.in_transaction:
            raise self._error or StorageError(self._where, "the transaction ended by itself") from error
        if self._saved:
            self._connection.undo()
        elif not self._guarded:
            self._connection.rollback()
        return error

    def _enter(self, sql: str) -> None:
        if self._over:
            raise StatementFailed(self._where, "the write of this transaction has ended", sql)
        if self._error is not None:
            raise self._error
        if fault := fault_of(sql):
            self._error = StatementFailed(self._where, fault, sql)
            raise self._error
        if self._guarded and not self._saved:
            self._do(self._connection.savepoint)
            self._saved = True

    def _do(self, method: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        try:
            return method(*arguments, **options)
        except StorageError as error:
            self._error = error
            raise
