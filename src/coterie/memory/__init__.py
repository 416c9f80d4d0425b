"""Memory of agents: four tiers of storage, with episodic and semantic memory above them.

A memory can be read as soon as `store` returns, and survives a crash once it is durable. Its tier changes the cost of storing
and reading it, never whether it is found. Everything is safe from many threads. This room knows agents only by name. Backends
store records, an embedder makes vectors, a summariser makes insights; you can supply all three.
"""

from coterie.memory.backends.in_process import InProcessArchive, InProcessBackend
from coterie.memory.backends.opening import PostgresArchive, SqliteArchive, SqliteBackend
from coterie.memory.backends.redis import RedisBackend
from coterie.memory.config import MemoryConfig
from coterie.memory.contract import (
    Archive,
    Backend,
    Delete,
    Put,
    SearchHit,
    SearchQuery,
    Touch,
    Vector,
)
from coterie.memory.mind.agent_memory import AgentMemory
from coterie.memory.mind.consolidation import Insight, Summariser, extractive_summary
from coterie.memory.mind.eviction import EvictionPolicy
from coterie.memory.mind.items import AgentMemoryStatistics, Memory
from coterie.memory.mind.monitor import Alert, MemoryMonitor
from coterie.memory.mind.recall import Weights
from coterie.memory.record import MaintenanceAction, MaintenanceDecision, MemoryKind, MemoryRecord, Tier
from coterie.memory.retrieval.embedding import Embedder, LocalEmbedder, OpenAIEmbedder
from coterie.memory.tiered import TieredMemory
from coterie.memory.writing.pending import MemoryPriority

__all__ = [
    "AgentMemory",
    "AgentMemoryStatistics",
    "Alert",
    "Archive",
    "Backend",
    "Delete",
    "Embedder",
    "EvictionPolicy",
    "InProcessArchive",
    "InProcessBackend",
    "Insight",
    "LocalEmbedder",
    "MaintenanceAction",
    "MaintenanceDecision",
    "Memory",
    "MemoryConfig",
    "MemoryKind",
    "MemoryMonitor",
    "MemoryPriority",
    "MemoryRecord",
    "OpenAIEmbedder",
    "PostgresArchive",
    "Put",
    "RedisBackend",
    "SearchHit",
    "SearchQuery",
    "SqliteArchive",
    "SqliteBackend",
    "Summariser",
    "Tier",
    "TieredMemory",
    "Touch",
    "Vector",
    "Weights",
    "extractive_summary",
]
