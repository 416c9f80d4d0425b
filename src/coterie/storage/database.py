"""What a database is, whichever it is: the contract of this room."""

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
    """What a database has done since it was opened, by all its users in this process."""

    stored: int = 0
    """Writes that were committed."""
    failed: int = 0
    """Writes that were not."""
    commits: int = 0
    """Transactions they took. Stored writes for each commit are what grouping gains."""
    queued: int = 0
    """Writes that wait for the writer now."""
    readers: int = 0
    """Connections that are open for reading now."""
    reconnects: int = 0
    """How often a lost server was found again."""


class Database(Protocol):
    """One writer that groups commits, and many readers. Safe from any thread, and from any event loop.

    ::

        with open_database("run.db") as database:
            database.migrate(Schema("notes", ("CREATE TABLE notes (id TEXT PRIMARY KEY, body TEXT NOT NULL)",)))
            database.write(lambda write: write.execute("INSERT INTO notes VALUES (?, ?)", ("a", "hello"))).result()
            database.row("SELECT body FROM notes WHERE id = ?", ("a",))

    All raise `StorageClosed` after `close`, and `StorageForked` in a child of the process that opened it.
    """

    @property
    def name(self) -> str:
        """Its path, or its address without the password."""
        ...

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""
        ...

    def write(self, work: Callable[[Transaction], T], *, durable: bool = True, timeout: float | None = None) -> Pending[T]:
        """Have `work` done by the writer, and return at once what will hold its result: wait for it, or await it.

        Works are done in the order in which they were given, many in one transaction. One that raises changes nothing,
        fails alone, and its error arrives at the one who waits. A result arrives only when its transaction is
        committed, so it survives the end of this process; with `durable` it has also reached the disk, so it survives
        a loss of power. Without, it reaches it with the next durable write or `flush`.

        `work` should be short, and do nothing but use its transaction: it is done again where a server was lost, or a
        full disk undid the whole group. It runs on the writer's thread.

        While the queue is full this waits for room, `timeout` seconds or as long as it takes; 0 does not wait. Raises
        `StorageBusy` if there was none: the write was not taken.
        """
        ...

    def read(self, work: Callable[[ReadTransaction], T]) -> T:
        """Do `work` on this thread and return what it returns. All that it reads is of one moment.

        It sees everything that was acknowledged before, and waits for no write. A read inside a read sees the same
        moment. Raises `StorageBusy` when no connection was free for a long time.
        """
        ...

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Read the rows of a single statement. Cheaper than `read`."""
        ...

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Read the first row of a single statement, or None. Cheaper than `read`."""
        ...

    def migrate(self, schema: Schema) -> int:
        """Bring a room's tables to the newest version of its schema, and return that version.

        Does nothing if they are. Safe under several users at once. Raises `MigrationError`, and changes nothing, if a
        step fails or the tables are of a later version than is known here.
        """
        ...

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was written before is on the disk, or has failed. Raises `WaitTimeout` after `timeout` seconds."""
        ...

    def check(self) -> list[str]:
        """Read through the whole database, and return a line for each damage found."""
        ...

    def statistics(self) -> StorageStatistics:
        """Return what it has done."""
        ...

    def close(self, timeout: float = 10.0) -> None:
        """Write what was accepted, and let go. Writes that are not done in `timeout` seconds fail.

        Another user of the same file in this process is not affected. To close again does nothing. A work cannot close
        the database that it writes to: that raises `WriteInsideWrite`.
        """
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None, /
    ) -> None: ...
