"""The working tiers above the archive: short-term and intermediate."""

from __future__ import annotations

from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Backend, Change, Put
from coterie.memory.record import MemoryRecord, Tier
from coterie.memory.writing.access import TierAccess
from coterie.memory.writing.write_behind import WriteBehindQueue


class WorkingTier:
    """One working tier. An in-process backend is written at once, others by a write-behind queue.

    Safe from many threads.
    """

    def __init__(self, tier: Tier, backend: Backend, config: MemoryConfig) -> None:
        self.tier = tier
        self.backend = backend
        self.access = TierAccess(tier.name.lower(), backend)
        self.queue: WriteBehindQueue | None = None
        self.unreconciled = False
        """Whether a killed process may have left records in it that are older than those of the archive."""
        if backend.persistent:
            self.unreconciled = True
            self.queue = WriteBehindQueue(self.access, backend.write, capacity=config.queue_size, batch=config.batch_size)  # type: ignore[arg-type]
            self.queue.start()

    def write(self, change: Change) -> None:
        """Write or queue a change; never waits for a server."""
        if self.queue is not None:
            self.queue.put(change)
        else:
            self.backend.write((change,))
            # Only the store calls this, one change at a time.
            self.access.writes += isinstance(change, Put)

    def find(self, key: str) -> MemoryRecord | None:
        """Return the record of that key if it is stored or queued here. Raises `TierUnavailable`."""
        if self.queue is None:
            # In this process, and so always available.
            found = self.backend.get((key,))
            return found[key] if found else None
        if (pending := self.queue.pending(key)) is not None:
            return pending.record if isinstance(pending, Put) else None
        return self.access.read(lambda: self.backend.get([key])).get(key)
