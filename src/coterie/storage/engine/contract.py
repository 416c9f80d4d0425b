"""What the engine asks of a database: the few methods in which SQLite and PostgreSQL differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from coterie.errors import StorageUnavailable
from coterie.storage.dialect import Dialect
from coterie.storage.transaction import Parameters, Row, Transaction

Work: TypeAlias = "Callable[[Transaction], Any]"


class WriteOutcome(NamedTuple):
    """What came of one work."""

    value: Any
    error: BaseException | None


class ConnectionLost(StorageUnavailable):
    """A connection broke in the middle. What it was doing may be done again over another. A signal within this room."""

    def ended(self) -> StorageUnavailable:
        """Return the error for outside, where it is not tried again."""
        return StorageUnavailable(self.where, self.reason)


class ReadingConnection(Protocol):
    """One connection. One thread uses it at a time. All methods raise the errors of storage, and no others."""

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""
        ...

    @property
    def usable(self) -> bool:
        """Whether it may be used again: it is open, and in no transaction."""
        ...

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Return all rows; none from a statement that has no rows."""
        ...

    def row(self, sql: str, parameters: Parameters) -> Row | None:
        """Return the first row, or None."""
        ...

    def each(self, sql: str, parameters: Parameters) -> Iterator[Row]:
        """Go through the rows without holding all of them in memory. Only within a transaction, or a reading."""
        ...

    def begin_reading(self) -> None:
        """Let all that is read until `end_reading` be of one moment."""
        ...

    def end_reading(self) -> None:
        """Let what is read be of the present again, however the reading went."""
        ...

    def close(self) -> None:
        """Close it. Must not raise."""
        ...


class WritingConnection(ReadingConnection, Protocol):
    """A connection that also writes."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def execute(self, sql: str, parameters: Parameters) -> int:
        """Run a statement, and return how many rows it touched; -1 if it is none that touches rows."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run a statement for each of `rows`, and return how many rows it touched in all."""
        ...

    def savepoint(self) -> None:
        """Begin what `release` makes part of the transaction, and `undo` makes undone."""
        ...

    def release(self) -> None:
        """End what `savepoint` began, and keep it."""
        ...

    def undo(self) -> None:
        """End what `savepoint` began, and undo it."""
        ...

    def rollback(self) -> None:
        """Undo the whole transaction, if one is open."""
        ...


class Store(Protocol):
    """The side of a database that writes. Only the writer's thread uses it, `give_up` apart."""

    reconnects: int
    """How often a lost server was found again."""

    def touch(self, transaction: Transaction, /) -> None:
        """Change nothing, but make sure that the commit takes all before it to the disk."""
        ...

    def store(self, works: Sequence[Work], *, durable: bool) -> list[WriteOutcome]:
        """Do the works in one transaction, or the first few of them, commit it, and return the outcome of each.

        Raises an error of storage if that cannot be: then none of the works is done.
        """
        ...

    def rest(self) -> None:
        """Do what is best done while there is nothing to write. Must not raise."""
        ...

    def give_up(self) -> None:
        """Wait for a lost server no longer. Called from another thread."""
        ...

    def close(self) -> None:
        """Let go of the database. Must not raise."""
        ...
