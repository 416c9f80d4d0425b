"""Errors of databases. See `coterie.errors` for the tree."""

from __future__ import annotations

import textwrap

from coterie.errors.general import CoterieError


class StorageError(CoterieError):
    """A database operation failed. `where` names the database: a path, or an address without its password."""

    def __init__(self, where: object, problem: str) -> None:
        self.where = str(where)
        super().__init__(f"{where}: {problem}")


class WrongUrl(StorageError, ValueError):
    """A text does not name a database that can be opened."""

    def __init__(self, where: object, problem: str) -> None:
        super().__init__(where, f"{problem}; expected run.db, sqlite:///run.db or postgresql://USER@HOST:PORT/NAME")


class StorageLocked(StorageError):
    """Another process has the file open. `pid` is its process id, if known."""

    def __init__(self, where: object, pid: int | None) -> None:
        self.pid = pid
        who = "another process" if pid is None else f"the process {pid}"
        super().__init__(where, f"{who} has it open; end that one first, or choose another file")


class StorageCorrupt(StorageError):
    """The file is damaged or not a database. It was not changed."""

    def __init__(self, where: object, reason: object) -> None:
        super().__init__(where, f"it is damaged or not a database: {reason}; move it away, or restore a copy")


class StorageFull(StorageError):
    """The disk is full. The failed writes are not stored; later writes are stored once there is space."""

    def __init__(self, where: object, reason: object) -> None:
        super().__init__(where, f"the disk is full: {reason}; free some space, and write again")


class StorageUnavailable(StorageError):
    """The file or the server cannot be reached. With `doubtful`, the write may have been stored."""

    def __init__(self, where: object, reason: object, *, doubtful: bool = False) -> None:
        self.reason = str(reason)
        self.doubtful = doubtful
        super().__init__(where, f"{reason}; it is unknown whether the write was stored" if doubtful else str(reason))


class StorageBusy(StorageError):
    """The queue of writes had no place, or no reader was free, within the timeout."""

    def __init__(self, where: object, what: str, timeout: float) -> None:
        super().__init__(where, f"{what} within {timeout:g} s; wait longer, or ask for less at once")


class StorageClosed(StorageError):
    """A database was used after it was closed."""

    def __init__(self, where: object) -> None:
        super().__init__(where, "it has been closed; open it again")


class StorageForked(StorageError):
    """A database was used in a forked child of the process that opened it; connections cannot be shared."""

    def __init__(self, where: object) -> None:
        super().__init__(where, "it was opened by the parent of this process; open it again here, or spawn instead of fork")


class WriteInsideWrite(StorageError):
    """A write waits for another write to the same database, or closes it, which would be a deadlock."""

    def __init__(self, where: object) -> None:
        super().__init__(
            where,
            "a write can neither wait for another write nor close the database; use its own transaction, or do it outside",
        )


class MigrationError(StorageError):
    """A schema cannot be migrated. Nothing was changed."""

    def __init__(self, where: object, schema: str, problem: str) -> None:
        self.schema = schema
        super().__init__(where, f"the schema {schema!r} {problem}")


class StatementFailed(StorageError):
    """The database refused a statement. The cause is its own error, if any. The text shows no values."""

    def __init__(self, where: object, reason: object, sql: str) -> None:
        self.sql = sql
        super().__init__(where, f"{reason}; in {textwrap.shorten(sql, 200, placeholder=' ...')}")


class ConstraintViolated(StatementFailed):
    """A statement violates a constraint of the schema, such as a unique key."""
