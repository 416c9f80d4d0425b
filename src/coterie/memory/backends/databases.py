"""Tiers in an SQLite file, and archives in a file or on a PostgreSQL server."""

from __future__ import annotations

import os

from coterie.errors import StorageUnavailable, TierUnavailable
from coterie.kernel import Clock
from coterie.memory.backends.full_text import PostgresText, SqliteText
from coterie.memory.backends.sql import SqlBackend
from coterie.memory.backends.sql_archive import SqlArchive
from coterie.storage import PostgresDatabase, SqliteDatabase


class SqliteBackend(SqlBackend):
    """Stores a tier in the SQLite file `path`, in tables whose names contain `name`.

    Raises the errors of storage if the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, *, clock: Clock | None = None) -> None:
        super().__init__(SqliteDatabase(path, clock=clock), f"memory_{name}")


class SqliteArchive(SqlArchive):
    """Stores every memory in the SQLite file `path`. Raises the errors of storage if it cannot be opened."""

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        super().__init__(SqliteDatabase(path, clock=clock), SqliteText())


class PostgresArchive(SqlArchive):
    """Stores every memory on the PostgreSQL server at `url`; needs the extra ``postgres``.

    Writes wait up to `patience` seconds for an unavailable server. Raises `TierUnavailable` if it cannot be reached now.
    """

    def __init__(self, url: str, *, patience: float = 5.0, clock: Clock | None = None) -> None:
        try:
            database = PostgresDatabase(url, patience=patience, clock=clock)
        except StorageUnavailable as error:
            raise TierUnavailable(error.where, error) from error
        super().__init__(database, PostgresText())
