"""The contracts of transactions, and the types of their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from coterie.storage.dialect import Dialect

Row: TypeAlias = tuple[Any, ...]
"""One row. Its values are `int`, `float`, `str`, `bytes` or None."""


Parameters: TypeAlias = Sequence[Any]
"""The values for the question marks of a statement, in order."""


class ReadTransaction(Protocol):
    """A snapshot of a database. It is valid during the call of its work, on that thread.

    Each method takes one SQL statement with question marks for its values. Raises `StatementFailed` if the database
    refuses it, and other errors of storage for faults of the database.
    """

    @property
    def dialect(self) -> Dialect:
        """The dialect of its SQL."""
        ...

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows."""
        ...

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row, or None."""
        ...

    def each(self, sql: str, parameters: Parameters = ()) -> Iterator[Row]:
        """Yield the rows without holding all of them in memory."""
        ...


class Transaction(ReadTransaction, Protocol):
    """A read transaction that also makes, and sees, the changes of one write.

    It begins and ends by itself: statements such as ``COMMIT`` are refused. When a statement fails, the write fails, even
    if the work catches the error.
    """

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement and return the number of inserted, changed or deleted rows; -1 for other statements."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run a statement for each of `rows` and return the number of changed rows."""
        ...
