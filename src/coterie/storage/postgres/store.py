"""The write side of PostgreSQL, with reconnects and a check of interrupted commits."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Sequence

from coterie.concurrency import AutoResetEvent, Timers
from coterie.errors import StorageError, StorageUnavailable
from coterie.errors.storage import StatementFailed, StorageBusy
from coterie.kernel import Clock
from coterie.storage.engine import ConnectionLost, Work, WriteOutcome, run_group
from coterie.storage.postgres.address import ConnectionTarget
from coterie.storage.postgres.connection import PostgresConnection
from coterie.storage.transaction import Transaction

_WRITERS_LOCK = 0x636F746572696501
"""The number of the advisory lock that guards the creation of the table."""

_WRITERS_TABLE = """
CREATE TABLE IF NOT EXISTS coterie_writers (writer TEXT PRIMARY KEY, token BIGINT NOT NULL, seen TIMESTAMPTZ NOT NULL)
"""


class CommitCheck:
    """A row of this writer, in which each of its transactions stores its number.

    If the row holds the number, the whole transaction was committed. The server's own record (`txid_status`) is not
    sufficient: after a crash the server may reuse the number of a lost transaction. Reading the row waits for a
    transaction that still changes it, so it also waits for one that the server continues without its client.

    The writer deletes its row when it closes; rows of killed writers are deleted after a month.
    """

    def __init__(self) -> None:
        self._writer = uuid.uuid4().hex
        self._token = 0

    def prepare(self, connection: PostgresConnection) -> None:
        """Create the table and the row."""
        connection.script(
            f"BEGIN; SELECT pg_advisory_xact_lock({_WRITERS_LOCK}); {_WRITERS_TABLE};"  # noqa: S608 - only constants of this module
            f"DELETE FROM coterie_writers WHERE seen < now() - interval '30 days'; {self._leave()}; COMMIT"
        )

    def opening(self) -> str:
        """Return the first statement of the next transaction."""
        self._token += 1
        return self._leave()

    def was_committed(self, connection: PostgresConnection) -> bool:
        """Return whether the last transaction was committed, over a new connection. Raises `ConnectionLost` to ask again."""
        try:
            connection.script("BEGIN; SET LOCAL lock_timeout = '2s'")
            row = connection.row("SELECT token FROM coterie_writers WHERE writer = ? FOR UPDATE", (self._writer,))
        except StatementFailed as error:
            raise ConnectionLost(error.where, f"a transaction whose connection was lost has not ended yet: {error}") from error
        finally:
            connection.rollback()
        return row is not None and row[0] == self._token

    def end(self, connection: PostgresConnection) -> None:
        """Delete the row."""
        connection.execute("DELETE FROM coterie_writers WHERE writer = ?", (self._writer,))

    def _leave(self) -> str:
        return (
            f"INSERT INTO coterie_writers (writer, token, seen) VALUES ('{self._writer}', {self._token}, now()) "  # noqa: S608 - as above
            "ON CONFLICT (writer) DO UPDATE SET token = excluded.token, seen = excluded.seen"
        )


_log = logging.getLogger(__name__)

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 2.0
"""Seconds between two attempts to reconnect: from the first, doubled each time, up to the longest."""


_OWN_TABLES = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user"
_OLDER_TRANSACTIONS = """
    SELECT count(*) FROM (
        SELECT backend_xmin AS held FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()
        UNION ALL SELECT xmin FROM pg_replication_slots
        UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()
    ) AS horizons WHERE held IS NOT NULL AND age(held) > age(CAST(? AS xid))
