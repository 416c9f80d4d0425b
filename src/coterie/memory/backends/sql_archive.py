"""The archive in an SQL database: all memories, the decisions about them, and a full-text index."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from coterie.errors import TierUnavailable
from coterie.kernel import Clock, clock_or_system
from coterie.memory.backends.full_text import VERSION_MARK, FullText, analysed
from coterie.memory.backends.sql import AWAY, SqlBackend
from coterie.memory.contract import ArchiveChange, Put, SearchHit, SearchQuery, Touch, Vector
from coterie.memory.record import MaintenanceAction, MaintenanceDecision, MemoryKind, MemoryRecord, Tier
from coterie.memory.text.analysis import VERSION
from coterie.storage import Database, Row, Transaction

_log = logging.getLogger(__name__)

NAME = "memories"

_MAX_DECISIONS = 100_000
"""The approximate maximum of stored decisions; the oldest are deleted first."""

_MAX_DUE = 20_000
"""The maximum of unindexed records; a search that meets that many waits about half a second for them."""
_LOOK_AFTER = 1_000
"""The number of changes between counts of the unindexed records."""
_AT_ONCE = 250
"""The number of records indexed at once, in about ten milliseconds: a write may have to wait that long."""
_PROGRESS = 2.0
"""Seconds between two lines that tell how far a whole file is indexed anew."""

_AHEAD = 60_000_000
"""How far ahead the mark of versions is set: one minute, so that not every write must move it."""

_BEGINNING = (float("-inf"), "")


def _more_tables(transaction: Transaction) -> None:
    for statement in (
        f"CREATE INDEX {NAME}_by_tier ON {NAME} (tier, entered, key)",
        f"CREATE INDEX {NAME}_by_expiry ON {NAME} (expires, key) WHERE expires IS NOT NULL",
        f"CREATE INDEX {NAME}_by_model ON {NAME} (agent, model, version) WHERE model <> ''",
        f"CREATE INDEX {NAME}_with_sources ON {NAME} (agent) WHERE sources <> ''",
        "CREATE TABLE memory_marks (name TEXT PRIMARY KEY, mark BIGINT NOT NULL)",
        f"""
        CREATE TABLE memory_decisions (
            number {transaction.dialect.sequence},
            time DOUBLE PRECISION NOT NULL,
            id TEXT NOT NULL,
            key TEXT NOT NULL,
            agent TEXT NOT NULL,
            action TEXT NOT NULL,
            source BIGINT NOT NULL,
            target BIGINT,
            reason TEXT NOT NULL
        )
        """,
        "CREATE INDEX memory_decisions_by_key ON memory_decisions (key, number)",
    ):
        transaction.execute(statement)


class SqlArchive(SqlBackend):
    """Stores every memory in an SQL database. Safe from many threads."""

    def __init__(self, database: Database, full_text: FullText, *, clock: Clock | None = None) -> None:
        super().__init__(database, NAME, _more_tables, *full_text.steps, columns=full_text.columns)
        self._full_text = full_text
        self._more_values = full_text.values  # type: ignore[method-assign]
        self._mark = 0
        """A mark that is committed. Several threads may set it, each to a committed one, so any of them is valid."""
        self._uncounted = 0
        """Changed only by the writer's thread."""
        try:
            self._renew_index(clock_or_system("SqlArchive.clock", clock))
        except BaseException:
            database.close()
            raise

    def write(self, changes: Sequence[ArchiveChange]) -> list[bool]:
        """Apply the changes in order in one transaction, and return for each whether it was applied."""
        if not changes:
            return []
        with self._reaching():
            newest = max((each.record.version for each in changes if isinstance(each, Put)), default=0)
            done = self._database.write(lambda transaction: self._write(transaction, changes, newest)).result()
        if newest > self._mark:
            # Set it only after the commit.
            self._mark = newest + _AHEAD
        return done

    def write_soon(self, take: Callable[[], Sequence[ArchiveChange]], ended: Callable[[BaseException | None], object]) -> None:
        """Let the database's writer `take` changes at its turn and commit them with its current group.

        `take` is called at most once, and `ended` exactly once with the error or None; both on the writer's thread, and both
        must be short. Raises `TierUnavailable` if the writer cannot be asked now; then neither is called.
        """
        taken: Sequence[ArchiveChange] | None = None
        newest = 0

        def work(transaction: Transaction) -> None:
            nonlocal taken, newest
            if taken is None:
                taken = take()
                newest = max((each.record.version for each in taken if isinstance(each, Put)), default=0)
            # Otherwise the whole group was rolled back and runs again.
            if taken:
                self._write(transaction, taken, newest)

        def end() -> None:
            error = pending.exception()
            if error is None and newest > self._mark:
                self._mark = newest + _AHEAD
            ended(TierUnavailable(self._database.name, error) if isinstance(error, AWAY) else error)

        with self._reaching():
            pending = self._database.write(work, timeout=0)
        pending.add_callback(end)

    def search(self, query: SearchQuery) -> list[SearchHit]:
        """Return the best matching records, best first."""
        with self._reaching():
            while self._database.read(self._full_text.due):
                self._fill()
            return self._database.read(lambda view: self._full_text.search(view, query))

    def do_deferred_work(self) -> bool:
        """Index some unindexed records, and return whether there are more."""
        with self._reaching():
            if self._database.read(self._full_text.due):
                self._fill()
            return self._database.read(self._full_text.due) > 0

    def due(
        self, tier: Tier, entered_before: float, after: tuple[float, str] = _BEGINNING, limit: int = 1_000
    ) -> list[MemoryRecord]:
        """Return records that entered a tier before a time, by (entered, key)."""
        rest = "WHERE tier = ? AND entered < ? AND (entered, key) > (?, ?) AND kind <> ? ORDER BY entered, key LIMIT ?"
        return self._records(rest, (int(tier), entered_before, *after, str(MemoryKind.INTERNAL), limit))

    def expired(self, now: float, after: tuple[float, str] = _BEGINNING, limit: int = 1_000) -> list[MemoryRecord]:
        """Return records that expire at `now` or before, by (expires, key)."""
        rest = "WHERE expires IS NOT NULL AND expires <= ? AND (expires, key) > (?, ?) ORDER BY expires, key LIMIT ?"
        return self._records(rest, (now, *after, limit))

    def citing(self, agent: str, id: str) -> list[MemoryRecord]:  # noqa: A002 - the field's own name
        """Return the records of `agent` whose sources contain that id, oldest first."""
        # The few records with sources have an index of their own; the pattern finds the id and, at worst, more.
        quoted = msgspec.json.encode(id).decode().replace("!", "!!").replace("%", "!%").replace("_", "!_")
        rest = "WHERE agent = ? AND sources <> '' AND sources LIKE ? ESCAPE '!' ORDER BY created, version"
        return [each for each in self._records(rest, (agent, f"%{quoted}%")) if id in each.sources]

    def vectors(self, agent: str, model: str, after: int = 0, limit: int = 10_000) -> list[Vector]:
        """Return the vectors of an agent's records made by one model, by version."""
        rest = "WHERE agent = ? AND model = ? AND model <> '' AND version > ? ORDER BY version LIMIT ?"
        return [Vector(each.key, each.version, each.vector) for each in self._records(rest, (agent, model, after, limit))]

    def tally(self, agent: str | None = None) -> Mapping[tuple[Tier, str], int]:
        """Return the number of records by tier and kind."""
        where, values = ("", ()) if agent is None else ("WHERE agent = ?", (agent,))
        sql = f"SELECT tier, kind, count(*) FROM {NAME} {where} GROUP BY tier, kind"  # noqa: S608 - as above
        with self._reaching():
            return {(Tier(tier), kind): count for tier, kind, count in self._database.rows(sql, values)}

    def newest(self) -> int:
        """Return the greatest version ever written, or a greater number."""
        with self._reaching():
            row = self._database.row("SELECT mark FROM memory_marks WHERE name = 'newest'")
        return int(row[0]) if row is not None else 0

    def decisions(self, key: str | None = None, limit: int = 100) -> list[MaintenanceDecision]:
        """Return the newest decisions, newest first."""
        where, values = ("", list[Any]()) if key is None else ("WHERE key = ?", [key])
        sql = (
            "SELECT time, id, key, agent, action, source, target, reason "  # noqa: S608 - as above
            f"FROM memory_decisions {where} ORDER BY number DESC LIMIT ?"
        )
        with self._reaching():
            return [_decision(row) for row in self._database.rows(sql, [*values, limit])]

    def erase(self, keys: Sequence[str], agent: str | None) -> bool:
        """Delete the decisions about memories that are deleted, and rewrite the database. Return True: no byte of them is left.

        Raises `StorageError` if the database cannot be rewritten; the memories are deleted nevertheless.
        """

        def work(transaction: Transaction) -> None:
            for key in keys:
                transaction.execute("DELETE FROM memory_decisions WHERE key = ?", (key,))
            if agent is not None:
                transaction.execute("DELETE FROM memory_decisions WHERE agent = ?", (agent,))
            self._full_text.purge(transaction)

        with self._reaching():
            self._database.write(work).result()
            self._database.compact()
        return True

    def _renew_index(self, clock: Clock) -> None:
        """Index all records anew if an earlier version of the analysis indexed them. A later opening goes on after a crash."""
        row = self._database.row("SELECT mark FROM memory_marks WHERE name = ?", (VERSION_MARK,))
        if row is not None and row[0] == VERSION:
            return
        if not self._database.write(self._full_text.renew).result():
            return
        whole = self._database.read(self._full_text.due)
        told = clock.monotonic()
        if whole:
            _log.warning("%s: indexing %d memories anew, for searches in all languages", self._database.name, whole)
        while left := self._database.read(self._full_text.due):
            if clock.monotonic() - told >= _PROGRESS:
                told = clock.monotonic()
                _log.warning("%s: %d of %d memories are indexed", self._database.name, max(0, whole - left), whole)
            self._fill()
        self._database.write(self._full_text.renewed).result()
        if whole:
            _log.warning("%s: all memories are indexed", self._database.name)

    def _fill(self) -> None:
        # Analyse them on this thread, so that writes go on.
        records = analysed(self._database.read(lambda view: self._full_text.unindexed(view, _AT_ONCE)))
        # Indexing can be repeated, so it need not be durable.
        self._database.write(lambda transaction: self._full_text.index(transaction, records), durable=False).result()

    def _write(self, transaction: Transaction, changes: Sequence[ArchiveChange], newest: int) -> list[bool]:
        done = self._apply_all(transaction, changes)
        if newest > self._mark:
            mark = "INSERT INTO memory_marks (name, mark) VALUES ('newest', ?) ON CONFLICT (name) DO UPDATE SET mark = excluded.mark"
            transaction.execute(f"{mark} WHERE excluded.mark > memory_marks.mark", (newest + _AHEAD,))
        self._record(
            transaction,
            [each.note for each, ok in zip(changes, done, strict=True) if ok and not isinstance(each, Touch) and each.note],
        )
        self._uncounted += len(changes)
        if self._uncounted >= _LOOK_AFTER:
            self._uncounted = 0
            if (due := self._full_text.due(transaction)) > _MAX_DUE:
                self._full_text.index(transaction, analysed(self._full_text.unindexed(transaction, due - _MAX_DUE)))
        return done

    def _record(self, transaction: Transaction, notes: Sequence[MaintenanceDecision]) -> None:
        """Store decisions in order, and delete the oldest beyond the maximum."""
        if not notes:
            return
        sql = (
            "INSERT INTO memory_decisions (time, id, key, agent, action, source, target, reason) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        transaction.execute_many(sql, [_values(note) for note in notes])
        limit = "SELECT max(number) FROM memory_decisions"
        transaction.execute(f"DELETE FROM memory_decisions WHERE number <= ({limit}) - ?", (_MAX_DECISIONS,))  # noqa: S608 - as above


def _values(note: MaintenanceDecision) -> tuple[Any, ...]:
    target = None if note.target is None else int(note.target)
    return (note.time, note.id, note.key, note.agent, str(note.action), int(note.source), target, note.reason)


def _decision(row: Row) -> MaintenanceDecision:
    time, name, key, agent, action, source, target, reason = row
    return MaintenanceDecision(
        time, name, key, agent, MaintenanceAction(action), Tier(source), None if target is None else Tier(target), reason
    )
