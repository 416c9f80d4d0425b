"""One after the other, without a lock that is held while somebody's code runs."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType

from coterie.concurrency import Rank, Signal, new_lock
from coterie.errors import CommitInsideCommit


class CommitQueue:
    """Lets one thread in at a time, in the order in which they come. Use it in a ``with`` block.

    What is done inside may call code that is not ours, for no lock is held meanwhile; a thread that comes again before
    it has gone gets `CommitInsideCommit` rather than wait for itself. Safe from any thread; `_lock` guards the queue.
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
            # An interrupt, too: a place in the queue that nobody takes would hold up all others for ever.
            self._go_away(me, signal)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            if not self._waiting:
                self._inside = None
                return
            self._inside, signal = self._waiting.popleft()
        signal.set()

    def _go_away(self, me: int, signal: Signal) -> None:
        """Wait no more; if the turn has come meanwhile, pass it on."""
        with self._lock:
            queued = (me, signal) in self._waiting
            if queued:
                self._waiting.remove((me, signal))
        if not queued:
            self._pass_on()
