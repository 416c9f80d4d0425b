"""The contract of a backend: the methods in which SQLite and PostgreSQL differ, and the transaction statements that they share."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from coterie.errors import StorageUnavailable
from coterie.storage.dialect import Dialect
from coterie.storage.transaction import Parameters, Row, Transaction

Work: TypeAlias = "Callable[[Transaction], Any]"


class WriteOutcome(NamedTuple):
    """The result or the error of one work."""

    value: Any
    error: BaseException | None


class ConnectionLost(StorageUnavailable):
    """A connection broke. Its work may be done again over another one. Used inside this room only."""

    def ended(self) -> StorageUnavailable:
        """Return the public error, for a caller that does not try again."""
        return StorageUnavailable(self.where, self.reason)


class ReadingConnection(Protocol):
    """One connection, used by one thread at a time. All methods raise only errors of storage."""

    @property
    def dialect(self) -> Dialect:
        """The dialect of its SQL."""
        ...

    @property
    def usable(self) -> bool:
        """True if it can be used again: it is open and not in a transaction."""
        ...

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Return all rows; an empty list for a statement without rows."""
        ...

    def row(self, sql: str, parameters: Parameters) -> Row | None:
        """Return the first row, or None."""
        ...

    def each(self, sql: str, parameters: Parameters) -> Iterator[Row]:
        """Yield the rows without holding all of them in memory. Only within a transaction or a read."""
        ...

    def begin_reading(self) -> None:
        """Read from one snapshot until `end_reading`."""
        ...

    def end_reading(self) -> None:
        """End the snapshot, also after a failed read."""
        ...

    def close(self) -> None:
        """Close it. Must not raise."""
        ...


class WritingConnection(ReadingConnection, Protocol):
    """A connection that also writes."""

    @property
    def in_transaction(self) -> bool:
        """True while a transaction is open."""
        ...

    def execute(self, sql: str, parameters: Parameters) -> int:
        """Run a statement and return the number of changed rows; -1 if it does not change rows."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Parameters]) -> int:
        """Run a statement for each of `rows` and return the number of changed rows."""
        ...

    def savepoint(self) -> None:
        """Set a savepoint, which `release` or `undo` ends."""
        ...

    def release(self) -> None:
        """End the savepoint and keep its changes."""
        ...

    def undo(self) -> None:
        """End the savepoint and undo its changes."""
        ...

    def rollback(self) -> None:
        """Undo the whole transaction, if one is open."""
        ...


class Store(Protocol):
    """The write side of a database. Only the writer's thread uses it, except for `give_up`."""

    reconnects: int
    """Successful reconnects to a lost server."""

    def touch(self, transaction: Transaction, /) -> None:
        """Change nothing, but make the commit flush all earlier commits to the disk."""
        ...

    def store(self, works: Sequence[Work], *, durable: bool) -> list[WriteOutcome]:
        """Do the works, or the first few, in one transaction, commit it, and return their outcomes.

        Raises an error of storage if the transaction fails: then no work is done.
        """
        ...

    def rest(self) -> None:
        """Do deferred maintenance while no writes are queued. Must not raise."""
        ...

    def compact(self) -> None:
        """Rewrite the database, so that deleted rows are gone from its files. Raises an error of storage if that fails."""
        ...

    def give_up(self) -> None:
        """Stop waiting for a lost server. Called from another thread."""
        ...

    def close(self) -> None:
        """Close the connection. Must not raise."""
        ...


class Transacting(abc.ABC):
    """Ends transactions and manages savepoints. One thread uses it at a time."""

    @property
    @abc.abstractmethod
    def in_transaction(self) -> bool:
        """True while a transaction is open, even a failed one."""

    @abc.abstractmethod
    def execute(self, sql: str, parameters: Parameters) -> int:
        """Run a statement and return the number of changed rows."""

    def commit(self) -> None:
        """Commit. After a failure the transaction may still be open; after `ConnectionLost` only the server knows."""
        self.execute("COMMIT", ())

    def savepoint(self) -> None:
        """Set a savepoint."""
        self.execute("SAVEPOINT one_work", ())

    def release(self) -> None:
        """Merge the savepoint into the transaction."""
        self.execute("RELEASE one_work", ())

    def undo(self) -> None:
        """Roll back to the savepoint."""
        self.execute("ROLLBACK TO one_work", ())
        self.execute("RELEASE one_work", ())

    def rollback(self) -> None:
        """Undo the whole transaction, if one is open."""
        if self.in_transaction:
            self.execute("ROLLBACK", ())
