"""The storage of conversations: the log, the ledger of operations and the notes of tools.

Log entries and the operation transitions that belong to them are one atomic write. Each opening of a conversation takes a
new epoch, and writes with an older epoch are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from coterie.conversation.answers import AnswerStore
from coterie.conversation.entries import ConversationEntry, SummaryEntry, TurnEndedEntry
from coterie.conversation.operations.ledger import Ledger, as_ascii
from coterie.conversation.operations.operation import Operation
from coterie.conversation.sent_requests import RequestStore
from coterie.errors import ConversationTaken
from coterie.errors.conversation import ConversationDamaged, InvalidNamespace, TransitionRefused
from coterie.errors.definition import DecodeFailed
from coterie.errors.storage import ConstraintViolated
from coterie.kernel import Clock, Codec
from coterie.storage import Database, Pending, Row, Schema, Transaction

SCHEMA = Schema(
    "conversation",
    (
        """
        CREATE TABLE conversation_sessions (
            namespace TEXT PRIMARY KEY,
            epoch BIGINT NOT NULL,
            opened_at DOUBLE PRECISION NOT NULL
        );
        CREATE TABLE conversation_log (
            namespace TEXT NOT NULL,
            sequence BIGINT NOT NULL,
            at DOUBLE PRECISION NOT NULL,
            turn BIGINT,
            said TEXT,
            body BYTEA NOT NULL,
            PRIMARY KEY (namespace, sequence)
        );
        CREATE UNIQUE INDEX conversation_log_said ON conversation_log (namespace, said) WHERE said IS NOT NULL;
        CREATE TABLE conversation_notes (
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            body BYTEA NOT NULL,
            PRIMARY KEY (namespace, name)
        );
        """,
        "CREATE TABLE conversation_summaries (namespace TEXT PRIMARY KEY, sequence BIGINT NOT NULL);",
        "ALTER TABLE conversation_sessions ADD COLUMN person TEXT NOT NULL DEFAULT '';",
    ),
)
_OPEN = """
INSERT INTO conversation_sessions (namespace, epoch, opened_at, person) VALUES (?, 1, ?, ?)
ON CONFLICT (namespace) DO UPDATE SET epoch = conversation_sessions.epoch + 1, opened_at = excluded.opened_at,
    person = CASE WHEN excluded.person = '' THEN conversation_sessions.person ELSE excluded.person END
