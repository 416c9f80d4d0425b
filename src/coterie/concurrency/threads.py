"""The one place that starts threads."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import TypeAlias

Thread: TypeAlias = threading.Thread
"""For annotations."""


def start_thread(target: Callable[[], object], name: str) -> Thread:
    """Start a thread of that name and return it.

    It is a daemon: a thread that is stuck in somebody's code must not keep the process from ending. Whoever starts a
    thread here also ends it, and shutdown names those that did not end.

    Raises `RuntimeError` when the system has no thread left to give.
    """
    thread = Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def call_on_bare_thread(function: Callable[[], object]) -> None:
    """Call a short function on a thread that the `threading` module knows nothing of.

    For signal handlers alone: they may have interrupted that very module while it held its locks.
    """
    _thread.start_new_thread(function, ())
