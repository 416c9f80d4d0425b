"""The company as one object, which tools use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from coterie.kernel import Clock
from coterie.storage import Database, open_database

from .desk.accounts import Accounts
from .desk.catalogue import Catalogue
from .desk.changes import Changes
from .desk.identity import Identity
from .records.beginning import begin
from .records.tables import SCHEMA


@dataclass(frozen=True)
class Company:
    """The desk over one database. Safe from any thread."""

    database: Database
    identity: Identity
    accounts: Accounts
    catalogue: Catalogue
    changes: Changes
    time_scale: float
    """The factor of the seconds that work in other systems takes; 0 for no time."""

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        clock: Clock,
        send: Callable[[str, str], None],
        time_scale: float = 1.0,
        fixed_code: str = "",
    ) -> Company:
        """Open the database, and fill it if it is new. `send` sends a text to a telephone."""
        database = open_database(path)
        database.migrate(SCHEMA)
        begin(database, clock)
        identity = Identity(database, clock, send, fixed_code)
        return cls(
            database=database,
            identity=identity,
            accounts=Accounts(database, identity),
            catalogue=Catalogue(database),
            changes=Changes(database, identity, clock),
            time_scale=time_scale,
        )

    async def elsewhere(self, seconds: float) -> None:
        """Wait for another system of the company, which takes its time."""
        await asyncio.sleep(seconds * self.time_scale)

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def key_of(namespace: tuple[str, ...]) -> str:
    """Return a namespace as one text, which is unique."""
    return "/".join(quote(part, safe="") for part in namespace)
