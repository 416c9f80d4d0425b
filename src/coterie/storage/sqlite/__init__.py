"""One file, in write-ahead mode: nothing to install, nothing to run."""

from coterie.storage.sqlite.database import SqliteDatabase

__all__ = ["SqliteDatabase"]
