"""Translation of PostgreSQL's errors."""

from __future__ import annotations

import psycopg

from coterie.errors import ConstraintViolated, StatementFailed, StorageCorrupt, StorageError, StorageFull, StorageUnavailable
from coterie.storage.engine import ConnectionLost
from coterie.storage.postgres.address import ConnectionTarget

FAILURES = (psycopg.Error, OverflowError, ValueError, TypeError)
"""The errors of the library, and Python's errors for numbers and text that the server cannot store."""

_AGAIN = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the transaction has to be done again."""


def failure(error: Exception, address: ConnectionTarget, sql: str, *, broken: bool) -> StorageError:
    """Return the storage error for one of `FAILURES` that a statement raised; `broken` means that the connection is lost."""
    code = getattr(error, "sqlstate", None) or ""
    diagnosis = getattr(error, "diag", None)
    # The details of the server quote stored values, so only its first line is shown.
    where, text = address.shown, address.clean((diagnosis and diagnosis.message_primary) or error)
    if code == "53100":
        return StorageFull(where, text)
    if code in ("XX001", "XX002"):
        return StorageCorrupt(where, text)
    if broken or code in _AGAIN or code.startswith(("08", "57P")):
        return ConnectionLost(where, f"the connection was lost: {text}")
    if code.startswith("23"):
        return ConstraintViolated(where, text, sql)
    if code.startswith("53"):
        return StorageUnavailable(where, text)
    return StatementFailed(where, text, sql)
