"""Memory of agents: four tiers of storage, with episodic and semantic memory above them.

A memory can be read as soon as `store` returns, and survives a crash once it is durable. Its tier changes the cost of storing
and reading it, never whether it is found. Everything is safe from many threads. This room knows agents only by name. Backends
store records, an embedder makes vectors, a summariser makes insights; you can supply all three.
"""

from coterie.memory.backends import (
    InProcessArchive,
    InProcessBackend,
    PostgresArchive,
    RedisBackend,
    SqliteArchive,
    SqliteBackend,
)
from coterie.memory.cache import AdaptiveCache, CacheStatistics
from coterie.memory.compression import CompressionStatistics
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
from coterie.memory.mind import (
    AgentMemory,
    AgentMemoryStatistics,
    Alert,
    Consolidation,
    EvictionPolicy,
    Explanation,
    Insight,
    Memory,
    MemoryMonitor,
    MemorySample,
    SharedMemory,
    Summariser,
    extractive_summary,
)
from coterie.memory.mind.recall import Weights
from coterie.memory.record import MaintenanceAction, MaintenanceDecision, MemoryKind, MemoryRecord, Tier
from coterie.memory.retrieval.embedding import CachedEmbedder, Embedder, LocalEmbedder, OpenAIEmbedder
from coterie.memory.tiered import TieredMemory
from coterie.memory.tiers.metrics import MaintenanceReport, MemoryMetrics, TierMetrics
from coterie.memory.writing.pending import MemoryPriority

__all__ = [
    "AdaptiveCache",
    "AgentMemory",
    "AgentMemoryStatistics",
    "Alert",
    "Archive",
    "Backend",
    "CacheStatistics",
    "CachedEmbedder",
    "CompressionStatistics",
    "Consolidation",
    "Delete",
    "Embedder",
    "EvictionPolicy",
    "Explanation",
    "InProcessArchive",
    "InProcessBackend",
    "Insight",
    "LocalEmbedder",
    "MaintenanceAction",
    "MaintenanceDecision",
    "MaintenanceReport",
    "Memory",
    "MemoryConfig",
    "MemoryKind",
    "MemoryMetrics",
    "MemoryMonitor",
    "MemoryPriority",
    "MemoryRecord",
    "MemorySample",
    "OpenAIEmbedder",
    "PostgresArchive",
    "Put",
    "RedisBackend",
    "SearchHit",
    "SearchQuery",
    "SharedMemory",
    "SqliteArchive",
    "SqliteBackend",
    "Summariser",
    "Tier",
    "TierMetrics",
    "TieredMemory",
    "Touch",
    "Vector",
    "Weights",
    "extractive_summary",
]
