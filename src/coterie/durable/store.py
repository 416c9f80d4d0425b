"""The store of durable agents: states, events, messages, answers and subscriptions, in a database of `coterie.storage`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coterie.durable.claims import check_claim
from coterie.durable.records import (
    DurableChange,
    Identity,
    OperationAnswer,
    OutgoingMessage,
    StoredEvent,
    StoredMessage,
    StoredState,
)
from coterie.durable.schema import SCHEMA
from coterie.errors.durable import Superseded
from coterie.storage import Database, Pending
from coterie.storage.transaction import Row, Transaction

_MESSAGE = "id, kind, key, message, body, sender, priority, due, expires, attempts, error, context"
_PAGE = 1_000
_LAST = 2**63 - 1
_NEW_STATE = (
    "UPDATE durable_agents SET commits = commits + 1, changed_at = ?, state = ?, state_version = ?, folded = ?"
    " WHERE kind = ? AND key = ? AND commits = ?"
)
_PATIENCE = 30.0
"""Seconds that a change waits for a place in the queue of writes, before it fails with `StorageBusy`."""


class DurableStore:
    """Reads and commits what durable agents keep. Safe from any thread; it holds nothing but its database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.migrate(SCHEMA)

    def load(self, identity: Identity) -> StoredState:
        """Return the stored state of an agent; an empty one if nothing is stored. Blocks for one or two reads."""
        row = self.database.row(
            "SELECT commits, state, state_version, events, folded FROM durable_agents WHERE kind = ? AND key = ?",
            (identity.kind, identity.key),
        )
        if row is None:
            return StoredState()
        commits, state, version, events, folded = row
        later = tuple(self.events(identity, after=folded, before=events + 1)) if events > folded else ()
        return StoredState(commits, None if state is None else bytes(state), version, events, later)

    def events(self, identity: Identity, *, after: int = 0, before: int | None = None) -> Iterator[StoredEvent]:
        """Yield the events of an agent, oldest first: those with a greater number than `after`, and less than `before`.

        They are read in pages, so that a long history needs little memory.
        """
        sql = (
            "SELECT number, name, body, recorded_at FROM durable_events"
            " WHERE kind = ? AND key = ? AND number > ? AND number < ? ORDER BY number LIMIT ?"
        )
        last = _LAST if before is None else before
        while True:
            rows = self.database.rows(sql, (identity.kind, identity.key, after, last, _PAGE))
            for number, name, body, recorded_at in rows:
                yield StoredEvent(number, name, bytes(body), recorded_at)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def commit(self, change: DurableChange, *, durable: bool = True) -> Pending[list[int]]:
        """Store a change in one transaction; the result is the numbers of the outgoing messages, in their order.

        It fails with `Superseded` if the agent has another number of commits than the change expects, or the message
        that it handled is gone: then another activation was quicker.
        """
        return self.database.write(lambda write: _apply(change, write), durable=durable, timeout=_PATIENCE)

    def commit_all(self, changes: list[DurableChange]) -> Pending[None]:
        """Store changes of different agents in one transaction, without waiting for the disk: all of them, or none.

        They send no messages. It fails with `Superseded` as `commit` does.
        """
        return self.database.write(lambda write: _apply_all(changes, write), durable=False, timeout=_PATIENCE)

    def answer(self, identity: Identity, idempotency_key: str) -> OperationAnswer | None:
        """Return the recorded answer to a request, or None."""
        row = self.database.row(
            "SELECT request, body FROM durable_answers WHERE kind = ? AND key = ? AND idempotency_key = ?",
            (identity.kind, identity.key, idempotency_key),
        )
        return None if row is None else OperationAnswer(bytes(row[0]), bytes(row[1]))

    def due(self, identity: Identity, now: float, limit: int) -> list[StoredMessage]:
        """Return the messages for an agent that are due, oldest first, at most `limit`."""
        rows = self.database.rows(
            f"SELECT {_MESSAGE} FROM durable_messages WHERE dead = 0 AND kind = ? AND key = ? AND due <= ? ORDER BY id LIMIT ?",  # noqa: S608 - only a constant
            (identity.kind, identity.key, now, limit),
        )
        return list(map(_message, rows))

    def undelivered(self, now: float) -> int:
        """Return the number of messages that are due and not handled yet."""
        row = self.database.row("SELECT count(*) FROM durable_messages WHERE dead = 0 AND due <= ?", (now,))
        return 0 if row is None else row[0]

    def recipients(self, kind: str, now: float) -> list[str]:
        """Return the keys of the agents of a kind for which messages are due."""
        sql = "SELECT DISTINCT key FROM durable_messages WHERE dead = 0 AND kind = ? AND due <= ?"
        return [row[0] for row in self.database.rows(sql, (kind, now))]

    def recipients_between(self, start: float, end: float) -> list[Identity]:
        """Return the agents with messages that fall due after `start` and not after `end`."""
        sql = "SELECT DISTINCT kind, key FROM durable_messages WHERE dead = 0 AND due > ? AND due <= ?"
        return [Identity(*row) for row in self.database.rows(sql, (start, end))]

    def next_due(self, now: float) -> float | None:
        """Return when the next message falls due after `now`."""
        row = self.database.row("SELECT min(due) FROM durable_messages WHERE dead = 0 AND due > ?", (now,))
        return None if row is None else row[0]

    def record_attempt(self, number: int, attempts: int, error: str, *, dead: bool) -> Pending[int]:
        """Record a failed attempt. With `dead` the message waits for `redrive`. The result is the number of changed rows."""
        return self.database.write(
            lambda write: write.execute(
                "UPDATE durable_messages SET attempts = ?, error = ?, dead = ? WHERE id = ?",
                (attempts, error, int(dead), number),
            )
        )

    def drop(self, number: int) -> Pending[int]:
        """Delete an expired message. The result is the number of deleted rows."""
        return self.database.write(lambda write: write.execute("DELETE FROM durable_messages WHERE id = ?", (number,)))

    def dead_letters(self, kind: str | None = None, limit: int = 1_000) -> list[StoredMessage]:
        """Return the messages that failed too often, oldest first."""
        where, parameters = ("AND kind = ?", (kind,)) if kind is not None else ("", ())
        sql = f"SELECT {_MESSAGE} FROM durable_messages WHERE dead = 1 {where} ORDER BY id LIMIT ?"  # noqa: S608 - only a constant
        return list(map(_message, self.database.rows(sql, (*parameters, limit))))

    def redrive(self, number: int) -> Identity | None:
        """Make a dead message due again, with all its attempts. Return its agent; None for an unknown number."""

        def work(write: Transaction) -> Identity | None:
            row = write.row("SELECT kind, key FROM durable_messages WHERE id = ? AND dead = 1", (number,))
            if row is None:
                return None
            write.execute("UPDATE durable_messages SET dead = 0, attempts = 0 WHERE id = ?", (number,))
            return Identity(*row)

        return self.database.write(work).result()

    def delete_dead(self, number: int) -> bool:
        """Delete a dead message; return whether there was one."""
        sql = "DELETE FROM durable_messages WHERE id = ? AND dead = 1"
        return self.database.write(lambda write: write.execute(sql, (number,))).result() > 0

    def keys(self, kind: str, after: str = "", limit: int = 1_000) -> list[str]:
        """Return the stored keys of a kind in order, at most `limit`, beginning after the key `after`."""
        sql = "SELECT key FROM durable_agents WHERE kind = ? AND key > ? ORDER BY key LIMIT ?"
        return [row[0] for row in self.database.rows(sql, (kind, after, limit))]

    def topics(self) -> list[str]:
        """Return the topics that have durable subscribers."""
        return [row[0] for row in self.database.rows("SELECT DISTINCT topic FROM durable_subscriptions")]

    def subscribers(self, topic: str) -> list[Identity]:
        """Return the durable subscribers of a topic, in order."""
        sql = "SELECT kind, key FROM durable_subscriptions WHERE topic = ? ORDER BY kind, key"
        return [Identity(*row) for row in self.database.rows(sql, (topic,))]

    def forget_answers(self, before: float) -> Pending[int]:
        """Delete the recorded answers from before a time, in seconds since 1970. The result is their number."""
        sql = "DELETE FROM durable_answers WHERE answered_at < ?"
        return self.database.write(lambda write: write.execute(sql, (before,)), durable=False)


