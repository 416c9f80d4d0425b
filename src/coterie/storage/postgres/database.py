"""The PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from coterie.errors import ExtraMissing
from coterie.kernel import Clock, clock_or_system
from coterie.storage.dialect import Dialect
from coterie.storage.engine import BaseDatabase, ConnectionLost, ReadingConnection, SharedDatabase, Store
from coterie.storage.postgres.address import ConnectionTarget


class PostgresDatabase(BaseDatabase):
    """The database at an address, ``postgresql://USER:PASSWORD@HOST:PORT/NAME``. Implements `Database`.

    Each object has its own writer and readers, and other processes may use the same database at the same time. The writes
    of one object are ordered; only the database's own rules order them against others. Needs PostgreSQL 12 or later.

    When the server is lost, writes wait for it up to `patience` seconds, then fail with `StorageUnavailable`; reads try
    once more. It reconnects by itself. The error of a write with an unknown outcome is `doubtful`. No error and no log
    shows the password.

    Every write is durable, whether requested or not. `readers` is the number of concurrent reads, further ones wait;
    `capacity` is the number of queued writes. Raises `StorageUnavailable` if the server cannot be reached, and `ExtraMissing`
    without the extra ``postgres``.
    """

    def __init__(
        self,
        url: str,
        *,
        readers: int = 8,
        capacity: int = 10_000,
        patience: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        address = ConnectionTarget(url)
        clock = clock_or_system("PostgresDatabase.clock", clock)
        store, connect = _driver(address, clock, patience)
        engine = SharedDatabase(
            address.shown, Dialect.POSTGRES, store, connect, clock, readers=readers, capacity=capacity, patience=patience
        )
        super().__init__(engine, engine.close)

    def check(self) -> list[str]:
        """Check that the server answers. It checks its files by itself."""
        self.row("SELECT 1")
        return []


def _driver(address: ConnectionTarget, clock: Clock, patience: float) -> tuple[Store, Callable[[], ReadingConnection]]:
    """Connect. The library is an extra, so it is imported only when a server is used."""
    try:
        from coterie.storage.postgres.connection import PostgresConnection  # noqa: PLC0415
        from coterie.storage.postgres.store import PostgresStore  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing("a database in PostgreSQL", "postgres") from error
    try:
        return PostgresStore(address, clock, patience), partial(PostgresConnection, address)
    except ConnectionLost as lost:
        raise lost.ended() from None
