"""One engine for each file, however many users it has in this process.

There is one table for the whole process, although this house has no globals: the lock on a file is the process's, not
an object's, and two writers to one file would wait for each other's transactions. The table is private to this module,
says nothing but which files are open, and two users of one file meet only in that their writes share commits.
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

    `users` is guarded by the lock of the table.
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
        """Kept for ever in a child: to finalise connections that its parent uses would do harm."""


class _Process:
    """What this process has open. A child that was forked starts with nothing."""

    table = _Table([])


def join(path: Path, make: Callable[[], SharedDatabase]) -> tuple[SharedFile, SharedDatabase]:
    """Become a user of the file at `path`, which is absolute and has no links in it; open it if nobody has.

    Safe from any thread. Raises what `make` raises, and `StorageLocked`.
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
    """Use a file no longer. The last one closes it, which may take `timeout` seconds."""
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
                # Somebody may have come meanwhile, and wait for the lock of the file to open it again.
                _count_down(file, table)


def _open(file: SharedFile, make: Callable[[], SharedDatabase]) -> SharedDatabase:
    file.process_lock.acquire()
    try:
        return make()
    except BaseException:
        file.process_lock.release()
        raise


def _count_down(file: SharedFile, table: _Table) -> None:
    """Count one user less. The lock of the table is held."""
    file.users -= 1
    if file.users == 0:
        del table.files[file.path]


def _start_anew() -> None:
    """In a child that was forked: its parent's files are not its own."""
    # The lock of the old table may have been held by a thread that does not exist here.
    before = _Process.table
    files = [*before.files.values(), *before.of_the_parent]
    _Process.table = _Table(files)
    for file in files:
        file.process_lock.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
