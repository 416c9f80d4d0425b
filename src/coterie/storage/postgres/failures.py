"""What PostgreSQL's errors mean."""

from __future__ import annotations

import psycopg

from coterie.errors import ConstraintViolated, StatementFailed, StorageCorrupt, StorageError, StorageFull, StorageUnavailable
from coterie.storage.engine import ConnectionLost
from coterie.storage.postgres.address import ConnectionTarget

FAILURES = (psycopg.Error, OverflowError, ValueError, TypeError)
"""What the library raises: its own errors, and Python's for numbers and text that the server has no form for."""

_AGAIN = frozenset({"40001", "40P01"})
"""Another process was in the way, and one of the two had to begin again: it is this one."""


def failure(error: Exception, address: ConnectionTarget, sql: str, *, broken: bool) -> StorageError:
    """Return the error of storage for one of `FAILURES`, which a statement met; `broken` if its connection did not survive."""
    code = getattr(error, "sqlstate", None) or ""
    diagnosis = getattr(error, "diag", None)
    # The server's details quote what was to be stored, so only the first line of what it says is shown.
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
