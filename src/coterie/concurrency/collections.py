"""Postpone full collections of garbage while many objects are made that stay.

A full collection looks at all objects of the process. The interpreter begins one whenever the objects have grown by a fourth,
so objects that are made in large numbers are looked at five times each before the last of them is there. The thresholds
belong to the whole process, so requests are counted, and the last release restores the one that was changed.
"""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager
from typing import ClassVar

from coterie.concurrency.locks import Rank, new_lock

_RARE = 1_000
"""Collections of the middle generation for each full one: by default about eight million new objects.

It is finite, so that a program which copies the thresholds meanwhile, and sets them again later, still gets full collections.
"""


class RareCollections(AbstractContextManager[None]):
    """A context in which full collections of garbage are rare; those of young objects go on. Safe from any thread.

    Only the last of the three thresholds changes, and only back if no other code has changed it since.
    """

    _lock: ClassVar = new_lock(Rank.RECORDS)
    _count: ClassVar[int] = 0
    _before: ClassVar[int | None] = None
    """The threshold before; None if there is nothing to restore."""

    def __enter__(self) -> None:
        with self._lock:
            RareCollections._count += 1
            young, middle, full = gc.get_threshold()
            if full < _RARE:
                RareCollections._before = full
                gc.set_threshold(young, middle, _RARE)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            RareCollections._count -= 1
            if self._count or self._before is None:
                return
            young, middle, full = gc.get_threshold()
            if full == _RARE:
                gc.set_threshold(young, middle, self._before)
            RareCollections._before = None
