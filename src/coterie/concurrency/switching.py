"""The interpreter's switch interval, lowered while anybody needs it low.

With the usual 5 ms, one thread that computes makes every other thread wait 5 ms whenever it wakes up. The interval is
one number for the whole process, so it is counted who wants it low, and the last to leave puts the old one back.
"""

from __future__ import annotations

import sys
import threading
from typing import ClassVar


class SwitchInterval:
    """A wish for a switch interval of at most `seconds`. Safe from any thread."""

    _lock: ClassVar = threading.Lock()
    _wishes: ClassVar[list[SwitchInterval]] = []
    _before: ClassVar[float] = 0.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def hold(self) -> None:
        """Lower the interval, unless it is as low already, until `release`."""
        with self._lock:
            if not self._wishes:
                SwitchInterval._before = sys.getswitchinterval()
            self._wishes.append(self)
            self._apply()

    def release(self) -> None:
        """Take the wish back. The last one to go restores the interval of before."""
        with self._lock:
            if self in self._wishes:
                self._wishes.remove(self)
                self._apply()

    @classmethod
    def _apply(cls) -> None:
        sys.setswitchinterval(min([cls._before, *(wish.seconds for wish in cls._wishes)]))
