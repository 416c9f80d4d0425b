"""The requests of conversations to their models, as they were sent: their values and their storage."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from coterie.errors.conversation import ConversationDamaged
from coterie.errors.definition import DecodeFailed
from coterie.kernel import Codec
from coterie.models import ModelRequest, PromptMessage, TextMessage, ToolCall, Usage
from coterie.storage import Database, Pending, Row, Schema, Transaction

SCHEMA = Schema(
    "conversation_requests",
    (
        """
        CREATE TABLE conversation_requests (
            namespace TEXT NOT NULL,
            number BIGINT NOT NULL,
            turn BIGINT NOT NULL,
            body BYTEA NOT NULL,
            PRIMARY KEY (namespace, number)
        );
        """,
    ),
)
_INSERT = """
INSERT INTO conversation_requests (namespace, number, turn, body) VALUES (?, ?, ?, ?)
ON CONFLICT (namespace, number) DO NOTHING
"""
_NEWEST = "SELECT body FROM conversation_requests WHERE namespace = ? ORDER BY number DESC LIMIT ?"
_OF_TURN = "SELECT body FROM conversation_requests WHERE namespace = ? AND turn = ? ORDER BY number DESC LIMIT ?"


class SentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a conversation to its model, as it was sent, with secrets masked and files without their bytes."""

    number: int
    """Counted from 1 in each conversation; in a conversation whose requests are not stored, from its latest opening."""
    at: float
    """Wall time in seconds."""
    turn: int = 0
    """The turn that it answers; 0 for a summary and other requests beside the turns. `request.step` names its purpose."""
    model: str = ""
    request: ModelRequest
    seconds: float | None = None
    """Time until the whole reply, or its failure; None while the model answers."""
    outcome: str = ""
    """The `Finish` of the reply, ``failed`` or ``cut``; empty while the model answers."""
    problem: str = ""
    usage: Usage = Usage()


def masked_request(sent: SentRequest, mask: Callable[[str], str]) -> SentRequest:
    """Return a request with all its texts masked. Its tools are the program's own."""
    request = sent.request
    safe = msgspec.structs.replace(
        request,
        instructions=mask(request.instructions),
        exchanges=tuple(_masked(each, mask) for each in request.exchanges),
    )
    return msgspec.structs.replace(sent, request=safe, problem=mask(sent.problem))


def without_bytes(request: ModelRequest) -> ModelRequest:
    """Return a request whose files have their names and sizes, and no bytes."""
    if not any(isinstance(each, TextMessage) and each.attachments for each in request.exchanges):
        return request
    return msgspec.structs.replace(request, exchanges=tuple(map(_bare, request.exchanges)))


def _bare(message: PromptMessage) -> PromptMessage:
    if not isinstance(message, TextMessage) or not message.attachments:
        return message
    bare = tuple(
        msgspec.structs.replace(each, data=b"", name=f"{each.name or 'a file'}, {len(each.data):,} bytes")
        if each.data
        else each
        for each in message.attachments
    )
    return msgspec.structs.replace(message, attachments=bare)


def _masked(message: PromptMessage, mask: Callable[[str], str]) -> PromptMessage:
    if isinstance(message, TextMessage):
        safe: PromptMessage = msgspec.structs.replace(message, text=mask(message.text))
    elif isinstance(message, ToolCall):
        safe = msgspec.structs.replace(message, arguments=_masked_value(message.arguments, mask))
    else:
        safe = msgspec.structs.replace(message, content=mask(message.content))
    # Requests share the messages that did not change.
    return message if safe == message else safe


def _masked_value(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {key: _masked_value(each, mask) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked_value(each, mask) for each in value]
    return value


class RequestStore:
    """The stored requests of all conversations in one database. Safe from any thread; it holds no state but the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._codec = Codec()
        database.migrate(SCHEMA)

    def put(self, namespace: str, sent: SentRequest, most: int) -> Pending[None]:
        """Store a request, and delete all but the newest `most` of its conversation."""
        body = self._encode(sent)

        def work(write: Transaction) -> None:
            write.execute(_INSERT, (namespace, sent.number, sent.turn, body))
            write.execute(
                "DELETE FROM conversation_requests WHERE namespace = ? AND number <= ?", (namespace, sent.number - most)
            )

        return self._database.write(work, durable=False)

    def mask(self, namespace: str, mask: Callable[[str], str]) -> Pending[None]:
        """Mask all stored requests of a conversation. `mask` is called on the thread of the writer."""

        def work(write: Transaction) -> None:
            rows = write.rows("SELECT number, body FROM conversation_requests WHERE namespace = ?", (namespace,))
            for number, body in rows:
                before = self._decode(namespace, body)
                after = masked_request(before, mask)
                if after != before:
                    write.execute(
                        "UPDATE conversation_requests SET body = ? WHERE namespace = ? AND number = ?",
                        (self._encode(after), namespace, number),
                    )

        return self._database.write(work)

    def newest(self, namespace: str, limit: int, turn: int | None = None) -> list[SentRequest]:
        """Return the newest requests of a conversation, or of one turn of it, oldest first."""
        if turn is None:
            return self._read(namespace, self._database.rows(_NEWEST, (namespace, limit)))
        return self._read(namespace, self._database.rows(_OF_TURN, (namespace, turn, limit)))

    def last_number(self, namespace: str) -> int:
        """Return the number of the newest stored request of a conversation, or 0."""
        row = self._database.row("SELECT max(number) FROM conversation_requests WHERE namespace = ?", (namespace,))
        return int(row[0]) if row is not None and row[0] is not None else 0

    def _read(self, namespace: str, rows: Iterable[Row]) -> list[SentRequest]:
        return [self._decode(namespace, row[0]) for row in rows][::-1]

    def _encode(self, sent: SentRequest) -> bytes:
        return zlib.compress(self._codec.encode(sent), 1)

    def _decode(self, namespace: str, body: bytes) -> SentRequest:
        try:
            found: SentRequest = self._codec.decode(zlib.decompress(body), SentRequest)
        except (DecodeFailed, zlib.error) as error:
            raise ConversationDamaged(namespace, error) from error
        return found