"""
_COMPACT_TRIES, _COMPACT_PAUSE = 200, 0.05
"""How often, and with how many seconds between, it looks whether older transactions have ended."""


class PostgresStore:
    """Commits groups to a server. Only the writer's thread uses it, except for `give_up`.

    When the connection is lost, the group waits up to `patience` seconds of the clock and is done again. If it was lost
    during the commit, `CommitCheck` finds out whether the commit happened. So a group is stored exactly once, and
    an acknowledged group is stored.
    """

    def __init__(self, address: ConnectionTarget, clock: Clock, patience: float) -> None:
        self.reconnects = 0
        self._address = address
        self._clock = clock
        self._patience = patience
        self._commit_check = CommitCheck()
        connection = PostgresConnection(address, writes=True)
        try:
            self._commit_check.prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection: PostgresConnection | None = connection
        self._timers = Timers(clock, "storage")
        self._doorbell = AutoResetEvent()
        self._given_up = False

    def touch(self, transaction: Transaction) -> None:
        """Do nothing: every commit is already durable."""

    def store(self, works: Sequence[Work], *, durable: bool) -> list[WriteOutcome]:  # noqa: ARG002 - as Store
        """Do the works in one transaction, and again after each lost connection.

        Every commit is durable: a server can crash without its clients and lose unwritten commits.
        """
        attempt = _Attempt(self._clock.monotonic() + self._patience)
        while True:
            try:
                return self._once(attempt, works)
            except ConnectionLost as lost:
                self._drop()
                self._wait(attempt, lost)

    def rest(self) -> None:
        """Do nothing: the server maintains itself."""

    def compact(self) -> None:
        """Rewrite the tables of the schema that belong to this user, and the statistics, which have samples of their values.

        The statistics are rewritten only if the user owns the database. The server's log and backups are not touched. Raises
        `StorageBusy` if a transaction stays open for which the server keeps deleted rows.
        """
        connection = self._connected()
        try:
            self._wait_for_older_transactions(connection)
            for (table,) in connection.rows(_OWN_TABLES, ()):
                connection.execute(f"VACUUM (FULL, ANALYZE) {table}", ())
            # Without the right to do it, the server only warns.
            connection.execute("VACUUM (FULL) pg_catalog.pg_statistic", ())
        except ConnectionLost as lost:
            self._drop()
            raise StorageUnavailable(self._address.shown, lost.reason) from lost

    def _wait_for_older_transactions(self, connection: PostgresConnection) -> None:
        row = connection.row("SELECT (txid_current() % 4294967296)::text", ())
        assert row is not None
        held = 0
        for _ in range(_COMPACT_TRIES):
            ((held,),) = connection.rows(_OLDER_TRANSACTIONS, (row[0],))
            if not held:
                return
            if self._doorbell.wait(_COMPACT_PAUSE):
                break
        reason = f"{held} open transactions or replication slots may still see the deleted rows, and the server keeps these"
        raise StorageBusy(self._address.shown, reason, _COMPACT_TRIES * _COMPACT_PAUSE)

    def give_up(self) -> None:
        """Stop waiting for the server. Safe from any thread."""
        self._given_up = True
        self._doorbell.set()

    def close(self) -> None:
        """Close the connection."""
        self._timers.close()
        if self._connection is not None:
            try:
                self._commit_check.end(self._connection)
            except StorageError as error:
                # Another writer deletes the row that is left behind.
                _log.debug("%s: left a row behind: %s", self._address.shown, error)
        self._drop()

    def _once(self, attempt: _Attempt, works: Sequence[Work]) -> list[WriteOutcome]:
        connection = self._connected()
        if attempt.outcomes is not None:
            if self._commit_check.was_committed(connection):
                return attempt.outcomes
            attempt.outcomes = None
        connection.script(f"BEGIN; {self._commit_check.opening()}")
        try:
            outcomes = run_group(connection, works, self._address.shown, self._clock)
            if connection.in_transaction:
                # From here on it may be committed without an answer.
                attempt.outcomes = outcomes
                connection.commit()
        except ConnectionLost:
            raise
        except BaseException:
            attempt.outcomes = None
            with contextlib.suppress(StorageError):
                # The first error is being raised already.
                connection.rollback()
            raise
        return outcomes

    def _connected(self) -> PostgresConnection:
        if self._connection is None:
            self._connection = PostgresConnection(self._address, writes=True)
            self.reconnects += 1
            _log.info("reconnected to %s", self._address.shown)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _wait(self, attempt: _Attempt, lost: ConnectionLost) -> None:
        """Wait before the next attempt. Raises `StorageUnavailable` after `patience` seconds."""
        left = attempt.deadline - self._clock.monotonic()
        if left <= 0 or self._given_up:
            problem = f"{lost.reason} (after {self._patience:g} s of trying)" if not self._given_up else lost.reason
            raise StorageUnavailable(self._address.shown, problem, doubtful=attempt.outcomes is not None) from lost
        if attempt.delay == _FIRST_DELAY:
            _log.warning("%s; trying again for %g s", lost, left)
        timer = self._timers.call_later(min(attempt.delay, left), self._doorbell.set)
        self._doorbell.wait()
        timer.cancel()
        attempt.delay = min(attempt.delay * 2, _LONGEST_DELAY)


class _Attempt:
    """The state of one group. `outcomes` is set while it may have been committed without an answer."""

    __slots__ = ("deadline", "delay", "outcomes")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.delay = _FIRST_DELAY
        self.outcomes: list[WriteOutcome] | None = None
