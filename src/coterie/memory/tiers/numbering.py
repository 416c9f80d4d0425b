"""Versions and ids: what is newer, and what a memory is called for life."""

from __future__ import annotations

import secrets

_MICRO = 1_000_000


class VersionGenerator:
    """Gives out versions, each greater than all before. Whoever asks for one holds the lock of the store."""

    def __init__(self, newest: int, *, shared: bool) -> None:
        """Begin behind `newest`. Where several processes give out ids theirs must differ; where one does, the same run
        gives the same ids.
        """  # noqa: D205 - one promise
        self._version = newest
        self._mark = f"-{secrets.token_hex(4)}" if shared else ""

    def next(self, now: float) -> int:
        """Return a version that is greater than all before: the time in microseconds, or one more than the last."""
        version = int(now * _MICRO)
        if version <= self._version:
            version = self._version + 1
        self._version = version
        return version

    def id_of(self, version: int) -> str:
        """Return the id of a memory whose first version this is."""
        return f"{version:x}{self._mark}"
