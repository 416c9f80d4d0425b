"""SQLite: one file in write-ahead mode, without a server."""

from coterie.storage.sqlite.database import SqliteDatabase

__all__ = ["SqliteDatabase"]
