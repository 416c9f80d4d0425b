"""The lock of a process on a database file."""

from __future__ import annotations

import os
from pathlib import Path

from coterie.concurrency import lock_file
from coterie.errors import StorageLocked, StorageUnavailable


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
