"""Versions and ids of memories."""

from __future__ import annotations

import secrets

_MICRO = 1_000_000


class VersionGenerator:
    """Returns versions, each greater than all before. Callers hold the lock of the store."""

    def __init__(self, newest: int, *, shared: bool) -> None:
        """Start after `newest`.

        If several processes create ids, a random suffix makes theirs differ; a single process creates the same ids in every
        run.
        """
        self._version = newest
        self._mark = f"-{secrets.token_hex(4)}" if shared else ""

    def next(self, now: float) -> int:
        """Return the time in microseconds, or the last version plus one if that is greater."""
        version = int(now * _MICRO)
        if version <= self._version:
            version = self._version + 1
        self._version = version
        return version

    def id_of(self, version: int) -> str:
        """Return the id of the memory with this first version."""
        return f"{version:x}{self._mark}"