def _apply_all(changes: list[DurableChange], write: Transaction) -> None:
    states = [change for change in changes if _is_plain(change)]
    rows = [
        (each.now, each.state, each.state_version, each.event_count, each.identity.kind, each.identity.key, each.commits)
        for each in states
    ]
    if rows and write.execute_many(_NEW_STATE, rows) != len(rows):
        identity = states[0].identity
        raise Superseded(identity.kind, identity.key)
    for change in changes:
        if not _is_plain(change):
            _apply(change, write)


def _is_plain(change: DurableChange) -> bool:
    """Return whether a change is a new state and nothing else."""
    return bool(change.commits) and change.state is not None and not change.events and change.fence is None


def _apply(change: DurableChange, write: Transaction) -> list[int]:
    kind, key = who = (change.identity.kind, change.identity.key)
    if change.fence is not None:
        check_claim(write, change.identity, *change.fence)
    if change.handled is not None and not write.execute("DELETE FROM durable_messages WHERE id = ?", (change.handled,)):
        raise Superseded(kind, key)
    events = change.event_count + len(change.events)
    folded = events if change.folds is None else change.folds
    columns: tuple[Any, ...] = (change.commits + 1, events, change.now)
    if change.state is not None:
        columns = (*columns, change.state, change.state_version, folded)
    if change.commits:
        state = "" if change.state is None else ", state = ?, state_version = ?, folded = ?"
        where = "WHERE kind = ? AND key = ? AND commits = ?"
        sql = f"UPDATE durable_agents SET commits = ?, events = ?, changed_at = ?{state} {where}"  # noqa: S608 - no user text
        stored = write.execute(sql, (*columns, *who, change.commits))
    else:
        folded = folded if change.state is not None else 0
        sql = (
            "INSERT INTO durable_agents (kind, key, commits, state, state_version, events, folded, changed_at)"
            " VALUES (?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT (kind, key) DO NOTHING"
        )
        stored = write.execute(sql, (*who, change.state, change.state_version, events, folded, change.now))
    if stored != 1:
        raise Superseded(kind, key)
    if change.events:
        write.execute_many(
            "INSERT INTO durable_events (kind, key, number, name, body, recorded_at) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (*who, number, name, body, change.now)
                for number, (name, body) in enumerate(change.events, start=change.event_count + 1)
            ],
        )
    _apply_rest(change, write)
    return [_insert(message, write) for message in change.outgoing]


