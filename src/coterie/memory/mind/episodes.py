"""The state shared by all handles on one agent's memories: its episodes and counters."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from coterie.concurrency import Rank, Signal, new_lock
from coterie.memory.mind.items import AgentMemoryStatistics
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.tiered import TieredMemory

_TICK = 1e-6
"""Seconds. A float of this century's times resolves a quarter of that."""


def key_of(agent: str, kind: str, id: str) -> str:  # noqa: A002 - the field's own name
    """Return the key of an agent's memory of that kind and id."""
    return f"{agent}/{kind}/{id}"


def mark_of(agent: str) -> str:
    """Return the key of the internal record of the last consolidated episode of an agent."""
    return f"\x1fconsolidated/{agent}"


def mark_before(id: str) -> str:  # noqa: A002 - the field's own name
    """Return the content of that record from which the episode of that id, and all later ones, are not consolidated."""
    return f"{max(0, _number(id) - 1):x}"


@dataclass(slots=True)
class EpisodeCounts:
    """Counters of one agent."""

    remembered: int = 0
    learnt: int = 0
    recalled: int = 0
    forgotten: int = 0
    contradicted: int = 0
    merged: int = 0
    cleaned: int = 0
    expired: int = 0
    warnings: int = 0
    consolidations: int = 0
    automatic: int = 0
    failed: int = 0
    consolidated: int = 0
    last_consolidation: float | None = None


class Episodes:
    """The ids of one agent's episodes in the order in which they were stored, with their times.

    Callers hold `lock`, which guards all of it. It is loaded from the store when the agent's first handle is created: about 130
    bytes an episode, up to `max_episodes`. `remove_gone` removes the memories that disappeared by other means: those that expired,
    by time or by maintenance, and those deleted from the store directly.
    """

    def __init__(self, memory: TieredMemory, agent: str) -> None:
        self.lock = new_lock(Rank.MIND)
        self.counts = EpisodeCounts()
        self.times: dict[str, float] = {}
        self.fresh: dict[str, None] = {}
        """Unconsolidated episodes, in order."""
        self.given: dict[str, None] = {}
        """The episodes of the running consolidation."""
        self.forgotten: set[str] = set()
        """Episodes that were forgotten while the running consolidation had them."""
        self.swept = 0.0
        """The time of the last search for episodes that are too old."""
        self.running: Signal | None = None
        """The end of the running consolidation; None if none runs."""
        self.planned = False
        """Whether an automatic consolidation is scheduled."""
        self.warned = False
        self.semantic: set[str] = set()
        """The ids of the semantic memories."""
        self._expiring: list[tuple[float, str]] = []
        """A heap of (time of expiry, id)."""
        self._gone: deque[str] = deque()
        """The ids that the store deleted. The store adds them under its own lock, without this one."""
        self._time = memory.clock.time
        self._latest = float("-inf")
        self.last: MemoryRecord | None = None
        """The newest episode."""
        memory.records.on_deleted(agent, self._gone.append)
        self._load(memory, agent)
        memory.records.on_import(lambda: self._reload(memory, agent))
        memory.records.on_erased(self._lose)

    def moment(self, now: float) -> float:
        """Return `now`, or a little later, so that later episodes have later times; the clock is too coarse for that."""
        self._latest = now if not now <= self._latest < now + 1.0 else self._latest + _TICK
        return self._latest

    def remove_gone(self) -> None:
        """Remove memories that expired or were deleted by other means."""
        while self._gone:
            id = self._gone.popleft()  # noqa: A001 - the field's own name
            self.semantic.discard(id)
            self._expire(id)
        if self._expiring:
            now = self._time()
            while self._expiring and self._expiring[0][0] <= now:
                self._expire(heapq.heappop(self._expiring)[1])

    def _expire(self, id: str) -> None:  # noqa: A002 - the field's own name
        if id in self.times:
            self.discard(id)
            self.counts.expired += 1

    def add(self, record: MemoryRecord) -> None:
        """Add a new episode."""
        self.times[record.id] = record.created
        if record.expires is not None:
            heapq.heappush(self._expiring, (record.expires, record.id))
        self.fresh[record.id] = None
        self.last = record
        self.counts.remembered += 1

    def discard(self, id: str) -> None:  # noqa: A002 - the field's own name
        """Remove an episode."""
        self.times.pop(id, None)
        self.fresh.pop(id, None)
        self.given.pop(id, None)
        if self.last is not None and self.last.id == id:
            self.last = None

    def neighbours(self, id: str) -> tuple[str | None, str | None]:  # noqa: A002 - the field's own name
        """Return the ids of the episodes stored just before and just after."""
        ids = list(self.times)
        place = ids.index(id) if id in self.times else -1
        if place < 0:
            return None, None
        return (ids[place - 1] if place else None), (ids[place + 1] if place + 1 < len(ids) else None)

    def statistics(self, agent: str, max_episodes: int) -> AgentMemoryStatistics:
        """Return current numbers and counters. Takes the lock itself."""
        with self.lock:
            self.remove_gone()
            counts = self.counts
            return AgentMemoryStatistics(
                agent=agent,
                episodes=len(self.times),
                semantic=len(self.semantic),
                max_episodes=max_episodes,
                unconsolidated=len(self.fresh) + len(self.given),
                remembered=counts.remembered,
                learnt=counts.learnt,
                recalled=counts.recalled,
                forgotten=counts.forgotten,
                contradicted=counts.contradicted,
                merged=counts.merged,
                cleaned=counts.cleaned,
                expired=counts.expired,
                warnings=counts.warnings,
                consolidations=counts.consolidations,
                automatic_consolidations=counts.automatic,
                failed_consolidations=counts.failed,
                consolidated=counts.consolidated,
                last_consolidation=counts.last_consolidation,
            )

    def _lose(self, ids: AbstractSet[str]) -> None:
        """Keep a running consolidation from storing what it makes of erased episodes."""
        with self.lock:
            if self.running is not None:
                self.forgotten |= ids

    def _reload(self, memory: TieredMemory, agent: str) -> None:
        with self.lock:
            self.times, self.fresh, self._expiring = {}, {}, []
            self._load(memory, agent)
            self.fresh = {each: None for each in self.fresh if each not in self.given}

    def _load(self, memory: TieredMemory, agent: str) -> None:
        found: list[MemoryRecord] = []
        cited: set[str] = set()
        for kind in (MemoryKind.EPISODE, MemoryKind.SEMANTIC):
            # A memory that was stored under another key does not belong to this handle.
            page = [each for each in memory.records.all_of(agent, (kind,)) if each.key == key_of(agent, kind, each.id)]
            if kind == MemoryKind.EPISODE:
                found = page
            else:
                self.semantic = {record.id for record in page}
                cited = {source for record in page for source in record.sources}
        # Ids grow with time, so they give the order of storing.
        found.sort(key=lambda record: (_number(record.id), record.id))
        mark = memory.records.get_internal(mark_of(agent)) or ""
        for record in found:
            self.times[record.id] = record.created
            if record.expires is not None:
                heapq.heappush(self._expiring, (record.expires, record.id))
            if record.id not in cited and _number(record.id) > _number(mark):
                self.fresh[record.id] = None
        self.last = found[-1] if found else None
        self._latest = self.last.created if self.last is not None else float("-inf")


def _number(id: str) -> int:  # noqa: A002 - the field's own name
    try:
        return int(id.partition("-")[0], 16)
    except ValueError:
        # Not an id of this store.
        return -1
