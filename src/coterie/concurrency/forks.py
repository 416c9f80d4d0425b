"""Word of forks: a child has a copy of everything but the threads, and of locks as they were held at that moment."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Orphan(Protocol):
    """What has threads, and must know that a copy of it has none."""

    def become_orphan(self) -> None:
        """Be told that this is a copy in a forked process. There is no other thread; any lock may be held by nobody."""
        ...


_TOLD: weakref.WeakSet[Orphan] = weakref.WeakSet()
"""Those that want to know. They share nothing by it, and are not kept alive."""


def tell_of_forks(tenant: Orphan) -> None:
    """Have `tenant.become_orphan()` called in every child that is forked from now on, while the tenant lives."""
    _TOLD.add(tenant)


def tell_no_more(tenant: Orphan) -> None:
    """Forget a tenant; do nothing if it is not known."""
    _TOLD.discard(tenant)


def _after_fork() -> None:
    for tenant in list(_TOLD):
        tenant.become_orphan()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
