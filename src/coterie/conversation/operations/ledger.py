"""The ledger: all operations of all conversations in a database, changed by compare-and-swap on their epoch.

A writer names the epoch that it read. The ledger refuses a writer with an older epoch, such as a replaced process or an
abandoned attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.errors.conversation import ConversationDamaged, TransitionRefused
from coterie.errors.definition import DecodeFailed
from coterie.kernel import Codec
from coterie.storage import Database, Pending, ReadTransaction, Row, Schema, Transaction


class PendingTransition(Pending[None]):
    """A transition that waits for its commit."""

    __slots__ = ("refuse", "values")

    def __init__(self, where: str, values: Sequence[Any], refuse: Callable[[], TransitionRefused]) -> None:
        super().__init__(where)
        self.values = values
        self.refuse = refuse


class TransitionBatcher:
    """Collects the transitions that arrive while the writer is busy, and writes them together.

    Each succeeds or is refused alone, because a refused one changes nothing. Separate writes would need a savepoint each,
    which costs more than the transition. Safe from any thread; `_lock` guards the collected ones.
    """

    def __init__(self, database: Database, sql: str) -> None:
        self._database = database
        self._sql = sql
        self._lock = new_lock(Rank.RECORDS)
        self._gathered: list[PendingTransition] = []

    def put(self, swap: PendingTransition) -> PendingTransition:
        """Write a transition after all earlier ones; return it as a pending result."""
        with self._lock:
            self._gathered.append(swap)
            first = len(self._gathered) == 1
        if first:
            group = _Batch(self)
            try:
                pending = self._database.write(group.work)
            except BaseException as error:
                group.end(error)
                raise
            pending.add_callback(lambda: group.end(pending.exception()))
        return swap

    def take(self) -> list[PendingTransition]:
        """Remove and return the collected transitions."""
        with self._lock:
            gathered, self._gathered = self._gathered, []
        return gathered

    def make(self, write: Transaction, swaps: Sequence[PendingTransition]) -> list[bool]:
        """Write transitions, and return for each whether it was accepted."""
        return [write.execute(self._sql, swap.values) == 1 for swap in swaps]


class _Batch:
    """The transitions of one write. A repeated write has the same transitions."""

    def __init__(self, swaps: TransitionBatcher) -> None:
        self._swaps = swaps
        self._taken: list[PendingTransition] | None = None
        self._counted: list[bool] = []

    def work(self, write: Transaction) -> None:
        """Write them. On the writer's thread."""
        if self._taken is None:
            self._taken = self._swaps.take()
        self._counted = self._swaps.make(write, self._taken)

    def end(self, error: BaseException | None) -> None:
        """Complete each pending result after the commit."""
        taken = self._taken if self._taken is not None else self._swaps.take()
        counted = self._counted if error is None else [False] * len(taken)
        for swap, counts in zip(taken, counted, strict=True):
            if counts:
                swap.succeed(None)
            else:
                swap.fail(error if error is not None else swap.refuse())


SCHEMA = Schema(
    "conversation_operations",
    (
        """
        CREATE TABLE conversation_operations (
            namespace TEXT NOT NULL,
            number BIGINT NOT NULL,
            epoch BIGINT NOT NULL,
            attempt BIGINT NOT NULL,
            state TEXT NOT NULL,
            owed BIGINT NOT NULL,
            tool TEXT NOT NULL,
            idempotency TEXT NOT NULL,
            seconds DOUBLE PRECISION,
            ended_at DOUBLE PRECISION,
            checkpoint BYTEA,
            body BYTEA NOT NULL,
            PRIMARY KEY (namespace, number)
        );
        CREATE INDEX conversation_operations_owed ON conversation_operations (namespace, owed);
        CREATE INDEX conversation_operations_keys ON conversation_operations (namespace, idempotency);
        CREATE INDEX conversation_operations_times ON conversation_operations (tool, ended_at);
        """,
    ),
)
_INSERT = """
INSERT INTO conversation_operations
(namespace, number, epoch, attempt, state, owed, tool, idempotency, seconds, ended_at, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, number) DO NOTHING
"""
_SWAP = """
UPDATE conversation_operations SET epoch = ?, attempt = ?, state = ?, owed = ?, seconds = ?, ended_at = ?, body = ?
WHERE namespace = ? AND number = ? AND epoch = ?
"""
_KEEP = """
UPDATE conversation_operations SET checkpoint = ?
WHERE namespace = ? AND number = ? AND attempt = ? AND state IN ('running', 'cancelling')
"""
_ALL = "SELECT body FROM conversation_operations WHERE namespace = ? ORDER BY number"
_OWED = "SELECT body FROM conversation_operations WHERE namespace = ? AND owed = 1 ORDER BY number"
_ONE = "SELECT body FROM conversation_operations WHERE namespace = ? AND number = ?"
_LATEST = "SELECT body FROM conversation_operations WHERE namespace = ? ORDER BY number DESC LIMIT ?"
_BY_KEY = "SELECT body FROM conversation_operations WHERE namespace = ? AND idempotency = ? ORDER BY number DESC LIMIT 1"
_TIMES = """
SELECT seconds FROM conversation_operations
WHERE tool = ? AND state = 'succeeded' AND seconds IS NOT NULL ORDER BY ended_at DESC LIMIT 256
"""


