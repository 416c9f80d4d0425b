"""The tables of durable agents.

One table holds all messages that survive: those of an outbox are due at once, a reminder is due later and has a name,
and a message that failed too often is dead. The commit that handles a message deletes its row, so it takes effect once.
"""

from __future__ import annotations

from coterie.storage import Schema
from coterie.storage.transaction import Transaction


def _create(transaction: Transaction) -> None:
    sequence = transaction.dialect.sequence
    for statement in (
        """CREATE TABLE durable_agents (
            kind TEXT NOT NULL, key TEXT NOT NULL, commits BIGINT NOT NULL, state BYTEA, state_version BIGINT NOT NULL,
            events BIGINT NOT NULL, folded BIGINT NOT NULL, changed_at DOUBLE PRECISION NOT NULL, PRIMARY KEY (kind, key))""",
        """CREATE TABLE durable_events (
            kind TEXT NOT NULL, key TEXT NOT NULL, number BIGINT NOT NULL, name TEXT NOT NULL, body BYTEA NOT NULL,
            recorded_at DOUBLE PRECISION NOT NULL, PRIMARY KEY (kind, key, number))""",
        f"""CREATE TABLE durable_messages (
            id {sequence}, kind TEXT NOT NULL, key TEXT NOT NULL, sender TEXT, name TEXT, body BYTEA NOT NULL,
            message TEXT NOT NULL, priority BIGINT NOT NULL, due DOUBLE PRECISION NOT NULL, expires DOUBLE PRECISION,
            attempts BIGINT NOT NULL DEFAULT 0, dead BIGINT NOT NULL DEFAULT 0, error TEXT)""",
        "CREATE INDEX durable_messages_due ON durable_messages (dead, kind, key, due)",
        "CREATE INDEX durable_messages_time ON durable_messages (dead, due)",
        "CREATE UNIQUE INDEX durable_messages_name ON durable_messages (kind, key, name)",
        """CREATE TABLE durable_answers (
            kind TEXT NOT NULL, key TEXT NOT NULL, idempotency_key TEXT NOT NULL, request BYTEA NOT NULL,
            body BYTEA NOT NULL, answered_at DOUBLE PRECISION NOT NULL, PRIMARY KEY (kind, key, idempotency_key))""",
        "CREATE INDEX durable_answers_time ON durable_answers (answered_at)",
        """CREATE TABLE durable_subscriptions (
            topic TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (topic, kind, key))""",
    ):
        transaction.execute(statement)


def _add_context(transaction: Transaction) -> None:
    transaction.execute("ALTER TABLE durable_messages ADD COLUMN context BYTEA")


SCHEMA = Schema("durable", (_create, _add_context))
