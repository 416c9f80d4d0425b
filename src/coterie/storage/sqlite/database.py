"""The SQLite database and its write side."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from coterie.errors import StorageCorrupt, StorageError, StorageUnavailable
from coterie.errors.storage import StorageBusy
from coterie.kernel import Clock, clock_or_system
from coterie.storage.dialect import Dialect
from coterie.storage.engine import BaseDatabase, SharedDatabase, Work, WriteOutcome, run_group
from coterie.storage.sqlite import sharing
from coterie.storage.sqlite.connection import LOG_KEPT, SqliteConnection
from coterie.storage.transaction import Transaction

_log = logging.getLogger(__name__)

_CHECKPOINT_AFTER = 2_000
"""Works after which the log is checkpointed, between two commits."""
_CHECKPOINT_BYTES = 2 * LOG_KEPT
"""Size of the log's file at which it is checkpointed, however few works that took."""
_PATIENT_BYTES = 4 * _CHECKPOINT_BYTES
"""Size of the log's file at which a checkpoint waits a moment for reads that hold the log."""
_MOMENT = 0.05
"""Seconds that such a checkpoint waits."""

_COMPACT_PATIENCE = 30.0
"""Seconds that a compaction waits for reads to end."""

_APPLICATION = 0x436F7465
"""The application id in the header of the file ("Cote"), for programs such as ``file``."""


class SqliteStore:
    """Commits groups to a file. Only the writer's thread uses it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.reconnects = 0
        self._path = path
        self._clock = clock
        self._connection = SqliteConnection(path, writes=True)
        self._log = path.with_name(f"{path.name}-wal")
        self._since_checkpoint = 0
        self._checkpoint_at = _CHECKPOINT_BYTES

    def touch(self, transaction: Transaction) -> None:
        """Rewrite a page unchanged: a durable commit without changes would not flush the disk."""
        transaction.rows(f"PRAGMA application_id = {_APPLICATION}")

    def store(self, works: Sequence[Work], *, durable: bool) -> list[WriteOutcome]:
        """Do the works in one transaction."""
        if self._since_checkpoint >= _CHECKPOINT_AFTER or self._log_size() >= self._checkpoint_at:
            self._checkpoint_between_commits()
        connection = self._connection
        connection.begin(durable=durable)
        try:
            outcomes = run_group(connection, works, str(self._path), self._clock)
            if connection.in_transaction:
                connection.commit()
        except BaseException:
            connection.rollback()
            raise
        self._since_checkpoint += len(outcomes)
        return outcomes

    def rest(self) -> None:
        """Checkpoint the log, and empty its file if no read holds it. No write waits for it."""
        self._since_checkpoint = 0
        with self._connection.patience(0.0):
            self._checkpoint("TRUNCATE")

    def compact(self) -> None:
        """Rewrite the file, and empty its log. Raises `StorageBusy` if a long read keeps the log from being emptied."""
        with self._connection.patience(_COMPACT_PATIENCE):
            self._connection.execute("VACUUM", ())
            if not self._checkpoint("TRUNCATE"):
                raise StorageBusy(self._path, "a read holds the log, which has the deleted rows", _COMPACT_PATIENCE)
        self._since_checkpoint = 0

    def give_up(self) -> None:
        """Do nothing: a file has no connection to wait for."""

    def close(self) -> None:
        """Checkpoint the log and close the file."""
        self._checkpoint("TRUNCATE")
        self._connection.close()

    def _checkpoint_between_commits(self) -> None:
        """Checkpoint the log as far as reads allow. The next commit then begins it anew, and cuts its file."""
        self._since_checkpoint = 0
        if self._log_size() < _PATIENT_BYTES:
            self._checkpoint("PASSIVE")
            return
        # Reads that overlap for ever would let the log grow for ever.
        with self._connection.patience(_MOMENT):
            self._checkpoint("TRUNCATE")

    def _log_size(self) -> int:
        """Return the bytes of the log's file."""
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def _checkpoint(self, how: str) -> bool:
        """Checkpoint the log, and return whether all of it was moved into the file."""
        whole = False
        try:
            busy, pages, moved = self._connection.rows(f"PRAGMA wal_checkpoint({how})", ())[0]
            whole = pages == moved and not busy
        except StorageError as error:
            # Commits are safe in the log; a later checkpoint will move them.
            _log.warning("the log was not checkpointed: %s", error)
        # What a read holds is not tried again with every commit.
        self._checkpoint_at = _CHECKPOINT_BYTES + (0 if whole else self._log_size())
        return whole


_PATIENCE = 30.0
"""Seconds that a read waits for a connection."""


class SqliteDatabase(BaseDatabase):
    """The database in the file `path`, which is created if missing. Implements `Database`.

    Several objects with the same path in one process share one writer and one set of readers, with the settings of the
    first. Another process gets `StorageLocked` with the id of the process that has the file. The lock (`flock`, so a
    POSIX system is needed) ends with that process. The file must be on a local disk: network file systems support
    neither locks nor write-ahead logs reliably.

    `readers` is the number of concurrent reads, further ones wait; `capacity` is the number of queued writes. Raises
    `StorageError` if the file cannot be opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, readers: int = 16, capacity: int = 10_000, clock: Clock | None = None
    ) -> None:
        self.path = Path(path).resolve()
        _check_file(self.path)
        make = partial(_make, self.path, readers, capacity, clock_or_system("SqliteDatabase.clock", clock))
        file, engine = sharing.join(self.path, make)
        super().__init__(engine, partial(sharing.leave, file))

    def check(self) -> list[str]:
        """Check the whole database and return a line for each damage."""
        try:
            found = [str(row[0]) for row in self.rows("PRAGMA integrity_check")]
        except StorageCorrupt as error:
            return [str(error)]
        return [] if found == ["ok"] else found


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise StorageUnavailable(path, "is a folder; name a file in it")
    if path.exists() and not os.access(path, os.W_OK):
        # Reads would work, but the first write would fail much later.
        raise StorageUnavailable(path, "cannot be written; check its permissions, and those of its disk")
    if not path.parent.is_dir():
        raise StorageUnavailable(path, f"the folder {path.parent} does not exist; create it first")


def _make(path: Path, readers: int, capacity: int, clock: Clock) -> SharedDatabase:
    # Opened here and not on the writer's thread, so that the caller gets the error.
    store = SqliteStore(path, clock)
    connect = partial(SqliteConnection, path)
    return SharedDatabase(
        str(path), Dialect.SQLITE, store, connect, clock, readers=readers, capacity=capacity, patience=_PATIENCE
    )
