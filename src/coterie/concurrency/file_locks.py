"""Advisory locks on files, which end with the process that has them, however that ends."""

from __future__ import annotations

from collections.abc import Callable

lock_file: Callable[[int], object] | None
"""Locks the file of a descriptor, at once or not at all; None where there are no such locks.

Raises `BlockingIOError` if another descriptor has it, of this process or another, and `OSError` where the file system has
no locks. It ends when the descriptor, and each copy of it in children that were forked, is closed.
"""
try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # pragma: no cover - Windows
    lock_file = None
else:

    def lock_file(descriptor: int) -> None:
        """Lock a file, as is said above."""
        flock(descriptor, LOCK_EX | LOCK_NB)
