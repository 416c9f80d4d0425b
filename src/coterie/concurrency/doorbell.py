"""What one thread waits at, and others ring."""

from __future__ import annotations

import threading


class Doorbell:
    """A binary semaphore. Rung twice before anybody came, it has been rung once. Safe from any thread."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Let the one who waits, or the next who comes, go on."""
        try:
            self._lock.release()
        except RuntimeError:
            # It had been rung already, and nobody has come since: that ring will do.
            return

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be rung, for at most `timeout` seconds of real time. Return whether it was."""
        if timeout is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=max(0.0, min(timeout, threading.TIMEOUT_MAX)))
