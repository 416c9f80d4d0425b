"""What the server remembers of front ends, in the database of the conversations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from coterie.kernel import Clock
from coterie.storage import Database, Schema, Transaction

_SCHEMA = Schema(
    "serving",
    (
        """
        CREATE TABLE serving_told (thread TEXT PRIMARY KEY, event BIGINT NOT NULL);
        CREATE TABLE serving_histories (digest TEXT PRIMARY KEY, thread TEXT NOT NULL, at DOUBLE PRECISION NOT NULL);
        CREATE INDEX serving_histories_by_time ON serving_histories (at);
        """,
    ),
)
KEPT = 30 * 86_400.0
"""Seconds that a history is known."""


class Records:
    """How far each thread was told, and which thread a history belongs to. Safe from any thread."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        database.migrate(_SCHEMA)

    def told(self, thread: str) -> int:
        """Return the id of the last event that the front end of a thread was told, or 0."""
        row = self._database.row("SELECT event FROM serving_told WHERE thread = ?", (thread,))
        return 0 if row is None else int(row[0])

    def tell(self, thread: str, event: int) -> None:
        """Note how far a thread was told. It is written soon; what is lost with a crash is told once more."""

        def write(transaction: Transaction) -> None:
            transaction.execute(
                "INSERT INTO serving_told VALUES (?, ?) ON CONFLICT (thread) DO UPDATE SET event = excluded.event"
                " WHERE excluded.event > serving_told.event",
                (thread, event),
            )

        self._database.write(write, durable=False)

    def thread_of(self, digest: str) -> str | None:
        """Return the thread that a history belongs to; None if it is unknown, or belongs to several."""
        row = self._database.row("SELECT thread FROM serving_histories WHERE digest = ?", (digest,))
        return str(row[0]) if row is not None and row[0] else None

    async def belongs(self, digest: str, thread: str) -> None:
        """Note that a history belongs to a thread. Once two threads share one, it belongs to neither."""
        now = self._clock.time()

        def write(transaction: Transaction) -> None:
            transaction.execute("DELETE FROM serving_histories WHERE at < ?", (now - KEPT,))
            transaction.execute(
                "INSERT INTO serving_histories VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET at = excluded.at, thread ="
                " CASE WHEN serving_histories.thread = excluded.thread THEN excluded.thread ELSE '' END",
                (digest, thread, now),
            )

        await self._database.write(write)


def digest(user: str, lines: Iterable[tuple[str, str]]) -> str:
    """Return what stands for the history of a user: who said what, in order."""
    text = json.dumps([user, *([role, said.strip()] for role, said in lines)], ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