def _apply_rest(change: DurableChange, write: Transaction) -> None:
    who = (change.identity.kind, change.identity.key)
    for name in change.cancelled:
        write.execute("DELETE FROM durable_messages WHERE kind = ? AND key = ? AND name = ?", (*who, name))
    if change.answer is not None:
        write.execute(
            "INSERT INTO durable_answers (kind, key, idempotency_key, request, body, answered_at) VALUES (?, ?, ?, ?, ?, ?)",
            (*who, *change.answer, change.now),
        )
    for topic in change.subscribed:
        write.execute("INSERT INTO durable_subscriptions VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (topic, *who))
    for topic in change.unsubscribed:
        write.execute("DELETE FROM durable_subscriptions WHERE topic = ? AND kind = ? AND key = ?", (topic, *who))


def _insert(message: OutgoingMessage, write: Transaction) -> int:
    if message.name is not None:
        write.execute(
            "DELETE FROM durable_messages WHERE kind = ? AND key = ? AND name = ?",
            (message.to.kind, message.to.key, message.name),
        )
    row = write.row(
        "INSERT INTO durable_messages (kind, key, sender, name, body, message, priority, due, expires, context)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            message.to.kind,
            message.to.key,
            message.sender,
            message.name,
            message.body,
            message.message,
            message.priority,
            message.due,
            message.expires,
            message.context,
        ),
    )
    assert row is not None
    number: int = row[0]
    return number


def _message(row: Row) -> StoredMessage:
    number, kind, key, message, body, sender, priority, due, expires, attempts, error, context = row
    to, stored = Identity(kind, key), None if context is None else bytes(context)
    return StoredMessage(number, to, message, bytes(body), sender, priority, due, expires, attempts, error, stored)
