"""A limit on what may happen within any minute."""

from __future__ import annotations

from collections import deque


class WindowEntry:
    """One thing that happened: when, and how much of it."""

    __slots__ = ("amount", "at")

    def __init__(self, at: float, amount: float) -> None:
        self.at = at
        self.amount = amount


class SlidingWindow:
    """At most `limit` within any `length` seconds: a sliding log, exact where a bucket would let twice as much through.

    For one thread.
    """

    def __init__(self, limit: float, length: float = 60.0) -> None:
        self._limit = limit
        self._length = length
        self._log: deque[WindowEntry] = deque()
        self._sum = 0.0

    def delay(self, now: float, amount: float) -> float:
        """Return after how many seconds so much may happen; 0 if it may now. More than the limit waits to be alone."""
        self._forget_old(now)
        over = self._sum + min(amount, self._limit) - self._limit
        if over <= 0:
            return 0.0
        for passage in self._log:
            over -= passage.amount
            if over <= 0:
                return max(0.0, passage.at + self._length - now)
        return self._length

    def enter(self, now: float, amount: float) -> WindowEntry:
        """Note that it happens now."""
        passage = WindowEntry(now, amount)
        self._log.append(passage)
        self._sum += amount
        return passage

    def correct(self, passage: WindowEntry, amount: float) -> None:
        """Say how much it really was; 0 if it never happened."""
        if self._log and passage.at >= self._log[0].at:
            self._sum += amount - passage.amount
        passage.amount = amount

    def _forget_old(self, now: float) -> None:
        log = self._log
        while log and log[0].at + self._length <= now:
            self._sum -= log.popleft().amount
        if not log:
            self._sum = 0.0
