"""The budget of threads of the process: every thread of Coterie counts, and parts that can do with fewer get no more at its limit."""

from __future__ import annotations

import logging
import os
import warnings
import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from coterie.concurrency.locks import Rank, new_lock
from coterie.errors import ThreadLimitReached
from coterie.kernel import check_number

_log = logging.getLogger(__name__)

_THREADS = 10_000
_ABANDONED = 256
THREADS_VARIABLE = "COTERIE_MAX_THREADS"
ABANDONED_VARIABLE = "COTERIE_MAX_ABANDONED_THREADS"
_SHARE_OF_SYSTEM = 0.75
"""The part of the threads that the system permits that Coterie takes at most by default."""


@dataclass(frozen=True, slots=True)
class ThreadUse:
    """The threads of Coterie in this process at one moment."""

    threads: int
    limit: int
    abandoned: int
    """Threads in functions that do not return, and which no part waits for any more."""
    abandoned_limit: int
    parts: Mapping[str, int]
    """Threads by the part that holds them, the largest first."""


class AbandoningPart(Protocol):
    """A part that counts its abandoned threads itself."""

    @property
    def abandoned(self) -> int:
        """The number of its threads in functions that do not return, and which no caller waits for."""
        ...


class ThreadBudget:
    """Counts the threads of a process, by part. Safe from any thread, signal handlers and finalizers.

    A thread that its part needs, such as a first worker, always starts and counts. A thread beyond that is refused when
    `threads_limit` threads run: pools then share the threads that they have, and an agent that takes a thread of its own is not
    spawned. `_lock` guards the shares of pools whose number of workers follows the machine; they together stay within a
    limit of their own. Each may have one thread whatever the others have, so that no pool waits for another. Abandoned
    threads, whose function does not return, are counted apart.
    """

    def __init__(self, threads: int = _THREADS, abandoned: int = _ABANDONED) -> None:
        self.threads_limit = threads
        self.abandoned_limit = abandoned
        self._lock = new_lock(Rank.RECORDS)
        self._shares: dict[BudgetShare, None] = {}
        self._threads: dict[object, str] = {}
        """The running threads and their parts. Only single operations, which are atomic, touch it."""
        self._parts: dict[weakref.ref[AbandoningPart], None] = {}
        """Parts that count their abandoned threads themselves. As above."""
        self._said = False
        """True if a refusal was logged, and no thread has ended since."""

    def __repr__(self) -> str:
        return "ThreadBudget()"

    def set_limits(self, *, threads: int | None = None, abandoned: int | None = None) -> None:
        """Change the limits of the process; None keeps one. Threads that run go on. Raises `InvalidSetting`."""
        check_number("set_limits.threads", threads, least=1, optional=True, whole=True)
        check_number("set_limits.abandoned", abandoned, least=1, optional=True, whole=True)
        self.threads_limit = threads if threads is not None else self.threads_limit
        self.abandoned_limit = abandoned if abandoned is not None else self.abandoned_limit

    def use(self) -> ThreadUse:
        """Return how many threads each part holds now."""
        parts = dict(Counter(self._threads.copy().values()).most_common())
        threads, left = sum(parts.values()), self.abandoned
        return ThreadUse(threads, self.threads_limit, left, self.abandoned_limit, parts)

    @property
    def full(self) -> bool:
        """Return whether no thread starts but those that a part needs."""
        return len(self._threads) >= self.threads_limit

    def enter(self, thread: object, part: str, *, needed: bool) -> None:
        """Count a thread that is about to start. Raises `ThreadLimitReached` at the limit, unless it is `needed`."""
        self._threads[thread] = part
        if not needed and len(self._threads) > self.threads_limit:
            self._threads.pop(thread, None)
            error = ThreadLimitReached(part, self.threads_limit, self.use().parts, THREADS_VARIABLE)
            if not self._said:
                self._said = True
                _log.warning("%s", error)
            raise error

    def exit(self, thread: object) -> None:
        """Count a thread, which has ended or did not start, no more."""
        self._threads.pop(thread, None)
        self._said = False

    # Abandoned threads.

    @property
    def abandoned(self) -> int:
        """Return the number of abandoned threads."""
        parts = [part for weak in self._parts.copy() if (part := weak()) is not None]
        return self._abandoned_in_pools() + sum(part.abandoned for part in parts)

    @property
    def may_abandon(self) -> bool:
        """Return whether fewer threads are abandoned than the limit."""
        return self.abandoned < self.abandoned_limit

    def watch(self, part: AbandoningPart) -> None:
        """Count the abandoned threads of a part, while it is alive."""
        self._parts[weakref.ref(part, lambda weak: self._parts.pop(weak, None))] = None

    # The shares of pools.

    def join(self, *, grouped: bool = True, reserves: bool = True) -> BudgetShare:
        """Return the share of a new pool. With `grouped`, it and the other such pools stay within one limit.

        With `reserves`, a place for its first thread is kept free.
        """
        share = BudgetShare(self, grouped=grouped, reserves=grouped and reserves)
        with self._lock:
            self._shares[share] = None
        return share

    @property
    def used(self) -> int:
        """Return the number of threads of grouped shares, without abandoned ones."""
        return sum(share.used for share in self._shares.copy() if share.grouped)

    def take(self, share: BudgetShare, limit: int, ceiling: int) -> bool:
        """Count a thread of a pool, and return True, unless the process, or the group of the pool, has too many.

        In the group fewer than `limit` may run, and with abandoned ones fewer than `ceiling`.
        """
        with self._lock:
            if share.left:
                return True
            if share.used and (self.full or (share.grouped and self._group_is_full(limit, ceiling))):
                share.denied = True
                return False
            share.denied = False
            share.used += 1
            return True

    def give(self, share: BudgetShare, count: int) -> None:
        """Count `count` threads of a pool less; a negative number counts them again, whatever the limit."""
        with self._lock:
            share.used -= count

    def abandon(self, share: BudgetShare, limit: int | None) -> bool:
        """Count a thread as abandoned, and return True, if fewer than `limit` are in pools; None sets no limit."""
        with self._lock:
            if limit is not None and (self._abandoned_in_pools() >= limit or not self.may_abandon):
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

    def _group_is_full(self, limit: int, ceiling: int) -> bool:
        unmet = sum(not share.used for share in self._shares if share.reserves)
        return self.used + unmet >= limit or self.used + self._abandoned_in_pools() >= ceiling

    def _abandoned_in_pools(self) -> int:
        return sum(share.abandoned for share in self._shares.copy())

    def after_fork_in_child(self) -> None:
        """Forget all threads in a forked process, which does not inherit them."""
        self._lock = new_lock(Rank.RECORDS)
        self._shares, self._threads, self._parts = {}, {}, {}


