"""The side of a server that writes, and comes back to it when it was away."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from coterie.concurrency import AutoResetEvent, Timers
from coterie.errors import StorageError, StorageUnavailable
from coterie.kernel import Clock
from coterie.storage.engine import ConnectionLost, Work, WriteOutcome, run_group
from coterie.storage.postgres.address import ConnectionTarget
from coterie.storage.postgres.connection import PostgresConnection
from coterie.storage.postgres.fate import Fate
from coterie.storage.transaction import Transaction

_log = logging.getLogger(__name__)

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 2.0
"""Seconds between two attempts to find a lost server: from the first, doubled each time, up to the longest."""


class PostgresStore:
    """Writes groups to a server. Only the writer's thread uses it, `give_up` apart.

    When the server goes away in the middle, the group waits for it, up to `patience` seconds of the clock, and is done
    again. If it went away while it was to commit, it is asked afterwards whether it had (`Fate`). So a group is stored
    once, and what is acknowledged is stored.
    """

    def __init__(self, address: ConnectionTarget, clock: Clock, patience: float) -> None:
        self.reconnects = 0
        self._address = address
        self._clock = clock
        self._patience = patience
        self._fate = Fate()
        connection = PostgresConnection(address, writes=True)
        try:
            self._fate.prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection: PostgresConnection | None = connection
        self._timers = Timers(clock, "storage")
        self._doorbell = AutoResetEvent()
        self._given_up = False

    def touch(self, transaction: Transaction) -> None:
        """Do nothing: what was committed is on the disk."""

    def store(self, works: Sequence[Work], *, durable: bool) -> list[WriteOutcome]:  # noqa: ARG002 - as Store
        """Do the works in one transaction, as often as it takes.

        Every commit is durable: a server can crash without its clients, and take with it what it had not written.
        """
        attempt = _Attempt(self._clock.monotonic() + self._patience)
        while True:
            try:
                return self._once(attempt, works)
            except ConnectionLost as lost:
                self._drop()
                self._wait(attempt, lost)

    def rest(self) -> None:
        """The server does by itself what has to be done."""

    def give_up(self) -> None:
        """Wait for the server no longer. Safe from any thread."""
        self._given_up = True
        self._doorbell.set()

    def close(self) -> None:
        """Close the connection."""
        self._timers.close()
        if self._connection is not None:
            try:
                self._fate.end(self._connection)
            except StorageError as error:
                # What is left behind is a row that somebody else will delete.
                _log.debug("%s: left a row behind: %s", self._address.shown, error)
        self._drop()

    def _once(self, attempt: _Attempt, works: Sequence[Work]) -> list[WriteOutcome]:
        connection = self._connected()
        if attempt.outcomes is not None:
            if self._fate.was_committed(connection):
                return attempt.outcomes
            attempt.outcomes = None
        connection.script(f"BEGIN; {self._fate.opening()}")
        try:
            outcomes = run_group(connection, works, self._address.shown, self._clock)
            if connection.in_transaction:
                # From here on it may be committed without our hearing of it.
                attempt.outcomes = outcomes
                connection.commit()
        except ConnectionLost:
            raise
        except BaseException:
            attempt.outcomes = None
            with contextlib.suppress(StorageError):
                # What is wrong is on its way up already.
                connection.rollback()
            raise
        return outcomes

    def _connected(self) -> PostgresConnection:
        if self._connection is None:
            self._connection = PostgresConnection(self._address, writes=True)
            self.reconnects += 1
            _log.info("%s was found again", self._address.shown)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _wait(self, attempt: _Attempt, lost: ConnectionLost) -> None:
        """Wait before the next attempt. Raises `StorageUnavailable` when patience is at its end."""
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
    """How far one group has come. `outcomes` are there while it may have been committed without our knowing."""

    __slots__ = ("deadline", "delay", "outcomes")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.delay = _FIRST_DELAY
        self.outcomes: list[WriteOutcome] | None = None
