"""Backends of tiers: in process, SQLite, Redis and PostgreSQL, behind one contract."""

from coterie.memory.backends.in_process import InProcessArchive, InProcessBackend
from coterie.memory.backends.opening import PostgresArchive, SqliteArchive, SqliteBackend
from coterie.memory.backends.redis import RedisBackend

__all__ = ["InProcessArchive", "InProcessBackend", "PostgresArchive", "RedisBackend", "SqliteArchive", "SqliteBackend"]
