"""Handlers for forks: a child process has copies of all objects, but none of the threads that used them."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """An object with threads, which must not wait for them in a forked child."""

    def after_fork_in_child(self) -> None:
        """Mark this object as a copy in a forked child: its threads do not exist, and its locks may stay locked."""
        ...


_HANDLERS: weakref.WeakSet[ForkAware] = weakref.WeakSet()
"""Registered objects, held weakly."""


def register_fork_handler(handler: ForkAware) -> None:
    """Call `handler.after_fork_in_child()` in every child forked from now on, while the handler is alive."""
    _HANDLERS.add(handler)


def unregister_fork_handler(handler: ForkAware) -> None:
    """Forget a handler; do nothing if it is not registered."""
    _HANDLERS.discard(handler)


def _after_fork() -> None:
    for handler in list(_HANDLERS):
        handler.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
