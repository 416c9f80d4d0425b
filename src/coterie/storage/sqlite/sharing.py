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
from coterie.concurrency.file_locks import lock_file
from coterie.errors import StorageLocked, StorageUnavailable
from coterie.storage.engine import SharedDatabase


class ProcessLock:
    """Excludes other processes from a database, by an advisory lock (`flock`) on a file beside it.

    SQLite itself would let two processes take turns. But each process has a writer that groups commits and orders its
    writes in memory; two writers would starve each other and not see each other's order.

    The lock is on a separate file, because closing any descriptor of the database would drop SQLite's own locks. It ends
    with its process. It is `flock` and not `fcntl`, because closing another descriptor of the same file does not drop
    it; a forked child must close its copy (`abandon`), or it would hold the lock as long as it lives. On a network file
    system, other machines may not see a lock, and a write-ahead log does not work across machines: use a local disk.

    Not safe from several threads at once.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self.path = database.with_name(f"{database.name}.lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Acquire the lock without waiting.

        Raises `StorageLocked` with the id of the process that holds it, and `StorageUnavailable` if the system has no
        locks or the file cannot be created.
        """
        if lock_file is None:
            problem = "a file needs flock, which this system does not have; use Linux, macOS or WSL, or a PostgreSQL server"
            raise StorageUnavailable(self._database, problem)
        while self._descriptor is None:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                problem = f"cannot be opened: {error.strerror}; check its folder and its permissions"
                raise StorageUnavailable(self._database, problem) from error
            try:
                self._lock(descriptor)
                # The previous holder may have deleted the file meanwhile; then no other process can see this lock.
                found = self._is_at_its_path(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            if found:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                self._descriptor = descriptor
            else:
                os.close(descriptor)

    def release(self) -> None:
        """Release the lock and delete its file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Deleted while the lock is held, so that no other process can hold it.
            self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def abandon(self) -> None:
        """Drop the copy in a forked child; the parent keeps the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            assert lock_file is not None
            lock_file(descriptor)
        except BlockingIOError as error:
            text = os.pread(descriptor, 20, 0).strip()
            raise StorageLocked(self._database, int(text) if text.isdigit() else None) from error
        except OSError as error:
            problem = f"its file system has no locks ({error.strerror}); put it on a local disk"
            raise StorageUnavailable(self._database, problem) from error

    def _is_at_its_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False


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
