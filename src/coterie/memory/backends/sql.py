"""A tier in an SQL database: the tables and statements that both dialects share."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, groupby, islice
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from coterie.errors import StorageFull, StorageLocked, StorageUnavailable, TierUnavailable
from coterie.errors.storage import StorageBusy
from coterie.memory.backends.field_sql import add_fields, condition_of, stored_fields, value_of_fields
from coterie.memory.contract import Change, Delete, Put, RecordFilter, Touch
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.storage import Database, Row, Schema, Transaction
from coterie.storage.dialect import Dialect

T = TypeVar("T")

FIELDS = ("body", "access_count", "last_access")
"""The columns of a record: the record in MessagePack, and counters that change without rewriting it."""

_COLUMNS = (
    *("key", "version", "body", "agent", "kind", "created", "last_access", "access_count"),
    *("expires", "tier", "entered", "text", "context", "sources", "model"),
)
"""All columns: the record, and the parts that are searched, sorted, compared or counted."""

_CHUNK = 512
"""The maximum of keys in one statement: both databases limit the parameters of a statement."""

_TOGETHER = 512
"""The maximum of records in one upsert. A statement runs without the interpreter lock, so that other threads run meanwhile;
each statement then waits to get that lock again."""

_FEW = 24
"""Up to this number of records has an upsert of its exact length."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(MemoryRecord).decode
AWAY = (StorageUnavailable, StorageBusy, StorageLocked, StorageFull)
"""Errors after which a later retry may succeed."""


def tables(name: str) -> Callable[[Transaction], None]:
    """Return the migration step that creates the tables of a tier."""

    def step(transaction: Transaction) -> None:
        dialect = transaction.dialect
        transaction.execute(
            f"""
            CREATE TABLE {name} (
                number {dialect.sequence},
                key TEXT {dialect.bytewise} NOT NULL UNIQUE,
                version BIGINT NOT NULL,
                body BYTEA NOT NULL,
                agent TEXT NOT NULL,
                kind TEXT NOT NULL,
                created DOUBLE PRECISION NOT NULL,
                last_access DOUBLE PRECISION NOT NULL,
                access_count BIGINT NOT NULL,
                expires DOUBLE PRECISION,
                tier BIGINT NOT NULL,
                entered DOUBLE PRECISION NOT NULL,
                text TEXT NOT NULL,
                context TEXT NOT NULL,
                sources TEXT NOT NULL,
                model TEXT NOT NULL
            )
            """
        )
        transaction.execute(f"CREATE INDEX {name}_by_agent ON {name} (agent, created, version)")
        transaction.execute(f"CREATE INDEX {name}_by_time ON {name} (created, version)")

    return step


