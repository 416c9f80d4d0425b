"""An event that one waiter consumes."""

from __future__ import annotations

import threading


class AutoResetEvent:
    """An event that resets itself when one waiter has seen it. Setting it twice equals setting it once. Safe from any thread."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let the current waiter, or else the next one, pass."""
        try:
            self._lock.release()
        except RuntimeError:
            # It is already set; the next waiter consumes it once.
            return

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, at most `timeout` seconds of real time. Return whether it was set."""
        if timeout is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=max(0.0, min(timeout, threading.TIMEOUT_MAX)))
