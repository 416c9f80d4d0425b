"""Functions that open the backends of a store from its configuration."""

from __future__ import annotations

from coterie.memory.backends.databases import PostgresArchive, SqliteArchive
from coterie.memory.backends.in_process import InProcessArchive, InProcessBackend
from coterie.memory.backends.redis import RedisBackend
from coterie.memory.compression import CompressedBackend
from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Archive, Backend
from coterie.memory.record import Tier

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