class SqlBackend:
    """Stores the records of a tier in a table of its own. Safe from many threads: it has no mutable state."""

    persistent = True

    def __init__(
        self,
        database: Database,
        name: str,
        *more: Callable[[Transaction], None],
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """Create the tables. `columns` are further columns that `_more_values` fills, each with the SQL of a value."""
        self._database = database
        self._name = name
        fields = {"fields": value_of_fields(database.dialect)}
        columns = {**dict.fromkeys(_COLUMNS, "?"), **fields, **(columns or {})}
        try:
            database.migrate(Schema(name, (tables(name), *more, add_fields(name))))
        except BaseException:
            database.close()
            raise
        places = f"({', '.join(columns.values())})"
        # The names do not come from users.
        insert = f"INSERT INTO {name} ({', '.join(columns)}) VALUES "  # noqa: S608
        update = ", ".join(f"{column} = excluded.{column}" for column in columns)
        newer = f"ON CONFLICT (key) DO UPDATE SET {update} WHERE {name}.version <= excluded.version"
        self._insert = f"{insert} {places} ON CONFLICT (key) DO NOTHING"
        # Use few lengths, so that the statements stay prepared: every length that a group of durable stores usually has, and
        # powers of two.
        lengths = [*range(1, _FEW + 1), *(1 << power for power in range(_FEW.bit_length(), _TOGETHER.bit_length()))]
        self._upserts = {length: f"{insert} {', '.join([places] * length)} {newer}" for length in lengths}
        setting = ", ".join(f"{column} = {value}" for column, value in columns.items())
        self._update = f"UPDATE {name} SET {setting} WHERE key = ? AND version = ?"  # noqa: S608
        self._select = f"SELECT {', '.join(FIELDS)} FROM {name}"  # noqa: S608
        self._select_one = f"{self._select} WHERE key = ?"
        # PostgreSQL cannot store NUL in text; columns that only serve a search get a blank instead.
        self._keeps_nul = database.dialect is Dialect.SQLITE

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Apply the changes in order, and return for each whether it was applied."""
        if not changes:
            return []
        with self._reaching():
            return self._database.write(lambda transaction: self._apply_all(transaction, changes)).result()

    def get(self, keys: Sequence[str]) -> dict[str, MemoryRecord]:
        """Return the records that exist under those keys."""
        if len(keys) == 1:
            # Every read below the cache takes this path, so keep it short.
            try:
                row = self._database.row(self._select_one, keys)
            except AWAY as error:
                raise TierUnavailable(self._database.name, error) from error
            return {} if row is None else {keys[0]: record_of(row)}
        found: dict[str, MemoryRecord] = {}
        with self._reaching():
            for begin in range(0, len(keys), _CHUNK):
                marks, chunk = _padded(keys[begin : begin + _CHUNK])
                for record in map(record_of, self._database.rows(f"{self._select} WHERE key IN ({marks})", chunk)):
                    found[record.key] = record
        return found

    def scan(self, after: str = "", limit: int = 1_000) -> list[MemoryRecord]:
        """Return records in the order of their keys."""
        return self._records("WHERE key > ? ORDER BY key LIMIT ?", (after, limit))

    def recent(self, which: RecordFilter, limit: int) -> list[MemoryRecord]:
        """Return the newest records, newest first."""
        conditions, values = conditions_of(which, self._database.dialect)
        end = "ORDER BY created DESC, version DESC LIMIT ?"
        if not which.agents:
            return self._records(f"WHERE {conditions} {end}", (*values, limit))
        # Read agent by agent along the index; for several agents at once the database would sort all rows.
        lines = [
            self._records(f"WHERE agent = ? AND {conditions} {end}", (agent, *values, limit))
            for agent in dict.fromkeys(which.agents)
        ]
        return list(islice(heapq.merge(*lines, key=lambda record: (-record.created, -record.version)), limit))

    def count(self) -> int:
        """Return the number of records."""
        with self._reaching():
            row = self._database.row(f"SELECT count(*) FROM {self._name}")  # noqa: S608 - as above
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Close this user's handle on the database."""
        self._database.close()

    def _records(self, rest: str, values: Sequence[Any]) -> list[MemoryRecord]:
        with self._reaching():
            return [record_of(row) for row in self._database.rows(f"{self._select} {rest}", values)]

    def _apply_all(self, transaction: Transaction, changes: Sequence[Change | Touch]) -> list[bool]:
        done: list[bool] = []
        for plain, group in groupby(changes, _is_plain):
            alike = list(group)
            records = [change.record for change in alike if isinstance(change, Put)] if plain else []
            if len(records) > 1 and len({record.key for record in records}) == len(records):
                done += self._put_all(transaction, records)
            else:
                done += [self._apply(transaction, change) for change in alike]
        return done

    def _put_all(self, transaction: Transaction, records: Sequence[MemoryRecord]) -> list[bool]:
        """Put unconditional records with different keys."""
        rows = [self._values(record) for record in records]
        begin = count = 0
        while begin < len(rows):
            left = len(rows) - begin
            length = left if left <= _FEW else min(_TOGETHER, 1 << left.bit_length() - 1)
            together = chain.from_iterable(rows[begin : begin + length])
            count += transaction.execute(self._upserts[length], [*together])
            begin += length
        if count == len(records):
            return [True] * count
        # Some of them exist in a later version, which is rare.
        there: dict[str, int] = {}
        for begin in range(0, len(records), _CHUNK):
            marks, keys = _padded([record.key for record in records[begin : begin + _CHUNK]])
            there.update(transaction.rows(f"SELECT key, version FROM {self._name} WHERE key IN ({marks})", keys))  # noqa: S608 - as above
        return [there.get(record.key) == record.version for record in records]

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
            return transaction.execute(self._upserts[1], values) > 0
        if change.expected == 0:
            return transaction.execute(self._insert, values) > 0
        return transaction.execute(self._update, (*values, change.record.key, change.expected)) > 0

    def _delete(self, transaction: Transaction, change: Delete) -> bool:
        sql = f"DELETE FROM {self._name} WHERE key = ? AND version <= ?"  # noqa: S608 - as above
        if transaction.execute(sql, (change.key, change.version)) > 0:
            return True
        return transaction.row(f"SELECT 1 FROM {self._name} WHERE key = ?", (change.key,)) is None  # noqa: S608 - as above

    def _values(self, record: MemoryRecord) -> tuple[Any, ...]:
        text, context = record.text, record.context
        if not self._keeps_nul:
            text, context = text.replace("\0", " "), context.replace("\0", " ")
        return (
            record.key,
            record.version,
            _encode(record),
            record.agent,
            str(record.kind),
            record.created,
            record.last_access,
            record.access_count,
            record.expires,
            int(record.tier),
            record.entered,
            text,
            context,
            msgspec.json.encode(record.sources).decode() if record.sources else "",
            record.model,
            stored_fields(record.value),
            *self._more_values(record),
        )

    def _more_values(self, record: MemoryRecord) -> tuple[Any, ...]:  # noqa: ARG002 - for subclasses
        """Return the values of the further columns."""
        return ()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except AWAY as error:
            raise TierUnavailable(self._database.name, error) from error


def _is_plain(change: Change | Touch) -> bool:
    return isinstance(change, Put) and change.expected is None


def _padded(keys: Sequence[str]) -> tuple[str, list[str]]:
    """Return placeholders and keys, padded to a power of two so that the statements stay prepared."""
    length = 1 << (len(keys) - 1).bit_length()
    return ", ".join("?" * length), [*keys, *(keys[-1] for _ in range(length - len(keys)))]


def record_of(row: Row) -> MemoryRecord:
    """Return the record of a row whose first columns are `FIELDS`."""
    record = _decode(row[0])
    if row[1] != record.access_count or row[2] != record.last_access:
        return replace(record, access_count=row[1], last_access=row[2])
    return record


def conditions_of(which: RecordFilter, dialect: Dialect, table: str = "") -> tuple[str, list[Any]]:
    """Return the SQL condition for the kinds, times and fields of a filter, and its values."""
    conditions, values = [f"{table}kind <> '{MemoryKind.INTERNAL}'"], list[Any]()
    if which.kinds:
        conditions = [f"{table}kind IN ({', '.join('?' for _ in which.kinds)})"]
        values += [str(kind) for kind in which.kinds]
    for limit, sign in ((which.after, ">="), (which.before, "<")):
        if limit is not None:
            conditions.append(f"{table}created {sign} ?")
            values.append(float(limit))
    for name, test in which.where:
        condition, more = condition_of(dialect, table, name, test)
        conditions.append(condition)
        values += more
    return " AND ".join(conditions), values
