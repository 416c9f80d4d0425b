"""What the tests of the memory share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coterie.errors import TierUnavailable
from coterie.memory import MemoryConfig, TieredMemory
from coterie.memory.backends.in_process import InProcessArchive, InProcessBackend
from coterie.memory.contract import ArchiveChange, Change, RecordFilter, SearchQuery
from coterie.memory.record import MemoryRecord
from coterie.testing import ManualClock


def open_memory(clock: ManualClock | None = None, **settings: Any) -> TieredMemory:
    """Return a memory in process, without maintenance of its own, on a clock that stands still."""
    backends = {name: settings.pop(name) for name in ("archive", "short_term", "intermediate") if name in settings}
    config = MemoryConfig(**{"maintenance_interval": None, **settings})
    return TieredMemory(config, clock=clock if clock is not None else ManualClock(), **backends)


class FlakyBackend(InProcessBackend):
    """A backend like a server's, which is away when a test says so, and has what was written to it when it is back."""

    persistent = True

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.calls = 0

    def check(self) -> None:
        self.calls += 1
        if self.away:
            raise TierUnavailable("the server", "a test has pulled the plug")

    def write(self, changes: Sequence[Change]) -> list[bool]:
        self.check()
        return super().write(changes)

    def get(self, keys: Sequence[str]) -> dict[str, MemoryRecord]:
        self.check()
        return super().get(keys)

    def scan(self, after: str = "", limit: int = 1_000) -> list[MemoryRecord]:
        self.check()
        return super().scan(after, limit)

    def recent(self, which: RecordFilter, limit: int) -> list[MemoryRecord]:
        self.check()
        return super().recent(which, limit)

    def close(self) -> None:
        """Keep all for the next who opens it."""


class FlakyArchive(InProcessArchive):
    """An archive that is away when a test says so, and outlives the memory that uses it."""

    persistent = True

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.refuses = ""
        """A key that it cannot take."""
        self.batches: list[int] = []

    def check(self) -> None:
        if self.away:
            raise TierUnavailable("the database", "a test has pulled the plug")

    def write(self, changes: Sequence[ArchiveChange]) -> list[bool]:
        self.check()
        for change in changes:
            key = getattr(change, "key", None) or change.record.key  # type: ignore[union-attr]
            if self.refuses and key == self.refuses:
                raise ValueError("a test does not want it")
        self.batches.append(len(changes))
        return super().write(changes)

    def get(self, keys: Sequence[str]) -> dict[str, MemoryRecord]:
        self.check()
        return super().get(keys)

    def recent(self, which: RecordFilter, limit: int) -> list[MemoryRecord]:
        self.check()
        return super().recent(which, limit)

    def search(self, query: SearchQuery) -> Any:
        self.check()
        return super().search(query)

    def close(self) -> None:
        """Keep all for the next who opens it."""
