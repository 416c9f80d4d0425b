"""The tiers above the archive: what of it is at hand."""

from __future__ import annotations

from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Backend, Change, Put
from coterie.memory.record import MemoryRecord, Tier
from coterie.memory.writing.access import TierAccess
from coterie.memory.writing.lane import WriteLane


class WorkingTier:
    """One of them. What does not outlive the process is written at once, the rest behind, by a lane of its own.

    Safe from many threads.
    """

    def __init__(self, tier: Tier, backend: Backend, config: MemoryConfig) -> None:
        self.tier = tier
        self.backend = backend
        self.access = TierAccess(tier.name.lower(), backend)
        self.lane: WriteLane | None = None
        self.doubtful = False
        """Whether it may hold what is older than what the archive has: left there by a process that was killed."""
        if backend.persistent:
            self.doubtful = True
            self.lane = WriteLane(self.access, backend.write, capacity=config.queue_size, batch=config.batch_size)  # type: ignore[arg-type]
            self.lane.start()

    def write(self, change: Change) -> None:
        """Have a change written; never waits for a server."""
        if self.lane is not None:
            self.lane.put(change)
        else:
            self.backend.write((change,))
            # Only the store writes here, one change at a time.
            self.access.writes += isinstance(change, Put)

    def find(self, key: str) -> MemoryRecord | None:
        """Return the record of that key if it is here, or on its way here. Raises `TierUnavailable`."""
        if self.lane is None:
            # In this process, and so never away.
            found = self.backend.get((key,))
            return found[key] if found else None
        if (pending := self.lane.pending(key)) is not None:
            return pending.record if isinstance(pending, Put) else None
        return self.access.read(lambda: self.backend.get([key])).get(key)
