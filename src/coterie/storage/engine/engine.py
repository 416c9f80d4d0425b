"""One database as one process uses it: a writer, and a pool of readers."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable

from coterie.errors import StorageForked
from coterie.kernel import Clock
from coterie.storage.dialect import Dialect
from coterie.storage.engine.contract import ReadingConnection, Store
from coterie.storage.engine.pool import ReaderPool
from coterie.storage.engine.writer import Writer

_log = logging.getLogger(__name__)

_EXIT_WITHIN = 10.0
"""Seconds that the end of the process waits for writes that were accepted and not done."""


class SharedDatabase:
    """What all users of one database in one process share. `release` is called when it has been closed.

    A program that ends without closing it still has its accepted writes done: the writer's thread is a daemon, so that
    a stuck work cannot keep the process from ending, and so the end of the interpreter has to wait for it here.
    """

    def __init__(
        self,
        where: str,
        dialect: Dialect,
        store: Store,
        connect: Callable[[], ReadingConnection],
        clock: Clock,
        *,
        readers: int,
        capacity: int,
        patience: float,
        release: Callable[[], object] | None = None,
    ) -> None:
        self.where = where
        self.dialect = dialect
        self.clock = clock
        self.writer = Writer(where, store, capacity)
        self.readers = ReaderPool(where, connect, readers, patience)
        self._release = release
        self._process = os.getpid()
        atexit.register(self._close_at_exit)

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was not made by a parent of this process."""
        return os.getpid() == self._process

    def enter(self) -> None:
        """Raise `StorageForked` in any other process than the one that made it."""
        if os.getpid() != self._process:
            raise StorageForked(self.where)

    def close(self, timeout: float) -> None:
        """Do what was accepted, then let go of everything. What cannot be done in time fails, and is logged."""
        # Works that are still to be done may read.
        if not self.writer.close(timeout):
            _log.warning("%s: the writer has not ended; a work is stuck", self.where)
        if not self.readers.close(timeout):
            _log.warning(
                "%s: %d reads have not ended; their connections stay open until they do", self.where, self.readers.open
            )
        if self._release is not None:
            self._release()
        atexit.unregister(self._close_at_exit)

    def _close_at_exit(self) -> None:
        if os.getpid() == self._process:
            self.close(_EXIT_WITHIN)
