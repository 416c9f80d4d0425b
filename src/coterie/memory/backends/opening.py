"""Backends in files and on servers, and the functions that open those of a configuration."""

from __future__ import annotations

import os

from coterie.errors import StorageUnavailable, TierUnavailable
from coterie.kernel import Clock
from coterie.memory.backends.in_process import InProcessArchive, InProcessBackend
from coterie.memory.backends.postgres_text import PostgresText
from coterie.memory.backends.redis import RedisBackend
from coterie.memory.backends.sql import SqlBackend
from coterie.memory.backends.sql_archive import SqlArchive
from coterie.memory.backends.sqlite_text import SqliteText
from coterie.memory.compression import CompressedBackend
from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Archive, Backend
from coterie.memory.record import Tier
from coterie.storage import SqliteDatabase
from coterie.storage.postgres import PostgresDatabase


class SqliteBackend(SqlBackend):
    """Stores a tier in the SQLite file `path`, in tables whose names contain `name`.

    Raises the errors of storage if the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, *, clock: Clock | None = None) -> None:
        super().__init__(SqliteDatabase(path, clock=clock), f"memory_{name}")


class SqliteArchive(SqlArchive):
    """Stores every memory in the SQLite file `path`. Raises the errors of storage if it cannot be opened."""

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        super().__init__(SqliteDatabase(path, clock=clock), SqliteText(), clock=clock)


class PostgresArchive(SqlArchive):
    """Stores every memory on the PostgreSQL server at `url`; needs the extra ``postgres``.

    Writes wait up to `patience` seconds for an unavailable server. Raises `TierUnavailable` if it cannot be reached now.
    """

    def __init__(self, url: str, *, patience: float = 5.0, clock: Clock | None = None) -> None:
        try:
            database = PostgresDatabase(url, patience=patience, clock=clock)
        except StorageUnavailable as error:
            raise TierUnavailable(error.where, error) from error
        super().__init__(database, PostgresText(), clock=clock)


_PATIENCE = 1.0
"""Seconds that one write waits for an unavailable server before the write-behind queue takes over the waiting."""


def open_archive(config: MemoryConfig) -> Archive:
    """Return the archive that the configuration names. Raises the errors of storage if it cannot be opened."""
    if config.postgres_url is not None:
        return PostgresArchive(config.postgres_url, patience=_PATIENCE)
    if config.path is not None:
        return SqliteArchive(config.path)
    return InProcessArchive()


def open_short_term(config: MemoryConfig) -> Backend:
    """Return the backend of the short-term tier."""
    return _open_working(config, Tier.SHORT)


def open_intermediate(config: MemoryConfig) -> Backend:
    """Return the backend of the intermediate tier, compressed if so configured."""
    backend = _open_working(config, Tier.INTERMEDIATE)
    return CompressedBackend(backend) if config.compression else backend


def _open_working(config: MemoryConfig, tier: Tier) -> Backend:
    if config.redis_url is None:
        return InProcessBackend()
    return RedisBackend(config.redis_url, f"{config.namespace}:{tier.name.lower()}")
