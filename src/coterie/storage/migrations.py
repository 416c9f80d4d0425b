"""Migrations: each schema numbers its steps, and the database records the applied ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from coterie.errors import MigrationError, StorageError, describe
from coterie.errors.storage import StatementFailed
from coterie.kernel import Clock
from coterie.storage.dialect import Dialect, statements
from coterie.storage.transaction import Transaction

Step: TypeAlias = "str | Callable[[Transaction], object]"
"""Statements, separated by semicolons, or a function that runs them."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

_LOCK = 0x636F746572696500
"""The number of PostgreSQL's advisory lock that serializes migrations of all processes."""

_TABLE = """
CREATE TABLE IF NOT EXISTS coterie_migrations (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    applied_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (name, version)
)
"""


class Schema:
    """The tables of one room: a name, and the steps that create the current version, which is their number.

    Never change a released step; append a new one instead. Raises `ValueError` for a name that cannot name tables.
    """

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a schema: use small letters, digits and underscores")
        self.name = name
        self.steps = tuple(steps)

    def __repr__(self) -> str:
        return f"<Schema {self.name} version {self.version}>"

    @property
    def version(self) -> int:
        """The newest version."""
        return len(self.steps)


def apply(schema: Schema, transaction: Transaction, where: str, clock: Clock) -> int:
    """Apply the missing steps within a transaction and return the version.

    Raises `MigrationError`; the caller then undoes the transaction.
    """
    if transaction.dialect is Dialect.POSTGRES:
        transaction.rows("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
    transaction.execute(_TABLE)
    row = transaction.row("SELECT coalesce(max(version), 0) FROM coterie_migrations WHERE name = ?", (schema.name,))
    assert row is not None
    present: int = row[0]
    if present > schema.version:
        problem = f"has version {present} there, and only {schema.version} is known here; use a later version of the program"
        raise MigrationError(where, schema.name, problem)
    for number, step in enumerate(schema.steps[present:], start=present + 1):
        _take(step, transaction, schema.name, number, where)
        record = "INSERT INTO coterie_migrations (name, version, applied_at) VALUES (?, ?, ?)"
        transaction.execute(record, (schema.name, number, clock.time()))
    return schema.version


def _take(step: Step, transaction: Transaction, name: str, number: int, where: str) -> None:
    try:
        if isinstance(step, str):
            for statement in statements(step):
                transaction.execute(statement)
        else:
            step(transaction)
    except Exception as error:
        # An error of the database, not of the step, keeps its type, so that the caller knows its remedy.
        if isinstance(error, StorageError) and not isinstance(error, StatementFailed):
            raise
        raise MigrationError(where, name, f"cannot apply step {number}: {describe(error)}") from error


def by_dialect(*, sqlite: str, postgres: str) -> Callable[[Transaction], None]:
    """Return a migration step that runs the statements of the database's dialect."""

    def step(transaction: Transaction) -> None:
        for statement in statements(sqlite if transaction.dialect is Dialect.SQLITE else postgres):
            transaction.execute(statement)

    return step
