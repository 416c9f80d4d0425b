"""A lock that a process has on a file, and that nothing but its end can leave behind."""

from __future__ import annotations

import os
from pathlib import Path

from coterie.concurrency import lock_file
from coterie.errors import StorageLocked, StorageUnavailable


class ProcessLock:
    """Keeps a second process from a database, by an advisory lock (`flock`) on a file beside it.

    SQLite itself would let two processes take turns. But each has one writer that groups its commits, and an order of
    its writes in memory: two of them would be fair to nobody, and neither would see what the other does.

    The lock is on a file of its own, since closing any descriptor of the database would drop SQLite's locks on it. It
    ends with its process, however that ends. It is `flock`, and not a lock by `fcntl`, because closing another
    descriptor of the same file does not drop it; a child that was forked must close its copy (`abandon`), or it would
    hold the lock for as long as it lives. On a network file system a lock may be unknown to other machines, and a
    write-ahead log does not work across machines at all: databases belong on a local disk.

    Not safe from several threads at once.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self.path = database.with_name(f"{database.name}.lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, at once or not at all.

        Raises `StorageLocked`, with the number of the process that has it, and `StorageUnavailable` where there are no
        locks or the file cannot be made.
        """
        if lock_file is None:
            problem = (
                "files are guarded by flock, which this system does not have; use Linux, macOS or WSL, or a PostgreSQL server"
            )
            raise StorageUnavailable(self._database, problem)
        while self._descriptor is None:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                problem = f"cannot be opened: {error.strerror}; look at its folder and its permissions"
                raise StorageUnavailable(self._database, problem) from error
            try:
                self._lock(descriptor)
                # Who had it may have deleted the file in between; then this lock is on nothing that anyone can find.
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
        """Give the lock back, and delete its file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Deleted while it is held, so that nobody can have it already.
            self.path.unlink(missing_ok=True)
            os.close(descriptor)

    def abandon(self) -> None:
        """In a child that was forked: let the lock be the parent's alone."""
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
