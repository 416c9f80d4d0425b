"""Keeping Ctrl-C from cutting the bookkeeping of jobs in two."""

from __future__ import annotations

from pathlib import Path

import coterie.concurrency
import coterie.kernel
from coterie.concurrency import InterruptGuard

_HERE = Path(__file__).parent
_BOOKKEEPING = [
    *(str(_HERE / folder) for folder in ("actions", "jobs", "pool", "queues")),
    *(str(Path(path).parent) for path in (coterie.concurrency.__file__, coterie.kernel.__file__)),
]
"""The folders whose code an interrupt does not cut in two; where it waits, it is interrupted at once."""


def new_guard() -> InterruptGuard:
    """Return a guard for the code of this room, which is held from now on."""
    guard = InterruptGuard(*_BOOKKEEPING)
    guard.hold()
    return guard
