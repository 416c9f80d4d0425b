"""The shared part of a database in one process: a writer and a pool of readers."""

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
"""Seconds that the end of the process waits for accepted writes."""


class SharedDatabase:
    """The writer and readers that all users of one database in one process share. Closing it calls `release`.

    Accepted writes are done even if a program ends without closing: the writer's thread is a daemon, so that a stuck work
    cannot keep the process alive, and an exit handler waits for it.
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
        """Whether this process, and not a parent of it, created it."""
        return os.getpid() == self._process

    def enter(self) -> None:
        """Raise `StorageForked` in a process that did not create it."""
        if os.getpid() != self._process:
            raise StorageForked(self.where)

    def close(self, timeout: float) -> None:
        """Finish the accepted writes and close all connections. Writes that are not done in time fail and are logged."""
        # The writer goes first, because queued works may read.
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
