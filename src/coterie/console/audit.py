"""The list of actions that were done, or refused."""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path

import msgspec

from coterie.concurrency import Rank, new_lock

_KEPT = 1_000
_log = logging.getLogger(__name__)


class AuditEntry(msgspec.Struct, frozen=True):
    """One action."""

    time: float
    """Seconds since 1970."""
    who: str
    """The user, or ``operator`` for the holder of the console's own token."""
    action: str
    target: str
    outcome: str
    done: bool
    """False if it was refused or failed."""


class AuditLog:
    """The newest entries, newest first, and a file with all of them. Safe from any thread: `_lock` guards both."""

    def __init__(self, file: Path | None = None) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._file = file
        self._entries: deque[AuditEntry] = deque(maxlen=_KEPT)

    def add(self, entry: AuditEntry) -> None:
        """Add an entry, also to the log of the process. A file that cannot be written is reported there."""
        _log.info("%s: %s %s: %s", entry.who, entry.action, entry.target, entry.outcome)
        with self._lock:
            self._entries.appendleft(entry)
            if self._file is None:
                return
            try:
                with self._file.open("ab") as file:
                    file.write(msgspec.json.encode(entry) + b"\n")
            except OSError as error:
                _log.error("the audit log %s cannot be written: %s", self._file, error)

    def entries(self) -> list[AuditEntry]:
        """Return the newest entries, newest first."""
        with self._lock:
            return list(self._entries)
