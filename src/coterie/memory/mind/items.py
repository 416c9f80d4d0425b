"""What an `AgentMemory` gives out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coterie.memory.record import MaintenanceDecision, MemoryRecord, Tier


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory of an agent. Its value is the reader's own copy."""

    id: str
    kind: str
    """"episode" or "semantic"."""
    value: Any
    text: str
    """Its words, as searches see them."""
    importance: float
    created: float
    """When it happened, or was concluded."""
    last_access: float
    access_count: int
    sources: tuple[str, ...]
    """The ids of the memories that it was made of."""
    valid_from: float | None
    valid_until: float | None
    tier: Tier
    score: float = 0.0
    """How well it answers a question, from 0 to 1; 0 if none was asked."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """What the score is made of, each from 0 to 1: text, meaning, recency, importance."""

    @classmethod
    def of(cls, record: MemoryRecord, value: Any, score: float = 0.0, parts: Mapping[str, float] | None = None) -> Memory:
        """Return what a record says."""
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
            score=score,
            parts=parts or {},
        )

    def valid(self, at: float) -> bool:
        """Whether it is, or was, true at a time."""
        return (self.valid_from is None or self.valid_from <= at) and (self.valid_until is None or at < self.valid_until)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a memory comes from, what came of it, and what was decided about it."""

    memory: Memory
    strength: float
    """How firmly it is held, from 0 to 1."""
    sources: tuple[Memory, ...]
    """Those of its sources that are still there."""
    missing: tuple[str, ...]
    """The ids of those that are not."""
    derived: tuple[Memory, ...]
    """What cites it."""
    decisions: tuple[MaintenanceDecision, ...]
    """Newest first."""
    consolidated: bool
    """Whether it was given to a consolidation; what is semantic always was."""


@dataclass(frozen=True, slots=True)
class AgentMemoryStatistics:
    """The memories of one agent at one moment, never half a change. EpisodeCounts are since its first handle was made."""

    agent: str
    episodes: int
    semantic: int
    max_episodes: int
    unconsolidated: int
    """Episodes that no consolidation was given yet; those in one that goes on count here."""
    remembered: int
    learnt: int
    """Semantic memories that were stored, by consolidations or by hand."""
    recalled: int
    """Questions that were answered."""
    forgotten: int
    """Memories that `forget` deleted."""
    cleaned: int
    """Episodes that had to make room."""
    expired: int
    """Episodes whose time to live was over, which had faded, or which were deleted from below."""
    warnings: int
    """How often the number of episodes has come up to the warning threshold."""
    consolidations: int
    automatic_consolidations: int
    failed_consolidations: int
    consolidated: int
    """Episodes that were given to them."""
    last_consolidation: float | None

    @property
    def usage(self) -> float:
        """Episodes as a part of what there may be."""
        return self.episodes / self.max_episodes
