"""What is remembered of one attempt that failed."""

from __future__ import annotations

import msgspec


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One failed attempt at a job. Times are seconds of the monotonic clock."""

    number: int
    started: float
    ended: float
    error: str
    """Type and text of what it failed with."""
