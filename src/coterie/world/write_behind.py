"""Writes to the log of a world that their callers do not wait for."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator

from coterie.storage import Pending

_MOST = 8
"""Writes that are behind at once."""


class WriteBehind:
    """Follows writes that are done in order by the writer of a database, so that no later one hides that one has failed.

    Off at first: then every caller waits. The thread that commits to the world uses it; `failed` is also read and set by the
    writer's thread, before it does its next group.
    """

    __slots__ = ("_pending", "active", "failed")

    def __init__(self) -> None:
        self.active = False
        """Whether writes that are not durable are done behind their callers."""
        self.failed: BaseException | None = None
        """The error of such a write. No later one may be done: one would be missing before it."""
        self._pending: deque[Pending[None]] = deque()

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Switch it on, within the context. At its end all writes are done, or the error of one is raised."""
        self.active = True
        try:
            yield
        finally:
            self.active = False
            self.catch_up()

    def follow(self, pending: Pending[None]) -> None:
        """Follow a write; wait while too many are behind. Raises the error of an earlier one."""

        def end() -> None:
            self.failed = self.failed or pending.exception()

        pending.add_callback(end)
        self._pending.append(pending)
        while len(self._pending) > _MOST:
            self._pending.popleft().result()

    def catch_up(self) -> None:
        """Wait until all writes are done. Raises the error of one that failed."""
        pending, self._pending = self._pending, deque()
        for each in pending:
            each.wait()
        for each in pending:
            each.result()