RETURNING epoch
"""
_APPEND = "INSERT INTO conversation_log (namespace, sequence, at, turn, said, body) VALUES (?, ?, ?, ?, ?, ?)"
_LATEST = "SELECT sequence, at, body FROM conversation_log WHERE namespace = ? ORDER BY sequence DESC LIMIT ?"
_SUMMARY = """
SELECT log.sequence, log.at, log.body FROM conversation_log AS log JOIN conversation_summaries AS latest
ON log.namespace = latest.namespace AND log.sequence = latest.sequence WHERE log.namespace = ?
"""
_SUMMARISED = """
INSERT INTO conversation_summaries (namespace, sequence) VALUES (?, ?)
ON CONFLICT (namespace) DO UPDATE SET sequence = excluded.sequence
"""
_BETWEEN = """
SELECT sequence, at, body FROM conversation_log WHERE namespace = ? AND sequence > ? AND sequence <= ?
ORDER BY sequence LIMIT ?
"""
_NOTE = """
INSERT INTO conversation_notes (namespace, name, body) VALUES (?, ?, ?)
ON CONFLICT (namespace, name) DO UPDATE SET body = excluded.body
"""
_MAX_KEY_LENGTH = 8_000
"""Maximum characters of a namespace key. (A PostgreSQL index holds some 2,700, after compression.)"""


class LogRecord(msgspec.Struct, frozen=True):
    """A log entry with its sequence number and time."""

    sequence: int
    at: float
    """Wall time in seconds."""
    entry: ConversationEntry


class OpenedConversation(msgspec.Struct, frozen=True):
    """The stored conversation at the time of its opening."""

    epoch: int
    records: Sequence[LogRecord]
    """The latest log entries, oldest first."""
    operations: Sequence[Operation]
    """Operations that have not ended, or whose outcome is not delivered."""
    last_operation: int
    last_turn: int
    notes: dict[str, Any]
    summary: LogRecord | None = None
    """The latest summary, also if it is older than the latest entries."""


class Journal:
    """The conversations in one database. Safe from any thread; it holds no state but the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.ledger = Ledger(database)
        self.requests = RequestStore(database)
        self.answers = AnswerStore(database)
        self._codec = Codec()
        database.migrate(SCHEMA)

    def open(self, namespace: str, latest: int, *, person: str = "") -> OpenedConversation:
        """Take a conversation over from any owner, and return it with the `latest` entries of its log.

        There are more entries if questions before them are not answered yet: a question is never lost for its age.
        """
        epoch = self.database.write(
            lambda write: _value(write, _OPEN, (namespace, self.clock.time(), as_ascii(person)))
        ).result()
        # From here on the writes of earlier owners are refused.
        with_all = self.database.read(
            lambda view: (
                view.rows(_LATEST, (namespace, latest)),
                self.ledger.undelivered(view, namespace),
                self.ledger.last_number(view, namespace),
                view.row("SELECT max(turn) FROM conversation_log WHERE namespace = ?", (namespace,)),
                view.rows("SELECT name, body FROM conversation_notes WHERE namespace = ?", (namespace,)),
                view.rows(_SUMMARY, (namespace,)),
            )
        )
        rows, operations, last, turn, notes, summary = with_all
        return OpenedConversation(
            epoch,
            self._since_unanswered(namespace, self._read(namespace, reversed(rows)), latest),
            operations,
            last,
            int(turn[0]) if turn is not None and turn[0] is not None else 0,
            {json.loads(name): self._codec.decode(body, Any) for name, body in notes},
            next(iter(self._read(namespace, summary)), None),
        )

    def _since_unanswered(self, namespace: str, records: list[LogRecord], latest: int) -> list[LogRecord]:
        """Return the end of a log, continued backwards to the first question that is not answered."""
        if len(records) < latest:
            return records
        while True:
            # Turns are answered in their order.
            answered = max((each.entry.turn for each in records if isinstance(each.entry, TurnEndedEntry)), default=None)
            first = records[0].sequence
            if answered is not None or first == 1:
                break
            records = self.between(namespace, max(0, first - 1 - latest), first - 1, latest) + records
        row = self.database.row(
            "SELECT min(sequence) FROM conversation_log WHERE namespace = ? AND turn > ?", (namespace, answered or 0)
        )
        if row is None or row[0] is None or row[0] >= first:
            return records
        return self.between(namespace, row[0] - 1, first - 1, first - row[0]) + records

    def write(
        self,
        namespace: str,
        epoch: int,
        records: Sequence[LogRecord],
        operations: Sequence[Operation] = (),
        *,
        durable: bool = True,
    ) -> Pending[None]:
        """Append to the log and change operations, atomically. A new operation has epoch 0.

        The result is `ConversationTaken` if the conversation was opened elsewhere since.
        """
        rows = [self._row(namespace, record) for record in records]
        summaries = [record.sequence for record in records if isinstance(record.entry, SummaryEntry)]

        def work(write: Transaction) -> None:
            self._check_epoch(write, namespace, epoch)
            try:
                for row in rows:
                    write.execute(_APPEND, row)
                for sequence in summaries:
                    write.execute(_SUMMARISED, (namespace, sequence))
                for operation in operations:
                    if operation.epoch:
                        self.ledger.swap(write, namespace, operation, operation.epoch - 1)
                    else:
                        self.ledger.add(write, namespace, operation)
            except (ConstraintViolated, TransitionRefused) as error:
                raise ConversationTaken(namespace) from error

        return self.database.write(work, durable=durable)

    def amend(self, namespace: str, epoch: int, records: Sequence[LogRecord]) -> Pending[None]:
        """Replace log entries. Use it only to remove secrets."""
        rows = [(self._codec.encode(record.entry), namespace, record.sequence) for record in records]

        def work(write: Transaction) -> None:
            self._check_epoch(write, namespace, epoch)
            for row in rows:
                write.execute("UPDATE conversation_log SET body = ? WHERE namespace = ? AND sequence = ?", row)

        return self.database.write(work)

    def note(self, namespace: str, epoch: int, name: str, value: Any) -> Pending[bool]:
        """Store a note of a tool; None deletes it. Raises `EncodeFailed`."""
        key = json.dumps(name)
        body = None if value is None else self._codec.encode(value)

        def work(write: Transaction) -> bool:
            self._check_epoch(write, namespace, epoch)
            if body is None:
                write.execute("DELETE FROM conversation_notes WHERE namespace = ? AND name = ?", (namespace, key))
            else:
                write.execute(_NOTE, (namespace, key, body))
            return True

        return self.database.write(work)

    def between(self, namespace: str, after: int, until: int, limit: int = 1_000) -> list[LogRecord]:
        """Return up to `limit` log entries with sequence numbers after `after`, up to `until`, oldest first."""
        return self._read(namespace, self.database.rows(_BETWEEN, (namespace, after, until, limit)))

    def newest(self, namespace: str, limit: int) -> list[LogRecord]:
        """Return the newest `limit` log entries, oldest first."""
        rows = self.database.rows(
            "SELECT sequence, at, body FROM conversation_log WHERE namespace = ? ORDER BY sequence DESC LIMIT ?",
            (namespace, limit),
        )
        return self._read(namespace, reversed(rows))

    def turn_said(self, namespace: str, id: str) -> int | None:  # noqa: A002 - the usual name
        """Return the turn of the message with the front end's `id`, or None if none was accepted."""
        row = self.database.row("SELECT turn FROM conversation_log WHERE namespace = ? AND said = ?", (namespace, as_ascii(id)))
        return int(row[0]) if row is not None else None

    def of_turn(self, namespace: str, turn: int) -> list[LogRecord]:
        """Return the log entries of one turn, oldest first."""
        rows = self.database.rows(
            "SELECT sequence, at, body FROM conversation_log WHERE namespace = ? AND turn = ? ORDER BY sequence",
            (namespace, turn),
        )
        return self._read(namespace, rows)

    def person(self, namespace: str) -> str:
        """Return the user for whom a conversation was opened, or an empty text."""
        row = self.database.row("SELECT person FROM conversation_sessions WHERE namespace = ?", (namespace,))
        return str(row[0]) if row is not None else ""

    def namespaces(self) -> list[str]:
        """Return the keys of all conversations that were ever opened."""
        return [row[0] for row in self.database.rows("SELECT namespace FROM conversation_sessions ORDER BY namespace")]

    def _check_epoch(self, write: Transaction, namespace: str, epoch: int) -> None:
        row = write.row("SELECT epoch FROM conversation_sessions WHERE namespace = ?", (namespace,))
        if row is None or row[0] != epoch:
            raise ConversationTaken(namespace)

    def _row(self, namespace: str, record: LogRecord) -> tuple[Any, ...]:
        said = getattr(record.entry, "id", "") or None
        turn = getattr(record.entry, "turn", None)
        body = self._codec.encode(record.entry)
        return namespace, record.sequence, record.at, turn, None if said is None else as_ascii(said), body

    def _read(self, namespace: str, rows: Iterable[Row]) -> list[LogRecord]:
        try:
            return [LogRecord(sequence, at, self._codec.decode(body, ConversationEntry)) for sequence, at, body in rows]
        except DecodeFailed as error:
            raise ConversationDamaged(namespace, error) from error


def namespace_of(given: object) -> tuple[str, ...]:
    """Return the parts of a namespace. Raises `InvalidNamespace`."""
    parts = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, tuple | list) else ()
    if not parts:
        raise InvalidNamespace(given, "it is empty")
    if not all(isinstance(part, str) and part for part in parts):
        raise InvalidNamespace(given, "a part of it is not a string, or is empty")
    if len(key_of(parts)) > _MAX_KEY_LENGTH:
        raise InvalidNamespace(str(given)[:100], f"it is longer than {_MAX_KEY_LENGTH} characters, as JSON in ASCII")
    return tuple(str(part) for part in parts)


def key_of(namespace: tuple[str, ...]) -> str:
    """Return the unique key of a namespace. Its parts may contain any characters."""
    return json.dumps(namespace, separators=(",", ":"))


def parts_of(key: str) -> tuple[str, ...]:
    """Return the namespace of a key."""
    return tuple(json.loads(key))


def _value(write: Transaction, sql: str, parameters: tuple[Any, ...]) -> int:
    row = write.row(sql, parameters)
    assert row is not None
    return int(row[0])
