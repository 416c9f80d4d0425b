"""The event log of a world, in a database."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from coterie import storage
from coterie.errors import InvalidIntent, InvalidSetting
from coterie.errors.storage import ConstraintViolated
from coterie.errors.world import LogDamaged, LogTaken
from coterie.kernel import check_instance, check_number
from coterie.storage import Database, Pending, Row, Schema, Transaction, open_database
from coterie.world.state.event import EMPTY, Event, Fold, start
from coterie.world.state.values import as_extended, encoder
from coterie.world.state.view import Digest, View
from coterie.world.write_behind import WriteBehind

_SCHEMA = Schema(
    "world",
    (
        """
        CREATE TABLE world_commits (
            world TEXT NOT NULL,
            first BIGINT NOT NULL,
            last BIGINT NOT NULL,
            body BYTEA NOT NULL,
            checksum BIGINT NOT NULL,
            PRIMARY KEY (world, first)
        );
        CREATE TABLE world_snapshots (
            world TEXT NOT NULL,
            sequence BIGINT NOT NULL,
            body BYTEA NOT NULL,
            checksum BIGINT NOT NULL,
            PRIMARY KEY (world, sequence)
        );
        """,
    ),
)
_APPEND = "INSERT INTO world_commits (world, first, last, body, checksum) VALUES (?, ?, ?, ?, ?)"
_READ = """
SELECT first, last, body, checksum FROM world_commits
WHERE world = ? AND first >= coalesce((SELECT max(first) FROM world_commits WHERE world = ? AND first <= ?), 0)
AND last >= ? AND first <= ? ORDER BY first
"""
# The first condition is one of the index: without it each batch would read all earlier commits again.
_SNAPSHOT = """
INSERT INTO world_snapshots (world, sequence, body, checksum) VALUES (?, ?, ?, ?)
ON CONFLICT (world, sequence) DO NOTHING
"""
_NEWEST = """
SELECT sequence, body, checksum FROM world_snapshots
WHERE world = ? AND sequence <= ? ORDER BY sequence DESC
"""
_THIN = """
DELETE FROM world_snapshots WHERE world = ? AND sequence NOT IN
(SELECT sequence FROM world_snapshots WHERE world = ? ORDER BY sequence DESC LIMIT ?)
"""
_MOST = 2**62

_log = logging.getLogger(__name__)


class _Snapshot(msgspec.Struct, array_like=True, gc=False):
    sequence: int
    time: float
    keys: dict[str, Any]
    deadlines: dict[str, float]
    total: str
    """The sum of the fingerprints, in hexadecimal, because it exceeds 64 bits."""


class StoredSnapshot(NamedTuple):
    """A snapshot from the log."""

    view: View
    total: int
    """The sum of the fingerprints of its entries."""


class EventLog:
    """The events of one world in a database: a row for each commit, and periodic snapshots.

    ::

        world = World({"lake": 100}, log=EventLog("run.db"))

    `database` is a path, an address of PostgreSQL, or an open database, which stays open. `world` distinguishes worlds in
    one database. With `durable`, a returned commit has reached the disk and survives a loss of power; without, it survives
    the end of the process. `snapshots` is the number of kept snapshots.

    Each row has a checksum, and the numbers of the rows have no gaps: damage is detected on reading and raises
    `LogDamaged`; it never leads to a wrong world. A file that another process has open raises `StorageLocked`, and a file
    of a later version `MigrationError`. Safe from any thread.
    """

    def __init__(
        self,
        database: str | os.PathLike[str] | Database,
        *,
        world: str = "world",
        durable: bool = True,
        snapshots: int = 10,
    ) -> None:
        check_number("EventLog.snapshots", snapshots, least=1, whole=True)
        if not isinstance(database, str | os.PathLike) and not hasattr(database, "migrate"):
            raise InvalidSetting("EventLog.database", database, "a path, an address, or a database that is open")
        check_instance("EventLog.world", world, str, "text")
        self._mine = isinstance(database, str | os.PathLike)
        self.database: Database = open_database(database) if isinstance(database, str | os.PathLike) else database
        """The database of the log."""
        self.world = world
        self.durable = durable
        self._kept = snapshots
        self.behind = WriteBehind()
        """Switches on that callers do not wait for appends that are not durable."""
        self._decoder = msgspec.msgpack.Decoder(list[Event], ext_hook=as_extended)
        self._snapshots = msgspec.msgpack.Decoder(_Snapshot, ext_hook=as_extended)
        try:
            self.database.migrate(_SCHEMA)
        except BaseException:
            # Also after an interrupt: only this object can close the database that it opened.
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<EventLog {self.world!r} in {self.database.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def append(
        self, events: Sequence[Event], also: Callable[[Transaction], object] | None = None, *, durable: bool = True
    ) -> Pending[None]:
        """Append events that follow the last ones, in one commit; call `also` in the same transaction.

        Without `durable` they reach the disk with the next durable write.

        Returns a pending result at once, which raises `LogTaken` if another world has appended meanwhile. Raises
        `TypeError`, `ValueError` or `OverflowError` if the events could not be decoded again; nothing is written then.
        """
        body = encoder.encode([_without_repetition(event) for event in events])
        # Python does not check types: a number as a name, for example, would make the log unreadable.
        self._decoder.decode(body)
        row = (self.world, events[0].sequence, events[-1].sequence, body, zlib.crc32(body))

        behind = self.behind.active and not durable

        def write(transaction: Transaction) -> None:
            if self.behind.failed is not None:
                raise self.behind.failed
            try:
                transaction.execute(_APPEND, row)
            except ConstraintViolated as error:
                taken = LogTaken(self.database.name, events[0].sequence)
                if behind:
                    # Those that follow in the same group know it at once.
                    self.behind.failed = taken
                raise taken from error
            if also is not None:
                also(transaction)

        pending = self.database.write(write, durable=self.durable and durable)
        if behind:
            self.behind.follow(pending)
        return pending

    def events(self, first: int = 1, last: int | None = None) -> Iterator[Event]:
        """Yield the events from number `first` to number `last`. Raises `LogDamaged`."""
        end = _MOST if last is None else last
        follows, more = -1, True
        self.behind.catch_up()
        # In batches, because one read over all rows would occupy a connection while the caller works.
        while more:
            batches, follows, more = self.database.read(partial(self._batch, first=first, last=end, expected=follows))
            for batch in batches:
                for event in batch:
                    if first <= event.sequence <= end:
                        yield event
            first = follows

    def last(self) -> int:
        """Return the number of the last event, or 0 for an empty log."""
        self.behind.catch_up()
        row = self.database.row("SELECT coalesce(max(last), 0) FROM world_commits WHERE world = ?", (self.world,))
        return int(row[0]) if row is not None else 0

    def keep(self, view: View, total: int) -> Pending[None]:
        """Store a snapshot of `view`, whose fingerprints add up to `total`. Returns a pending result at once."""
        made = _Snapshot(view.sequence, view.time, dict(view.keys_map), dict(view.deadlines_map), f"{total:x}")
        body = encoder.encode(made)

        def write(transaction: Transaction) -> None:
            transaction.execute(_SNAPSHOT, (self.world, view.sequence, body, zlib.crc32(body)))
            transaction.execute(_THIN, (self.world, self.world, self._kept))

        return self.database.write(write, durable=False)

    def newest(self, until: int | None = None) -> StoredSnapshot | None:
        """Return the newest snapshot that can be read, up to event `until` if given, or None.

        A damaged one is logged and passed over. Raises `LogDamaged` if none of several can be read.
        """
        problems = []
        for row in self.database.rows(_NEWEST, (self.world, _MOST if until is None else until)):
            try:
                return self._snapshot(row)
            except LogDamaged as error:
                _log.error("%s; the one before is taken", error)
                problems.append(error)
        if problems:
            raise problems[0]
        return None

    def _snapshot(self, row: Row) -> StoredSnapshot:
        sequence, body, checksum = row
        if zlib.crc32(body) != checksum:
            raise LogDamaged(self.database.name, f"the snapshot after event {sequence} is not what was written")
        try:
            made = self._snapshots.decode(body)
        except msgspec.MsgspecError as error:
            raise LogDamaged(self.database.name, f"the snapshot after event {sequence} cannot be read: {error}") from error
        return StoredSnapshot(start(made.keys, made.deadlines, made.sequence, made.time), int(made.total, 16))

    def truncate(self, sequence: int, also: Callable[[Transaction], object] | None = None) -> None:
        """Delete the events after number `sequence`, which must be the last of its commit, and their snapshots.

        For resuming from a checkpoint: the deleted events must not have been acknowledged.
        """

        def cut(transaction: Transaction) -> None:
            row = transaction.row(
                "SELECT count(*) FROM world_commits WHERE world = ? AND first <= ? AND last > ?",
                (self.world, sequence, sequence),
            )
            if row is not None and row[0]:
                raise LogDamaged(self.database.name, f"event {sequence} is in the middle of a commit")
            transaction.execute("DELETE FROM world_commits WHERE world = ? AND first > ?", (self.world, sequence))
            transaction.execute("DELETE FROM world_snapshots WHERE world = ? AND sequence > ?", (self.world, sequence))
            if also is not None:
                also(transaction)

        self.database.write(cut).result()

    def close(self) -> None:
        """Close the database, if this object opened it."""
        if self._mine:
            self.database.close()

    def _batch(
        self, view: storage.ReadTransaction, *, first: int, last: int, expected: int
    ) -> tuple[list[list[Event]], int, bool]:
        batches = []
        for number, row in enumerate(view.each(_READ, (self.world, self.world, first, first, last)), start=1):
            batches.append(self._decode(row, expected))
            expected = row[1] + 1
            if number == _ROWS:
                return batches, expected, True
        return batches, expected, False

    def _decode(self, row: Row, expected: int) -> list[Event]:
        first, last, body, checksum = row
        if expected not in (-1, first):
            raise LogDamaged(self.database.name, f"after event {expected - 1} comes event {first}")
        if zlib.crc32(body) != checksum:
            raise LogDamaged(self.database.name, f"the events {first} to {last} are not what was written")
        try:
            events = self._decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise LogDamaged(self.database.name, f"the events {first} to {last} cannot be read: {error}") from error
        events = [_with_repetition(event) for event in events]
        if [event.sequence for event in events] != list(range(first, last + 1)):
            raise LogDamaged(self.database.name, f"the events {first} to {last} are not numbered one after the other")
        return events


_ROWS = 1_000
"""Commits that are read at a time."""


_SHORT = 32
"""Characters or bytes of a text that is stored twice without more ado."""
_THE_SAME = msgspec.msgpack.Ext(1, b"")
"""Stands for the value of a ``set`` in the details of its event, which is also among the changes."""


def _without_repetition(event: Event) -> Event:
    """Return an event to be stored: a large value that an intent sets is stored once."""
    if event.action != "set" or not event.changes:
        return event
    value, changed = event.details.get("value"), event.changes.get(event.details.get("key", ""))
    large = len(value) > _SHORT if isinstance(value, str | bytes) else isinstance(value, tuple | dict)
    if not large or (value is not changed and encoder.encode(value) != encoder.encode(changed)):
        return event
    return msgspec.structs.replace(event, details={**event.details, "value": _THE_SAME})


def _with_repetition(event: Event) -> Event:
    """Return an event as it was before `_without_repetition`."""
    if event.action != "set" or event.details.get("value").__class__ is not msgspec.msgpack.Ext:
        return event
    return msgspec.structs.replace(event, details={**event.details, "value": event.changes[event.details["key"]]})


def append(
    log: EventLog, events: Sequence[Event], also: Callable[[Transaction], object] | None = None, *, durable: bool = True
) -> BaseException | None:
    """Append events and wait until they are stored. Return an interrupt of the wait, after they are stored.

    Raises `InvalidIntent` if they could not be decoded again, and errors of the log; nothing is written then.
    """
    try:
        pending = log.append(events) if also is None and durable else log.append(events, also, durable=durable)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidIntent("one of these", f"it cannot be recorded ({error})") from error
    if log.behind.active and not durable:
        return None
    try:
        pending.result()
    except Exception:
        raise
    except BaseException as interrupt:
        # Ctrl-C during the write: if the events are stored, the world must apply them, or it would fall behind its
        # log. The caller raises the interrupt after that.
        pending.wait()
        if pending.exception() is not None:
            raise
        return interrupt
    return None


def newest_state(log: EventLog) -> tuple[View, Digest, int]:
    """Return the newest view of a log, its digest, and the number of the last event in the snapshot that it comes from."""
    kept = log.newest()
    before, digest = (EMPTY, Digest()) if kept is None else (kept.view, Digest(kept.total))
    making = Fold(before)
    for event in log.events(before.sequence + 1):
        making.apply(event)
        if kept is not None:
            digest.touch(making.touched_by(event), before)
    view = making.view()
    return view, digest if kept is not None else Digest.of(view), before.sequence
