"""The objects that an `AgentMemory` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coterie.memory.record import Fact, MaintenanceDecision, MemoryRecord, Tier


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory of an agent. Its value is a copy of the reader's own."""

    id: str
    kind: str
    """"episode" or "semantic"."""
    value: Any
    text: str
    """The searchable text."""
    importance: float
    created: float
    """When it happened, or when it was derived."""
    last_access: float
    access_count: int
    sources: tuple[str, ...]
    """The ids of the memories that it was made from."""
    valid_from: float | None
    valid_until: float | None
    tier: Tier
    fact: Fact | None = None
    """The statement that it makes, if it can be compared with others."""
    score: float = 0.0
    """How well it answers a question, from 0 to 1; 0 without a question."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """The parts of the score, each from 0 to 1: text, meaning, recency, importance."""

    @classmethod
    def of(cls, record: MemoryRecord, value: Any, score: float = 0.0, parts: Mapping[str, float] | None = None) -> Memory:
        """Return the memory of a record."""
        return cls(
            id=record.id,
            kind=str(record.kind),
            value=value,
            text=record.text,
            importance=record.importance,
            created=record.created,
            last_access=record.last_access,
            access_count=record.access_count,
            sources=record.sources,
            valid_from=record.valid_from,
            valid_until=record.valid_until,
            tier=record.tier,
            fact=record.fact,
            score=score,
            parts=parts or {},
        )

    def valid(self, at: float) -> bool:
        """Return whether it is valid at a time."""
        return (self.valid_from is None or self.valid_from <= at) and (self.valid_until is None or at < self.valid_until)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The sources of a memory, the memories derived from it, and the decisions about it."""

    memory: Memory
    strength: float
    """Its strength, from 0 to 1."""
    sources: tuple[Memory, ...]
    """The sources that still exist."""
    missing: tuple[str, ...]
    """The ids of the sources that no longer exist."""
    derived: tuple[Memory, ...]
    """The memories that cite it."""
    episodes: tuple[Memory, ...]
    """The episodes that it was made from, directly or by other memories; itself if it is an episode."""
    decisions: tuple[MaintenanceDecision, ...]
    """Newest first."""
    consolidated: bool
    """Whether a consolidation had it; True for a semantic memory."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A name that a fact connects with another."""

    name: str
    relation: str
    forward: bool
    """True if the fact leads to this name: it is the object; False if it is the subject."""
    memory: Memory
    """The memory with the fact."""


@dataclass(frozen=True, slots=True)
class AgentMemoryStatistics:
    """A consistent view of the memories of one agent. Counters start when its first handle is created."""

    agent: str
    episodes: int
    semantic: int
    max_episodes: int
    unconsolidated: int
    """Unconsolidated episodes, including those of a running consolidation."""
    remembered: int
    learnt: int
    """Semantic memories stored, by consolidations or by `learn`."""
    recalled: int
    """Answered questions."""
    forgotten: int
    """Memories that `forget` deleted."""
    cleaned: int
    """Evicted episodes."""
    expired: int
    """Episodes that expired, faded, or were deleted from the store directly."""
    contradicted: int
    """Facts whose validity a later fact ended."""
    merged: int
    """Memories that were merged with an equal one."""
    warnings: int
    """How often the number of episodes reached the warning threshold."""
    consolidations: int
    automatic_consolidations: int
    failed_consolidations: int
    consolidated: int
    """Episodes that consolidations had."""
    last_consolidation: float | None

    @property
    def usage(self) -> float:
        """Episodes as a part of the maximum."""
        return self.episodes / self.max_episodes
