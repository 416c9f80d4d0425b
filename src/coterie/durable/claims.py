"""Claims of durable agents by nodes that share one PostgreSQL database: leases of nodes, and an epoch for each agent.

A node has a *lease*, which it renews. It *claims* an agent before it reads the agent's state, and each change is stored only if
the claim is the latest one and the lease has not expired (C. Gray and D. Cheriton, "Leases", 1989). The clock is the database's
own, so the clocks of the nodes do not matter. A lease that has expired is never renewed: its owner begins again under a new name.
"""

from __future__ import annotations

from typing import NamedTuple

from coterie.durable.records import Identity
from coterie.errors.durable import Fenced
from coterie.storage import Database, Schema
from coterie.storage.migrations import by_dialect
from coterie.storage.transaction import Transaction

_NOW = "extract(epoch FROM clock_timestamp())"
_LATER = f"{_NOW} + CAST(? AS DOUBLE PRECISION)"

_TABLES = """
CREATE TABLE durable_leases (owner TEXT PRIMARY KEY, expires DOUBLE PRECISION NOT NULL);
CREATE TABLE durable_claims (
    kind TEXT NOT NULL, key TEXT NOT NULL, owner TEXT NOT NULL, epoch BIGINT NOT NULL, wanted TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (kind, key));
CREATE INDEX durable_claims_wanted ON durable_claims (owner, wanted);
"""

SCHEMA = Schema("durable_claims", (by_dialect(sqlite=_TABLES, postgres=_TABLES),))


class Claim(NamedTuple):
    """The answer to a claim: the epoch if it was granted, else 0 and the owner of the agent."""

    epoch: int
    owner: str


class Claims:
    """The leases and claims in a database of PostgreSQL. Safe from any thread; it holds nothing but its database. Calls block."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate(SCHEMA)

    def begin_lease(self, owner: str, seconds: float) -> None:
        """Give a new owner a lease, and delete leases that expired a day ago."""

        def work(write: Transaction) -> None:
            sql = f"INSERT INTO durable_leases (owner, expires) VALUES (?, {_LATER})"  # noqa: S608 - only constants
            write.execute(sql, (owner, seconds))
            write.execute(
                f"DELETE FROM durable_leases l WHERE l.expires < {_NOW} - 86400"  # noqa: S608 - only constants
                " AND NOT EXISTS (SELECT 1 FROM durable_claims c WHERE c.owner = l.owner)"
            )

        self._database.write(work).result()

    def renew_lease(self, owner: str, seconds: float) -> bool:
        """Renew a lease; return False if it had expired."""
        sql = f"UPDATE durable_leases SET expires = {_LATER} WHERE owner = ? AND expires > {_NOW}"  # noqa: S608 - only constants
        return self._database.write(lambda write: write.execute(sql, (seconds, owner)), timeout=seconds).result(seconds) == 1

    def end_lease(self, owner: str) -> None:
        """End a lease, after the last change of its owner."""
        self._database.write(lambda write: write.execute("DELETE FROM durable_leases WHERE owner = ?", (owner,))).result()

    def claim(self, identity: Identity, owner: str, wanted_by: str) -> Claim:
        """Claim an agent for an owner, unless another with a lease has it: then that one is asked to give it up."""
        return self._database.write(lambda write: _claim(write, identity, owner, wanted_by)).result()

    def release(self, identity: Identity, owner: str, epoch: int) -> None:
        """Give up an agent, after the changes that were queued before. Does not wait."""
        sql = "UPDATE durable_claims SET owner = '', wanted = '' WHERE kind = ? AND key = ? AND owner = ? AND epoch = ?"
        self._database.write(lambda write: write.execute(sql, (identity.kind, identity.key, owner, epoch)), durable=False)

    def wanted(self, owner: str, limit: int = 1_000) -> list[Identity]:
        """Return agents of an owner that others want."""
        sql = "SELECT kind, key FROM durable_claims WHERE owner = ? AND wanted <> '' LIMIT ?"
        return [Identity(*row) for row in self._database.rows(sql, (owner, limit))]


def check_claim(write: Transaction, identity: Identity, owner: str, epoch: int) -> None:
    """Hold on to a claim until the end of the transaction. Raises `Fenced` if it, or the lease of its owner, is not valid."""
    row = write.row(
        "SELECT 1 FROM durable_claims c JOIN durable_leases l ON l.owner = c.owner"  # noqa: S608 - only constants
        f" WHERE c.kind = ? AND c.key = ? AND c.owner = ? AND c.epoch = ? AND l.expires > {_NOW} FOR SHARE OF c",
        (identity.kind, identity.key, owner, epoch),
    )
    if row is None:
        raise Fenced(identity.kind, identity.key, owner)


def _claim(write: Transaction, identity: Identity, owner: str, wanted_by: str) -> Claim:
    who = (identity.kind, identity.key)
    own = write.row(f"SELECT 1 FROM durable_leases WHERE owner = ? AND expires > {_NOW}", (owner,))  # noqa: S608 - only constants
    if own is None:
        raise Fenced(*who, owner)
    write.execute("INSERT INTO durable_claims (kind, key, owner, epoch) VALUES (?, ?, '', 0) ON CONFLICT DO NOTHING", who)
    row = write.row("SELECT owner FROM durable_claims WHERE kind = ? AND key = ? FOR UPDATE", who)
    assert row is not None
    holder: str = row[0]
    if holder not in ("", owner):
        # A renewal that is under way is waited for: a lease either is renewed, or has ended for good.
        sql = f"UPDATE durable_leases SET expires = 0 WHERE owner = ? AND expires <= {_NOW}"  # noqa: S608 - only constants
        buried = write.execute(sql, (holder,))
        if not buried and write.row("SELECT 1 FROM durable_leases WHERE owner = ?", (holder,)) is not None:
            write.execute("UPDATE durable_claims SET wanted = ? WHERE kind = ? AND key = ?", (wanted_by, *who))
            return Claim(0, holder)
    row = write.row(
        "UPDATE durable_claims SET owner = ?, epoch = epoch + 1, wanted = '' WHERE kind = ? AND key = ? RETURNING epoch",
        (owner, *who),
    )
    assert row is not None
    return Claim(row[0], owner)
