"""A budget of threads that several pools draw from, so that together they stay within one bound."""

from __future__ import annotations

import os

from coterie.concurrency.locks import Rank, new_lock


class ThreadBudget:
    """Counts the threads of the pools that draw from it. Safe from any thread; `_lock` guards all counts.

    Each pool may have one thread whatever the others have, so that no pool waits for another. A place for the first thread
    of each pool is kept free. Abandoned threads, whose function does not return, are counted apart.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._shares: dict[BudgetShare, None] = {}

    def join(self) -> BudgetShare:
        """Return the share of a new pool."""
        share = BudgetShare(self)
        with self._lock:
            self._shares[share] = None
        return share

    @property
    def used(self) -> int:
        """Return the number of threads, without abandoned ones."""
        return sum(share.used for share in self._shares.copy())

    @property
    def abandoned(self) -> int:
        """Return the number of abandoned threads."""
        return sum(share.abandoned for share in self._shares.copy())

    def take(self, share: BudgetShare, limit: int, ceiling: int) -> bool:
        """Count a thread of a pool, and return True, if fewer than `limit` run, and with abandoned ones fewer than `ceiling`."""
        with self._lock:
            if share.left:
                return True
            unmet = sum(not other.used for other in self._shares)
            if share.used and (self.used + unmet >= limit or self.used + self.abandoned >= ceiling):
                share.denied = True
                return False
            share.denied = False
            share.used += 1
            return True

    def give(self, share: BudgetShare, count: int) -> None:
        """Count `count` threads of a pool less; a negative number counts them again, whatever the limit."""
        with self._lock:
            share.used -= count

    def abandon(self, share: BudgetShare, limit: int) -> bool:
        """Count a thread as abandoned, and return True, if fewer than `limit` are."""
        with self._lock:
            if self.abandoned >= limit:
                return False
            share.used -= 1
            share.abandoned += 1
            return True

    def reclaim(self, share: BudgetShare) -> None:
        """Count an abandoned thread, which has ended, no more."""
        with self._lock:
            share.abandoned -= 1
            if share.left and not share.used and not share.abandoned:
                self._shares.pop(share, None)

    def leave(self, share: BudgetShare) -> None:
        """Forget the pool, whose threads have ended; its abandoned threads still count."""
        with self._lock:
            share.used, share.left, share.denied = 0, True, False
            if not share.abandoned:
                self._shares.pop(share, None)

    def pressed(self, share: BudgetShare) -> bool:
        """Return whether another pool was denied a thread."""
        return any(other.denied for other in self._shares.copy() if other is not share)

    def after_fork_in_child(self) -> None:
        """Forget all pools in a forked process, which does not inherit their threads."""
        self._lock = new_lock(Rank.RECORDS)
        self._shares = {}


class BudgetShare:
    """The counts of one pool. Only its budget changes them."""

    __slots__ = ("abandoned", "budget", "denied", "left", "used")

    def __init__(self, budget: ThreadBudget) -> None:
        self.budget = budget
        self.used = 0
        self.abandoned = 0
        self.denied = False
        """True if it was denied a thread, and has got none since."""
        self.left = False


PROCESS_THREADS = ThreadBudget()
"""The budget of this process. Threads belong to the process, as its processors do, whoever starts them."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESS_THREADS.after_fork_in_child)
