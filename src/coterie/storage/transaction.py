"""The reads and writes of one transaction, and the values that they take and return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from coterie.storage.dialect import Dialect

Row: TypeAlias = tuple[Any, ...]
"""One row. What it holds is `int`, `float`, `str`, `bytes` or None, in and out."""


Parameters: TypeAlias = Sequence[Any]
"""The values for the question marks of a statement, in their order."""


class ReadTransaction(Protocol):
    """One moment of a database, to be read. It lives as long as the work that it was given to, on that thread.

    Each method takes one SQL statement with question marks for its values. Raises `StatementFailed` for one that the
    database refuses, and the other errors of storage for what befalls the database.
    """

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""
        ...

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows."""
        ...

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row, or None if there is none."""
        ...

    def each(self, sql: str, parameters: Parameters = ()) -> Iterator[Row]:
        """Go through the rows without holding all of them in memory."""
        ...


class Transaction(ReadTransaction, Protocol):
    """A view that also sees, and makes, the changes of one write.

    It begins and ends by itself: statements such as ``COMMIT`` are refused. Once a statement has failed the write has
    failed, also where the work catches the error.
    """

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement, and return how many rows it inserted, changed or deleted; -1 if it does none of these."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run a statement once for each of `rows`, and return how many rows that touched in all."""
        ...
