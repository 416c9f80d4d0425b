"""How many threads a pool needs, by what its watchdog sees."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Collection

from coterie.runtime.dispatchers.computing import MeasuredWorker, Starvation, idle_times

_BUSY = 0.85
"""The share of a processor above which more threads would only delay each other."""
_LEAST_BUSY = 0.001
"""The least share of a processor that a measurement of 5 ms can tell from none."""
_PROMPT = 0.00025
"""Seconds by which the watchdog may wake up late and still take it that nobody held it up. One that finds the
interpreter in use waits for a whole switch interval."""
_PROMPT_LOOKS = 2
"""Looks in a row for which it was prompt before it is believed that there is room for more threads."""
_AT_ONCE = 256
"""Threads that are added by one look, for to start one takes about a tenth of a millisecond."""
_PATIENT_LOOKS = 2
"""Looks in a row without a taken lease, although the interpreter is in use, before one thread is added."""
_MOST_COMPUTING = 16
"""Threads that have computed within `_RECENT` and share the interpreter, above which no more are added for fairness."""
_RECENT = 1.0
"""Seconds. On a crowded machine a thread that computes may get no processor for a while."""


class PoolSize:
    """Tells a pool how many more workers should be at work.

    If leases wait although the interpreter is free, then workers are blocked, and there is room for as many more as the
    processor has time for. A free interpreter is detected by the sleep of the watchdog: then it wakes up on time.
    If leases wait, the interpreter is in use, and no lease was taken between two looks, then workers compute: one more gets its
    share of the interpreter, unless many compute already. If leases wait because there is more work than one processor can do,
    more threads would not help.

    Belongs to the watchdog.
    """

    def __init__(self) -> None:
        # With an interpreter lock, all threads together have the use of one processor for Python code.
        self._processors = 1 if getattr(sys, "_is_gil_enabled", lambda: True)() else os.cpu_count() or 1
        self._prompt_looks = 0
        self._still_looks = 0
        self._starvation = Starvation()

    def woke(self, late: float) -> None:
        """Record by how many seconds the watchdog woke up too late."""
        self._prompt_looks = self._prompt_looks + 1 if late < _PROMPT else 0

    def wanted(self, ready: int, workers: Collection[MeasuredWorker], busy: float, *, moved: bool) -> int:
        """Return how many more workers should be at work.

        `ready` is the number of leases that wait, `busy` the share of a processor that the process has used since the last
        look, and `moved` tells whether a lease was taken since then.
        """
        self._still_looks = 0 if moved else self._still_looks + 1
        if not ready:
            return 0
        if self._prompt_looks >= _PROMPT_LOOKS and busy < _BUSY * self._processors:
            starved = self._starvation.found(worker.native for worker in workers)
            return 0 if starved else min(ready, _AT_ONCE, self._useful(len(workers), busy))
        if self._still_looks >= _PATIENT_LOOKS:
            self._still_looks = 0
            return int(sum(idle < _RECENT for idle in idle_times(workers)) < _MOST_COMPUTING)
        return 0

    def _useful(self, workers: int, busy: float) -> int:
        """Return how many more workers with the habits of these there may be until the processor is in full use.

        Source: B. Goetz et al., Java Concurrency in Practice (2006), section 8.2: processors x utilisation x (1 + wait / compute).
        """
        return math.ceil(workers * (self._processors / max(busy, _LEAST_BUSY) - 1.0))
