"""The side of a file that writes."""

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
"""Works after which the log is taken into the file, between two commits and after those who wait were told."""

_APPLICATION = 0x436F7465
"""What the header of the file says of whose it is ("Cote"), for programs such as ``file``."""


class SqliteStore:
    """Writes groups to a file. Only the writer's thread uses it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.reconnects = 0
        self._path = path
        self._clock = clock
        self._connection = SqliteConnection(path, writes=True)
        self._since_checkpoint = 0

    def touch(self, transaction: Transaction) -> None:
        """Change a page, to what it was: a durable commit that changes nothing would not reach for the disk."""
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
        """Take the log into the file, as far as readers let it. Nobody waits for that."""
        self._since_checkpoint = 0
        self._checkpoint("PASSIVE")

    def give_up(self) -> None:
        """There is nothing to give up: a file does not go away for a while."""

    def close(self) -> None:
        """Take in the log, and close the file."""
        self._checkpoint("TRUNCATE")
        self._connection.close()

    def _checkpoint(self, how: str) -> None:
        try:
            self._connection.rows(f"PRAGMA wal_checkpoint({how})", ())
        except StorageError as error:
            # What was committed is safe in the log; it will be taken in another time.
            _log.warning("the log was not taken in: %s", error)
