"""A file as a database."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from coterie.errors import StorageCorrupt, StorageUnavailable
from coterie.kernel import Clock, clock_or_system
from coterie.storage.dialect import Dialect
from coterie.storage.engine import BaseDatabase, SharedDatabase
from coterie.storage.sqlite import sharing
from coterie.storage.sqlite.connection import SqliteConnection
from coterie.storage.sqlite.store import SqliteStore

_PATIENCE = 30.0
"""Seconds that a read waits for a connection."""


class SqliteDatabase(BaseDatabase):
    """The database in the file `path`, which is made if there is none. See `Database` for what it promises.

    Several of them with the same path in one process share one writer and one set of readers, which are as the first
    asked for them; another process gets `StorageLocked`, with the number of the process that has the file. The lock
    ends with that process, however it ends; it is `flock`, so files need a POSIX system. The file must be on a local disk: network file systems neither lock nor
    keep a write-ahead log reliably.

    `readers` is how many may read at once, others wait; `capacity` is how many writes may be queued. Raises the errors
    of storage if the file cannot be opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, readers: int = 16, capacity: int = 10_000, clock: Clock | None = None
    ) -> None:
        self.path = Path(path).resolve()
        _refuse_what_is_no_file(self.path)
        make = partial(_make, self.path, readers, capacity, clock_or_system("SqliteDatabase.clock", clock))
        self._file, engine = sharing.join(self.path, make)
        super().__init__(engine)

    def check(self) -> list[str]:
        """Read through the whole database, and return a line for each damage found."""
        try:
            found = [str(row[0]) for row in self.rows("PRAGMA integrity_check")]
        except StorageCorrupt as error:
            return [str(error)]
        return [] if found == ["ok"] else found

    def _leave(self, timeout: float) -> None:
        sharing.leave(self._file, timeout)


def _refuse_what_is_no_file(path: Path) -> None:
    if path.is_dir():
        raise StorageUnavailable(path, "is a folder; name a file in it")
    if path.exists() and not os.access(path, os.W_OK):
        # It could be read; but what would be written would be refused, much later.
        raise StorageUnavailable(path, "cannot be written; look at its permissions, and its disk's")
    if not path.parent.is_dir():
        raise StorageUnavailable(path, f"there is no folder {path.parent}; make it first")


def _make(path: Path, readers: int, capacity: int, clock: Clock) -> SharedDatabase:
    # Opened here, and not by the writer's thread, so that whoever opens it hears of what is wrong.
    store = SqliteStore(path, clock)
    connect = partial(SqliteConnection, path)
    return SharedDatabase(
        str(path), Dialect.SQLITE, store, connect, clock, readers=readers, capacity=capacity, patience=_PATIENCE
    )