class Ledger:
    """The operations of all conversations in one database. Safe from any thread: it holds no state itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._codec = Codec()
        self._swaps = TransitionBatcher(database, _SWAP)
        database.migrate(SCHEMA)

    def add(self, write: Transaction, namespace: str, operation: Operation) -> None:
        """Insert a new operation. Raises `TransitionRefused` if its number exists."""
        epoch, attempt, state, owed, seconds = self._facts(operation)
        body = self._codec.encode(operation)
        values = (
            namespace, operation.number, epoch, attempt, state, owed, operation.tool, as_ascii(operation.key), seconds,
            operation.ended_at, body,
        )  # fmt: skip
        if write.execute(_INSERT, values) != 1:
            raise TransitionRefused(operation.id, "nothing", operation.state, "the number exists already")

    def swap(self, write: Transaction, namespace: str, operation: Operation, expected: int) -> None:
        """Replace an operation by its next version. Raises `TransitionRefused` unless it is at the epoch `expected`."""
        if write.execute(_SWAP, self._values(namespace, operation, expected)) != 1:
            raise _late(operation, expected)

    def transition(self, namespace: str, operation: Operation) -> Pending[None]:
        """Write the next version of an operation. The result is `TransitionRefused` as in `swap`."""
        expected = operation.epoch - 1
        return self._swaps.put(
            PendingTransition(
                self._database.name, self._values(namespace, operation, expected), lambda: _late(operation, expected)
            )
        )

    def keep(self, namespace: str, number: int, attempt: int, checkpoint: bytes) -> Pending[bool]:
        """Store the checkpoint of an attempt; the result is False if the attempt is not the current one."""
        values = (checkpoint, namespace, number, attempt)
        return self._database.write(lambda write: write.execute(_KEEP, values) == 1)

    def checkpoint(self, namespace: str, number: int) -> bytes | None:
        """Return the latest checkpoint, or None."""
        row = self._database.row(
            "SELECT checkpoint FROM conversation_operations WHERE namespace = ? AND number = ?", (namespace, number)
        )
        return row[0] if row is not None else None

    def all(self, namespace: str) -> list[Operation]:
        """Return all operations of a conversation, oldest first."""
        return self._read(namespace, self._database.rows(_ALL, (namespace,)))

    def undelivered(self, view: ReadTransaction, namespace: str) -> list[Operation]:
        """Return the operations that have not ended or are not delivered, oldest first."""
        return self._read(namespace, view.rows(_OWED, (namespace,)))

    def one(self, namespace: str, number: int) -> Operation | None:
        """Return the operation of a number, or None."""
        row = self._database.row(_ONE, (namespace, number))
        return self._read(namespace, [row])[0] if row is not None else None

    def latest(self, namespace: str, limit: int) -> list[Operation]:
        """Return the newest `limit` operations of a conversation, newest first."""
        return self._read(namespace, self._database.rows(_LATEST, (namespace, limit)))

    def by_key(self, namespace: str, key: str) -> Operation | None:
        """Return the latest operation with an idempotency key, or None."""
        row = self._database.row(_BY_KEY, (namespace, as_ascii(key)))
        return self._read(namespace, [row])[0] if row is not None else None

    def last_number(self, view: ReadTransaction, namespace: str) -> int:
        """Return the number of the newest operation, or 0."""
        row = view.row("SELECT max(number) FROM conversation_operations WHERE namespace = ?", (namespace,))
        return int(row[0]) if row is not None and row[0] is not None else 0

    def times(self, tool: str) -> list[float]:
        """Return the durations of the latest successful runs of a tool, in seconds, oldest first."""
        return [float(row[0]) for row in reversed(self._database.rows(_TIMES, (tool,)))]

    def _values(self, namespace: str, operation: Operation, expected: int) -> tuple[Any, ...]:
        body = self._codec.encode(operation)
        return (*self._facts(operation), operation.ended_at, body, namespace, operation.number, expected)

    def _facts(self, operation: Operation) -> tuple[int, int, str, int, float | None]:
        unsettled = not operation.ended or not operation.delivered
        seconds = None
        if operation.state is OperationState.SUCCEEDED and operation.started_at is not None and operation.ended_at is not None:
            seconds = operation.ended_at - operation.started_at
        return operation.epoch, operation.attempt, str(operation.state), int(unsettled), seconds

    def _read(self, namespace: str, rows: Iterable[Row]) -> list[Operation]:
        try:
            return [self._codec.decode(row[0], Operation) for row in rows]
        except DecodeFailed as error:
            raise ConversationDamaged(namespace, error) from error


def _late(operation: Operation, expected: int) -> TransitionRefused:
    reason = f"it is not at epoch {expected} any more"
    return TransitionRefused(operation.id, f"epoch {expected}", operation.state, reason)


def as_ascii(text: str) -> str:
    """Return a unique ASCII form of a text, which every database can store and compare."""
    return text.encode("unicode_escape").decode("ascii")
