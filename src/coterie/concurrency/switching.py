"""Lower the interpreter's switch interval while a runtime needs it.

With the default of 5 ms, one computing thread delays every other thread by 5 ms at each wake-up. The interval belongs to
the whole process, so requests are counted, and the last release restores the previous value.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import ClassVar

from coterie.kernel import SystemClock

_PROBE = 0.0002
"""Seconds of the sleep by which a thread finds out whether the interpreter is in use."""
_PROMPT = 0.0004
"""Seconds by which it may wake up late if the interpreter is free. In use, it waits for a whole switch interval."""


class SwitchInterval:
    """A request for a switch interval of at most `seconds`. Safe from any thread."""

    _lock: ClassVar = threading.Lock()
    _wishes: ClassVar[list[SwitchInterval]] = []
    _before: ClassVar[float] = 0.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def hold(self) -> int:
        """Lower the interval until `release`, unless it is low enough. Return how many requests there are now."""
        with self._lock:
            if not self._wishes:
                SwitchInterval._before = sys.getswitchinterval()
            self._wishes.append(self)
            self._apply()
            return len(self._wishes)

    def release(self) -> None:
        """Withdraw the request. The last release restores the previous interval."""
        with self._lock:
            if self in self._wishes:
                self._wishes.remove(self)
                self._apply()

    @classmethod
    def _apply(cls) -> None:
        sys.setswitchinterval(min([cls._before, *(wish.seconds for wish in cls._wishes)]))


def interpreter_is_free() -> bool:
    """Return whether a thread gets the interpreter's lock at once. Takes about 0.3 ms; longer if the lock is in use.

    A thread that waits for the lock looks like one that waits for input: neither uses the processor.
    """
    began = SystemClock.monotonic()
    time.sleep(_PROBE)
    return SystemClock.monotonic() - began < _PROBE + _PROMPT
