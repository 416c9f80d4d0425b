"""The threads of front ends, the events that each was sent, and the state that all endpoints share."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator

from coterie.conversation import Conversation, Conversations, TurnBegan
from coterie.interop.options import ServingOptions
from coterie.interop.retries import RequestRecords
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
"""Seconds that a history is stored."""


class ThreadRecords:
    """The last event that each thread was sent, and the thread of each history. Safe from any thread."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        database.migrate(_SCHEMA)

    def last_sent(self, thread: str) -> int:
        """Return the id of the last event that the front end of a thread was sent, or 0."""
        row = self._database.row("SELECT event FROM serving_told WHERE thread = ?", (thread,))
        return 0 if row is None else int(row[0])

    def record_sent(self, thread: str, event: int) -> None:
        """Record the last event that a thread was sent. The write is not durable: after a crash events are sent again."""

        def write(transaction: Transaction) -> None:
            transaction.execute(
                "INSERT INTO serving_told VALUES (?, ?) ON CONFLICT (thread) DO UPDATE SET event = excluded.event"
                " WHERE excluded.event > serving_told.event",
                (thread, event),
            )

        self._database.write(write, durable=False)

    def thread_of(self, digest: str) -> str | None:
        """Return the thread of a history; None if it is unknown, or belongs to several."""
        row = self._database.row("SELECT thread FROM serving_histories WHERE digest = ?", (digest,))
        return str(row[0]) if row is not None and row[0] else None

    async def record_history(self, digest: str, thread: str) -> None:
        """Record the thread of a history. A history that two threads share belongs to neither."""
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
    """Return the digest of a user's history: roles and texts in order."""
    text = json.dumps([user, *([role, text.strip()] for role, text in lines)], ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


_IDLE = 60.0
"""Minimum seconds that a thread stays open after its last request."""


class ClientThread:
    """One thread of a front end: its conversation, and the last event it was sent. Only the server's loop uses it."""

    def __init__(self, key: str, chat: Conversation, last_sent: int, records: ThreadRecords) -> None:
        self.chat = chat
        self.opened_at = 0.0
        """Time of its last request, on the monotonic clock."""
        self.listeners = 0
        """Number of streams that stay open between turns. While there is one, results are sent there and not in runs."""
        self.reading: set[int] = set()
        """Turns that a request is reading now."""
        self._key = key
        self._last_sent = last_sent
        self._claimed: set[int] = set()
        self._records = records

    @property
    def last_sent(self) -> int:
        """The id of the event up to which all events were sent."""
        return self._last_sent

    @contextlib.contextmanager
    def answering(self, began: TurnBegan | None) -> Iterator[None]:
        """Reserve the answer of a turn for this request, in a ``with`` block."""
        if began is None:
            yield
            return
        self.reading.add(began.turn)
        try:
            yield
        finally:
            self.reading.discard(began.turn)

    def claim(self, event: int, *, again: bool = False) -> bool:
        """Claim an event for sending; return whether no other request has claimed it. `again` allows an event sent before."""
        if event in self._claimed or (event <= self._last_sent and not again):
            return False
        self._claimed.add(event)
        return True

    def release(self, event: int) -> None:
        """Release a claim on an event that was not sent."""
        self._claimed.discard(event)

    def advance(self, event: int) -> None:
        """Record that all events up to this one were sent."""
        if event > self._last_sent:
            self._last_sent = event
            self._claimed = {each for each in self._claimed if each > event}
            self._records.record_sent(self._key, event)


class ClientThreads:
    """The open threads. Only the server's loop uses it.

    Above `limit` threads, the least recently used threads without readers and unfinished operations are closed. The next
    request opens them again.
    """

    def __init__(self, conversations: Conversations, records: ThreadRecords, clock: Clock, limit: int) -> None:
        self._conversations = conversations
        self._records = records
        self._clock = clock
        self._limit = limit
        self._threads: dict[tuple[str, ...], ClientThread] = {}

    def __len__(self) -> int:
        return len(self._threads)

    async def open(self, namespace: tuple[str, ...], user: str = "") -> ClientThread:
        """Return the thread of a namespace; its tools get the name of the user. Raises the errors of `Conversations.open`."""
        client = self._threads.get(namespace)
        if client is None or client.chat.closed:
            self._threads.pop(namespace, None)
            key = json.dumps(namespace)
            chat, last_sent = await asyncio.to_thread(
                lambda: (self._conversations.open(namespace, user=user), self._records.last_sent(key))
            )
            await chat.ready()
            client = self._threads.setdefault(namespace, ClientThread(key, chat, last_sent, self._records))
        client.opened_at = self._clock.monotonic()
        if len(self._threads) > self._limit:
            await self._close_idle()
        return client

    async def of_agui(self, thread: str, user: str) -> ClientThread:
        """Return a thread of an AG-UI front end. Each user has threads of their own."""
        return await self.open(("agui", user or "-", thread), user)

    async def _close_idle(self) -> None:
        before = self._clock.monotonic() - _IDLE
        for namespace, client in sorted(self._threads.items(), key=lambda item: item[1].opened_at):
            if client.opened_at > before or len(self._threads) <= self._limit:
                return
            if (
                client.listeners
                or client.reading
                or any(not each.state.needs_person for each in client.chat.operations(unfinished=True))
            ):
                continue
            del self._threads[namespace]
            await client.chat.aclose()


class ServerState:
    """The state that all endpoints share. Only the server's loop uses it."""

    def __init__(
        self,
        name: str,
        conversations: Conversations,
        records: ThreadRecords,
        requests: RequestRecords,
        options: ServingOptions,
        clock: Clock,
    ) -> None:
        self.name = name
        """The model name of the assistant."""
        self.conversations = conversations
        self.records = records
        self.options = options
        self.clock = clock
        self.threads = ClientThreads(conversations, records, clock, options.open_threads)
        self.requests = requests
        self.closing = asyncio.Event()
        """Set when the server stops, so that endless streams end."""
