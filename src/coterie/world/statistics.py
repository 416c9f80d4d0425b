"""Counts of a world."""

from __future__ import annotations

import msgspec


class Statistics(msgspec.Struct, frozen=True):
    """Counts of a world since it was opened."""

    keys: int
    events: int
    """All events, including those before it was opened."""
    commits: int
    snapshots: int
    observer_failures: int
    last_failure: str
    """The last error of an observer, as text."""
