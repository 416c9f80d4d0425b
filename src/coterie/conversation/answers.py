"""Answers of persons to operations of conversations that are not open: they wait in the store until one is opened."""

from __future__ import annotations

import msgspec

from coterie.errors.conversation import ConversationDamaged
from coterie.errors.definition import DecodeFailed
from coterie.kernel import Codec
from coterie.storage import Database, Pending, Schema, Transaction

SCHEMA = Schema(
    "conversation_answers",
    (
        """
        CREATE TABLE conversation_answers (
            namespace TEXT NOT NULL,
            operation BIGINT NOT NULL,
            body BYTEA NOT NULL,
            PRIMARY KEY (namespace, operation)
        );
        """,
    ),
)
_PUT = """
INSERT INTO conversation_answers (namespace, operation, body) VALUES (?, ?, ?)
ON CONFLICT (namespace, operation) DO UPDATE SET body = excluded.body
"""


class DeferredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one operation; a later one replaces it. The program applies it when it opens the conversation next."""

    operation: int
    action: str
    """``approve``, ``reject``, ``cancel`` or ``resolve``."""
    consent: int = 0
    """The request for approval that is answered."""
    person: str | None = None
    """The person who answers; None for the user of the conversation."""
    at: float
    """Wall time in seconds."""
    state: str = ""
    """Of a resolution: ``succeeded``, ``failed`` or ``retry``."""
    why: str = ""


class AnswerStore:
    """The answers of all conversations in one database. Safe from any thread; it holds no state but the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._codec = Codec()
        database.migrate(SCHEMA)

    def put(self, namespace: str, answer: DeferredAnswer) -> Pending[None]:
        """Store an answer instead of an earlier one to the same operation."""
        body = self._codec.encode(answer)

        def work(write: Transaction) -> None:
            write.execute(_PUT, (namespace, answer.operation, body))

        return self._database.write(work)

    def of(self, namespace: str) -> list[DeferredAnswer]:
        """Return the answers to operations of a conversation, by the numbers of the operations."""
        rows = self._database.rows("SELECT body FROM conversation_answers WHERE namespace = ? ORDER BY operation", (namespace,))
        try:
            return [self._codec.decode(row[0], DeferredAnswer) for row in rows]
        except DecodeFailed as error:
            raise ConversationDamaged(namespace, error) from error

    def remove(self, namespace: str, answer: DeferredAnswer) -> Pending[None]:
        """Delete an answer that was applied or refused."""

        def work(write: Transaction) -> None:
            write.execute(
                "DELETE FROM conversation_answers WHERE namespace = ? AND operation = ?", (namespace, answer.operation)
            )

        return self._database.write(work)
