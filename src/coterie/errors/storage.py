"""What can go wrong with a database. The tree is drawn in `coterie.errors`."""

from __future__ import annotations

import textwrap

from coterie.errors.root import CoterieError


class StorageError(CoterieError):
    """A database did not do what was asked of it. `where` names it: a path, or an address without its password."""

    def __init__(self, where: object, problem: str) -> None:
        self.where = str(where)
        super().__init__(f"{where}: {problem}")


class WrongUrl(StorageError, ValueError):
    """A text names no database that can be opened."""

    def __init__(self, where: object, problem: str) -> None:
        super().__init__(where, f"{problem}; expected run.db, sqlite:///run.db or postgresql://USER@HOST:PORT/NAME")


class StorageLocked(StorageError):
    """Another process has the file. `pid` is its number, if that is known."""

    def __init__(self, where: object, pid: int | None) -> None:
        self.pid = pid
        who = "another process" if pid is None else f"the process {pid}"
        super().__init__(where, f"{who} has it open; end that one first, or choose another file")


class StorageCorrupt(StorageError):
    """The file is damaged, or is no database. Nothing was changed in it."""

    def __init__(self, where: object, reason: object) -> None:
        super().__init__(where, f"it is damaged, or no database: {reason}; move it away, or put a copy in its place")


class StorageFull(StorageError):
    """There is no room left. The writes that met this are not stored; later ones are once there is room."""

    def __init__(self, where: object, reason: object) -> None:
        super().__init__(where, f"there is no room left: {reason}; make room, and write again")


class StorageUnavailable(StorageError):
    """The file or the server cannot be reached. With `doubtful`, the write may have been stored nevertheless."""

    def __init__(self, where: object, reason: object, *, doubtful: bool = False) -> None:
        self.reason = str(reason)
        self.doubtful = doubtful
        super().__init__(where, f"{reason}; whether the write was stored could not be learnt" if doubtful else str(reason))


class StorageBusy(StorageError):
    """There was no room in the queue of writes, or no reader, within the time given."""

    def __init__(self, where: object, what: str, timeout: float) -> None:
        super().__init__(where, f"{what} within {timeout:g} s; wait longer, or ask for less at once")


class StorageClosed(StorageError):
    """It was used after it was closed."""

    def __init__(self, where: object) -> None:
        super().__init__(where, "it has been closed; open it again")


class StorageForked(StorageError):
    """It was used in a child of the process that opened it, to which connections do not carry over."""

    def __init__(self, where: object) -> None:
        super().__init__(where, "it was opened by the parent of this process; open it anew here, or spawn instead of fork")


class WriteInsideWrite(StorageError):
    """A write waits for another of the same database, or closes it: both can only come after it."""

    def __init__(self, where: object) -> None:
        super().__init__(
            where, "a write can neither wait for another nor close the database; use its own transaction, or do that outside"
        )


class MigrationError(StorageError):
    """A schema cannot be brought to the version that is wanted. Nothing was changed."""

    def __init__(self, where: object, schema: str, problem: str) -> None:
        self.schema = schema
        super().__init__(where, f"the schema {schema!r} {problem}")


class StatementFailed(StorageError):
    """The database refused a statement. Its own error, if it has one, is the cause. Values are not shown."""

    def __init__(self, where: object, reason: object, sql: str) -> None:
        self.sql = sql
        super().__init__(where, f"{reason}; in {textwrap.shorten(sql, 200, placeholder=' ...')}")


class ConstraintViolated(StatementFailed):
    """What a statement would store breaks a rule of the schema: a key that is taken, a value that is missing."""