class BudgetShare:
    """The counts of one pool. Only its budget changes them."""

    __slots__ = ("abandoned", "budget", "denied", "grouped", "left", "reserves", "used")

    def __init__(self, budget: ThreadBudget, *, grouped: bool, reserves: bool) -> None:
        self.budget = budget
        self.grouped = grouped
        self.reserves = reserves
        self.used = 0
        self.abandoned = 0
        self.denied = False
        """True if it was denied a thread, and has got none since."""
        self.left = False


def default_limits(environment: Mapping[str, str], permitted: int | None) -> dict[str, int]:
    """Return the limits of a process: those of the environment, or else 10,000 threads and 256 abandoned ones.

    By default no more than three quarters of the `permitted` threads. A value that is no number of at least 1 is ignored with a
    warning.
    """
    limits = {"threads": _THREADS, "abandoned": _ABANDONED}
    if permitted is not None:
        limits["threads"] = max(1, min(_THREADS, int(permitted * _SHARE_OF_SYSTEM)))
    for name, variable in (("threads", THREADS_VARIABLE), ("abandoned", ABANDONED_VARIABLE)):
        text = environment.get(variable, "").strip()
        if text.isascii() and text.isdigit() and int(text):
            limits[name] = int(text)
        elif text:
            problem = f"{variable}={text!r} is ignored, and the limit is {limits[name]}: give a whole number of at least 1"
            warnings.warn(problem, RuntimeWarning, stacklevel=2)
    return limits


def permitted_threads() -> int | None:
    """Return how many threads the system permits this user; None if it sets no limit."""
    try:
        import resource  # noqa: PLC0415 - not on every platform

        soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    except (ImportError, AttributeError, ValueError, OSError):
        return None
    return None if soft == resource.RLIM_INFINITY else soft


PROCESS_THREADS = ThreadBudget(**default_limits(os.environ, permitted_threads()))
"""The budget of this process. Threads belong to the process, as its processors do, whichever part starts them."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESS_THREADS.after_fork_in_child)
