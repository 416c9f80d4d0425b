"""Copy a database file that another process may have open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from coterie.errors.storage import StorageUnavailable

_PATIENCE = 10.0
"""Seconds to wait for the file, from the call."""


def copy_database(path: Path, target: Path) -> None:
    """Copy the SQLite database at `path` to the new file `target`, as of its last commit.

    Another process may have it open and go on writing: a reader does not hold up the writer of a write-ahead log. Raises
    `StorageUnavailable` if it cannot be read or copied.
    """
    source = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(source, uri=True, timeout=_PATIENCE)) as reading,
            closing(sqlite3.connect(target)) as copied,
        ):
            reading.backup(copied)
    except sqlite3.Error as error:
        raise StorageUnavailable(
            path, f"cannot be copied: {error}; check its permissions, and the space on the disk"
        ) from error
