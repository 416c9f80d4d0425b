"""A tier in a database, whichever it is: the tables, and the statements that both dialects share."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import msgspec

from coterie.errors import StorageBusy, StorageFull, StorageLocked, StorageUnavailable, TierUnavailable
from coterie.memory.contract import Change, Delete, Put, Touch
from coterie.memory.record import Kind, Record, Tier
from coterie.storage import Database, Dialect, Row, Schema, Transaction

T = TypeVar("T")

COLUMNS = Record.__struct_fields__
"""The columns of a record are its fields, under their names and in their order."""

FIELDS = ", ".join(COLUMNS)

_CHUNK = 512
"""Keys that one statement looks for, at most: both databases bound the parameters of a statement."""

_TIERS = {tier.value: tier for tier in Tier}
_AWAY = (StorageUnavailable, StorageBusy, StorageLocked, StorageFull)
"""What may be over by the time of another try."""


def tables(name: str) -> Callable[[Transaction], None]:
    """Return the step of a migration that makes the tables of a tier."""

    def step(transaction: Transaction) -> None:
        dialect = transaction.dialect
        transaction.execute(
            f"""
            CREATE TABLE {name} (
                number {dialect.sequence},
                id TEXT NOT NULL,
                key TEXT {dialect.bytewise} NOT NULL UNIQUE,
                version BIGINT NOT NULL,
                value BYTEA NOT NULL,
                agent TEXT NOT NULL,
                kind TEXT NOT NULL,
                importance DOUBLE PRECISION NOT NULL,
                created DOUBLE PRECISION NOT NULL,
                last_access DOUBLE PRECISION NOT NULL,
                access_count BIGINT NOT NULL,
                expires DOUBLE PRECISION,
                tier BIGINT NOT NULL,
                entered DOUBLE PRECISION NOT NULL,
                text TEXT NOT NULL,
                context TEXT NOT NULL,
                sources TEXT NOT NULL,
                valid_from DOUBLE PRECISION,
                valid_until DOUBLE PRECISION,
                model TEXT NOT NULL,
                vector BYTEA NOT NULL
            )
            """
        )
        transaction.execute(f"CREATE INDEX {name}_by_agent ON {name} (agent, created, version)")
        transaction.execute(f"CREATE INDEX {name}_by_time ON {name} (created, version)")

    return step


class SqlBackend:
    """Keeps the records of a tier in a table of its own. Safe from many threads; it guards nothing itself."""

    persistent = True

    def __init__(self, database: Database, name: str, *more: Callable[[Transaction], None]) -> None:
        self._database = database
        self._name = name
        try:
            database.migrate(Schema(name, (tables(name), *more)))
        except BaseException:
            database.close()
            raise
        places = ", ".join("?" for _ in COLUMNS)
        update = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS)
        # The names are our own.
        self._insert = f"INSERT INTO {name} ({FIELDS}) VALUES ({places}) ON CONFLICT (key) DO "  # noqa: S608
        self._upsert = f"{self._insert} UPDATE SET {update} WHERE {name}.version <= excluded.version"
        setting = ", ".join(f"{column} = ?" for column in COLUMNS)
        self._update = f"UPDATE {name} SET {setting} WHERE key = ? AND version = ?"  # noqa: S608
        self._select = f"SELECT {FIELDS} FROM {name}"  # noqa: S608
        self._select_one = f"{self._select} WHERE key = ?"
        # PostgreSQL cannot keep the one character that ends texts in C; where it only serves a search, a blank does.
        self._keeps_nul = database.dialect is Dialect.SQLITE
        # In a file nobody writes between two statements of a transaction; on a server somebody may.
        self._alone = database.dialect is Dialect.SQLITE

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Do the changes in their order, and return for each whether it was done."""
        if not changes:
            return []
        with self._reaching():
            return self._database.write(lambda transaction: self._apply_all(transaction, changes)).result()

    def get(self, keys: Sequence[str]) -> dict[str, Record]:
        """Return the records of those keys that are there."""
        if len(keys) == 1:
            # The way of every read below the cache, and so the shortest.
            try:
                return {row[1]: record_of(row) for row in self._database.rows(self._select_one, keys)}
            except _AWAY as error:
                raise TierUnavailable(self._database.name, error) from error
        found: dict[str, Record] = {}
        with self._reaching():
            for begin in range(0, len(keys), _CHUNK):
                marks, chunk = _padded(keys[begin : begin + _CHUNK])
                for row in self._database.rows(f"{self._select} WHERE key IN ({marks})", chunk):
                    found[row[1]] = record_of(row)
        return found

    def scan(self, after: str = "", limit: int = 1_000) -> list[Record]:
        """Return records in the order of their keys."""
        return self._records("WHERE key > ? ORDER BY key LIMIT ?", (after, limit))

    def recent(
        self,
        agents: Sequence[str],
        limit: int,
        *,
        kinds: Sequence[str] = (),
        after: float | None = None,
        before: float | None = None,
    ) -> list[Record]:
        """Return the newest records, newest first."""
        conditions, values = conditions_of(kinds, after, before)
        end = "ORDER BY created DESC, version DESC LIMIT ?"
        if not agents:
            return self._records(f"WHERE {conditions} {end}", (*values, limit))
        # Agent by agent, each along the index; of several agents at once the database would sort all.
        lines = [
            self._records(f"WHERE agent = ? AND {conditions} {end}", (agent, *values, limit)) for agent in dict.fromkeys(agents)
        ]
        return list(islice(heapq.merge(*lines, key=lambda record: (-record.created, -record.version)), limit))

    def count(self) -> int:
        """Return how many records there are."""
        with self._reaching():
            row = self._database.row(f"SELECT count(*) FROM {self._name}")  # noqa: S608 - as above
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Close the database, for this user of it."""
        self._database.close()

    def _records(self, rest: str, values: Sequence[Any]) -> list[Record]:
        with self._reaching():
            return [record_of(row) for row in self._database.rows(f"{self._select} {rest}", values)]

    def _apply_all(self, transaction: Transaction, changes: Sequence[Change | Touch]) -> list[bool]:
        puts = [change.record for change in changes if isinstance(change, Put) and change.expected is None]
        if self._alone and len(puts) == len(changes) == len({record.key for record in puts}) > 1:
            return self._put_all(transaction, puts)
        return [self._apply(transaction, change) for change in changes]

    def _put_all(self, transaction: Transaction, records: Sequence[Record]) -> list[bool]:
        """Put records of different keys, none of them conditional, all at once: half as long again as one by one."""
        there: dict[str, int] = {}
        for begin in range(0, len(records), _CHUNK):
            marks, keys = _padded([record.key for record in records[begin : begin + _CHUNK]])
            there.update(transaction.rows(f"SELECT key, version FROM {self._name} WHERE key IN ({marks})", keys))  # noqa: S608 - as above
        done = [there.get(record.key, 0) <= record.version for record in records]
        newer = [self._values(record) for record, wanted in zip(records, done, strict=True) if wanted]
        transaction.execute_many(self._upsert, newer)
        return done

    def _apply(self, transaction: Transaction, change: Change | Touch) -> bool:
        if isinstance(change, Put):
            return self._put(transaction, change)
        if isinstance(change, Delete):
            return self._delete(transaction, change)
        sql = (
            f"UPDATE {self._name} SET access_count = access_count + ?, "  # noqa: S608 - as above
            "last_access = CASE WHEN last_access < ? THEN ? ELSE last_access END WHERE key = ?"
        )
        return transaction.execute(sql, (change.count, change.last_access, change.last_access, change.key)) > 0

    def _put(self, transaction: Transaction, change: Put) -> bool:
        values = self._values(change.record)
        if change.expected is None:
            return transaction.execute(self._upsert, values) > 0
        if change.expected == 0:
            return transaction.execute(f"{self._insert} NOTHING", values) > 0
        return transaction.execute(self._update, (*values, change.record.key, change.expected)) > 0

    def _delete(self, transaction: Transaction, change: Delete) -> bool:
        sql = f"DELETE FROM {self._name} WHERE key = ? AND version <= ?"  # noqa: S608 - as above
        if transaction.execute(sql, (change.key, change.version)) > 0:
            return True
        return transaction.row(f"SELECT 1 FROM {self._name} WHERE key = ?", (change.key,)) is None  # noqa: S608 - as above

    def _values(self, record: Record) -> list[Any]:
        values = list(msgspec.structs.astuple(record))
        values[5] = str(record.kind)
        values[11] = int(record.tier)
        values[15] = msgspec.json.encode(record.sources).decode() if record.sources else ""
        if not self._keeps_nul:
            values[13] = record.text.replace("\0", " ")
            values[14] = record.context.replace("\0", " ")
        return values

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except _AWAY as error:
            raise TierUnavailable(self._database.name, error) from error


def _padded(keys: Sequence[str]) -> tuple[str, list[str]]:
    """Return as many marks as there are keys, and the keys; a few lengths only, so that the statements stay prepared."""
    length = 1 << (len(keys) - 1).bit_length()
    return ", ".join("?" * length), [*keys, *(keys[-1] for _ in range(length - len(keys)))]


def record_of(row: Row) -> Record:
    """Return the record of a row whose first columns are `COLUMNS`."""
    values = list(row[: len(COLUMNS)])
    values[11] = _TIERS[values[11]]
    values[15] = msgspec.json.decode(values[15], type=tuple[str, ...]) if values[15] else ()
    return Record(*values)


def conditions_of(
    kinds: Sequence[str], after: float | None, before: float | None, table: str = ""
) -> tuple[str, list[str | float]]:
    """Return the condition that restricts records to kinds and times, and its values."""
    conditions, values = [f"{table}kind <> '{Kind.HOUSE}'"], list[str | float]()
    if kinds:
        conditions = [f"{table}kind IN ({', '.join('?' for _ in kinds)})"]
        values += [str(kind) for kind in kinds]
    for limit, sign in ((after, ">="), (before, "<")):
        if limit is not None:
            conditions.append(f"{table}created {sign} ?")
            values.append(float(limit))
    return " AND ".join(conditions), values
