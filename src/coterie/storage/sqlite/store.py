"""The write side of SQLite."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from coterie.errors import StorageError
from coterie.kernel import Clock
from coterie.storage.engine import Work, WriteOutcome, run_group
from coterie.storage.sqlite.connection import SqliteConnection
from coterie.storage.transaction import Transaction

_log = logging.getLogger(__name__)

_CHECKPOINT_AFTER = 2_000
"""Works after which the log is checkpointed, between two commits."""

_APPLICATION = 0x436F7465
"""The application id in the header of the file ("Cote"), for programs such as ``file``."""


class SqliteStore:
    """Commits groups to a file. Only the writer's thread uses it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.reconnects = 0
        self._path = path
        self._clock = clock
        self._connection = SqliteConnection(path, writes=True)
        self._since_checkpoint = 0

    def touch(self, transaction: Transaction) -> None:
        """Rewrite a page unchanged: a durable commit without changes would not flush the disk."""
        transaction.rows(f"PRAGMA application_id = {_APPLICATION}")

    def store(self, works: Sequence[Work], *, durable: bool) -> list[WriteOutcome]:
        """Do the works in one transaction."""
        if self._since_checkpoint >= _CHECKPOINT_AFTER:
            self.rest()
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
        """Checkpoint the log as far as readers allow. No write waits for it."""
        self._since_checkpoint = 0
        self._checkpoint("PASSIVE")

    def give_up(self) -> None:
        """Do nothing: a file has no connection to wait for."""

    def close(self) -> None:
        """Checkpoint the log and close the file."""
        self._checkpoint("TRUNCATE")
        self._connection.close()

    def _checkpoint(self, how: str) -> None:
        try:
            self._connection.rows(f"PRAGMA wal_checkpoint({how})", ())
        except StorageError as error:
            # Commits are safe in the log; a later checkpoint will move them.
            _log.warning("the log was not checkpointed: %s", error)
