"""A server as a database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from coterie.errors import StorageUnavailable
from coterie.kernel import Clock, clock_or_system
from coterie.storage.dialect import Dialect
from coterie.storage.engine import BaseDatabase, ConnectionLost, ReadingConnection, SharedDatabase, Store
from coterie.storage.postgres.address import ConnectionTarget


class PostgresDatabase(BaseDatabase):
    """The database at an address, ``postgresql://USER:PASSWORD@HOST:PORT/NAME``. See `Database` for what it promises.

    Each has a writer and readers of its own, and other processes may use the same database at the same time: what one
    writes is in an order, but against others only the database's own rules hold. PostgreSQL must be 12 or later.

    When the server goes away, writes wait for it up to `patience` seconds, and then fail with `StorageUnavailable`;
    reads try once more and fail at once. It is found again by itself. A write whose outcome could not be learnt says
    so: its error is `doubtful`. The password is in no error and in no log.

    Every write is durable here, whether it is asked for or not. `readers` is how many may read at once, others wait; `capacity` is how many writes may be queued. Raises
    `StorageUnavailable` if the server cannot be reached now.
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
        super().__init__(
            SharedDatabase(
                address.shown, Dialect.POSTGRES, store, connect, clock, readers=readers, capacity=capacity, patience=patience
            )
        )

    def check(self) -> list[str]:
        """Ask whether the server answers. It looks after its files by itself."""
        self.row("SELECT 1")
        return []

    def _leave(self, timeout: float) -> None:
        self._engine.close(timeout)


def _driver(address: ConnectionTarget, clock: Clock, patience: float) -> tuple[Store, Callable[[], ReadingConnection]]:
    """Connect. The library is an extra, and is only looked for when a server is wanted."""
    try:
        from coterie.storage.postgres.connection import PostgresConnection  # noqa: PLC0415
        from coterie.storage.postgres.store import PostgresStore  # noqa: PLC0415
    except ImportError as error:
        raise StorageUnavailable(address.shown, "needs psycopg: pip install 'coterie[postgres]'") from error
    try:
        return PostgresStore(address, clock, patience), partial(PostgresConnection, address)
    except ConnectionLost as lost:
        raise lost.ended() from None
