"""Translation of SQLite's errors."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from coterie.errors import (
    ConstraintViolated,
    StatementFailed,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageLocked,
    StorageUnavailable,
)

FAILURES = (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError, TypeError)
"""The errors of the module, and Python's errors for numbers and text that the file cannot store."""

_UNAVAILABLE = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM}
)


def failure(error: Exception, path: Path, sql: str = "", *, writes: bool = False) -> StorageError:
    """Return the storage error for one of `FAILURES` that a statement or the opening of a file raised.

    `writes` tells that the connection may write: then a read-only file is not a fault of the statement.
    """
    # The lower byte is the primary code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StorageCorrupt(path, error)
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(path, error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageLocked(path, None)
    if code == sqlite3.SQLITE_CONSTRAINT:
        return ConstraintViolated(path, error, sql)
    if code in _UNAVAILABLE and (writes or not _is_a_write_in_a_read(error)):
        return StorageUnavailable(path, f"{error}; check its folder, its permissions and its disk")
    return StatementFailed(path, error, sql)


def _is_a_write_in_a_read(error: Exception) -> bool:
    """Return whether a read connection was used to write, which is not a fault of the file."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY and "attempt to write" in str(error)
