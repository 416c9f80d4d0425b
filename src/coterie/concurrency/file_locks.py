"""Advisory locks on files. The system releases them when the process ends, for whatever reason."""

from __future__ import annotations

from collections.abc import Callable

lock_file: Callable[[int], object] | None
"""Lock the file of a descriptor without waiting; None on systems without `flock`.

Raises `BlockingIOError` if another descriptor of this or another process holds the lock, and `OSError` if the file system
has no locks. The lock ends when the descriptor and all its copies in forked children are closed.
"""
try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # pragma: no cover - Windows
    lock_file = None
else:

    def lock_file(descriptor: int) -> None:
        """Lock a file; see above."""
        flock(descriptor, LOCK_EX | LOCK_NB)
