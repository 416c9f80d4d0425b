"""One shared database for each file, for all its users in this process.

The table is global to the process, against the usual rule: the lock on a file belongs to the process, and two writers of
one file would block each other. The table is private to this module and only records the open files; two users of one
file affect each other only by sharing commits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from coterie.concurrency import Rank, new_lock
from coterie.storage.engine import SharedDatabase
from coterie.storage.sqlite.process_lock import ProcessLock


class SharedFile:
    """A file that is open in this process. `lock` guards `engine`, and is held while that is opened and closed.

    The lock of the table guards `users`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = new_lock(Rank.DATABASE)
        self.process_lock = ProcessLock(path)
        self.engine: SharedDatabase | None = None
        self.users = 0


class _Table:
    def __init__(self, of_the_parent: list[SharedFile]) -> None:
        self.lock = new_lock(Rank.DATABASES)
        self.files: dict[Path, SharedFile] = {}
        self.of_the_parent = of_the_parent
        """Kept alive in a forked child: finalizing connections of the parent would damage them."""


class _Process:
    """The open files of this process. A forked child starts with an empty table."""

    table = _Table([])


def join(path: Path, make: Callable[[], SharedDatabase]) -> tuple[SharedFile, SharedDatabase]:
    """Add a user to the file at `path`, which is absolute and without links; open it for the first user.

    Safe from any thread. Raises the errors of `make`, and `StorageLocked`.
    """
    table = _Process.table
    with table.lock:
        file = table.files.setdefault(path, SharedFile(path))
        file.users += 1
    try:
        with file.lock:
            if file.engine is None:
                file.engine = _open(file, make)
            return file, file.engine
    except BaseException:
        with table.lock:
            _count_down(file, table)
        raise


def leave(file: SharedFile, timeout: float) -> None:
    """Remove a user from a file. The last one closes it, which may take `timeout` seconds."""
    table = _Process.table
    with file.lock:
        with table.lock:
            last = file.users == 1
            if not last:
                file.users -= 1
        if not last:
            return
        engine, file.engine = file.engine, None
        try:
            if engine is not None:
                engine.close(timeout)
        finally:
            file.process_lock.release()
            with table.lock:
                # A new user may be waiting for the lock of the file to open it again.
                _count_down(file, table)


def _open(file: SharedFile, make: Callable[[], SharedDatabase]) -> SharedDatabase:
    file.process_lock.acquire()
    try:
        return make()
    except BaseException:
        file.process_lock.release()
        raise


def _count_down(file: SharedFile, table: _Table) -> None:
    """Count one user less. The caller holds the lock of the table."""
    file.users -= 1
    if file.users == 0:
        del table.files[file.path]


def _start_anew() -> None:
    """Start with an empty table in a forked child, which does not own the files of its parent."""
    # A thread that does not exist here may hold the lock of the old table.
    before = _Process.table
    files = [*before.files.values(), *before.of_the_parent]
    _Process.table = _Table(files)
    for file in files:
        file.process_lock.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
