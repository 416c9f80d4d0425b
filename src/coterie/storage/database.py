"""The contract of all databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

from coterie.storage.dialect import Dialect
from coterie.storage.migrations import Schema
from coterie.storage.pending import Pending
from coterie.storage.transaction import Parameters, ReadTransaction, Row, Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StorageStatistics:
    """Counts of a database since it was opened, over all its users in this process."""

    stored: int = 0
    """Committed writes."""
    failed: int = 0
    """Failed writes."""
    commits: int = 0
    """Transactions of the committed writes. `stored / commits` is the gain of grouping."""
    queued: int = 0
    """Writes in the queue now."""
    readers: int = 0
    """Open read connections now."""
    reconnects: int = 0
    """Successful reconnects to a lost server."""


class Database(Protocol):
    """One writer that groups commits, and many readers. Safe from any thread, and from any event loop.

    ::

        with open_database("run.db") as database:
            database.migrate(Schema("notes", ("CREATE TABLE notes (id TEXT PRIMARY KEY, body TEXT NOT NULL)",)))
            database.write(lambda write: write.execute("INSERT INTO notes VALUES (?, ?)", ("a", "hello"))).result()
            database.row("SELECT body FROM notes WHERE id = ?", ("a",))

    All methods raise `StorageClosed` after `close`, and `StorageForked` in a forked child of the process that opened it.
    """

    @property
    def name(self) -> str:
        """The path, or the address without its password."""
        ...

    @property
    def dialect(self) -> Dialect:
        """The dialect of its SQL."""
        ...

    def write(self, work: Callable[[Transaction], T], *, durable: bool = True, timeout: float | None = None) -> Pending[T]:
        """Queue `work` for the writer and return its pending result at once: wait for it, or await it.

        The writer does works in the order of their calls, many in one transaction. A work that raises changes nothing,
        fails alone, and its error is raised by the pending result. A result arrives when its transaction is committed,
        so it survives the end of this process; with `durable` it has also reached the disk, so it survives a loss of
        power. Without `durable` it reaches the disk with the next durable write or `flush`.

        `work` should be short and only use its transaction: it runs again if a server was lost, or if a full disk
        undid the whole group. It runs on the writer's thread.

        While the queue is full, this waits up to `timeout` seconds, or without a limit for None; 0 does not wait. Raises
        `StorageBusy` if no place became free: the write was not accepted.
        """
        ...

    def read(self, work: Callable[[ReadTransaction], T]) -> T:
        """Call `work` on this thread and return its result. All its reads see one snapshot.

        The snapshot includes every acknowledged write, and the read never waits for a write. A read inside a read uses
        the same snapshot. Raises `StorageBusy` if no connection was free for 30 seconds (on PostgreSQL, `patience`).
        """
        ...

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return the rows of a single statement. Cheaper than `read`."""
        ...

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row of a single statement, or None. Cheaper than `read`."""
        ...

    def migrate(self, schema: Schema) -> int:
        """Migrate tables to the newest version of their schema, and return that version.

        Does nothing if they have that version. Safe with several users at once. Raises `MigrationError`, and changes
        nothing, if a step fails or the tables have a later version than the schema.
        """
        ...

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all earlier writes are on the disk or have failed. Raises `WaitTimeout` after `timeout` seconds."""
        ...

    def compact(self) -> None:
        """Rewrite the database after all earlier writes, so that the bytes of deleted rows are gone from its files.

        Writes wait meanwhile: about a second for 100 MB. Raises `StorageError` if that fails: the data are unchanged then.
        """
        ...

    def check(self) -> list[str]:
        """Check the whole database and return a line for each damage."""
        ...

    def statistics(self) -> StorageStatistics:
        """Return the counts."""
        ...

    def close(self, timeout: float = 10.0) -> None:
        """Finish the accepted writes and close. Writes that are not done within `timeout` seconds fail.

        Other users of the same file in this process are not affected. Closing again does nothing. Inside a write to the
        same database, this raises `WriteInsideWrite`.
        """
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None, /
    ) -> None: ...
