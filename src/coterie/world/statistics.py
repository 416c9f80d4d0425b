"""What a world has done."""

from __future__ import annotations

import msgspec


class Statistics(msgspec.Struct, frozen=True):
    """What a world has done since it was opened."""

    keys: int
    events: int
    """Events in all, those before it was opened included."""
    commits: int
    snapshots: int
    observer_failures: int
    last_failure: str
    """The last error of an observer, as text."""
