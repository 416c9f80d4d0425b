"""The queue of commits, which holds no lock while user code runs."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType

from coterie.concurrency import Rank, Signal, new_lock
from coterie.errors.world import CommitInsideCommit


class CommitQueue:
    """Admits one thread at a time, in the order of arrival. Use it in a ``with`` block.

    The block may call user code, because no lock is held meanwhile. A thread that enters again inside its block gets
    `CommitInsideCommit` instead of a deadlock. Safe from any thread; `_lock` guards all fields.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.WORLD)
        self._inside: int | None = None
        self._waiting: deque[tuple[int, Signal]] = deque()

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._lock:
            if self._inside is None:
                self._inside = me
                return
            if self._inside == me:
                raise CommitInsideCommit
            signal = Signal()
            self._waiting.append((me, signal))
        try:
            signal.wait()
        except BaseException:
            # Also after an interrupt: an abandoned place in the queue would block all others forever.
            self._leave_queue(me, signal)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._admit_next()

    def _admit_next(self) -> None:
        with self._lock:
            if not self._waiting:
                self._inside = None
                return
            self._inside, signal = self._waiting.popleft()
        signal.set()

    def _leave_queue(self, me: int, signal: Signal) -> None:
        """Leave the queue; if this thread has been admitted meanwhile, admit the next one."""
        with self._lock:
            queued = (me, signal) in self._waiting
            if queued:
                self._waiting.remove((me, signal))
        if not queued:
            self._admit_next()
