"""What agents remember: four tiers of storage, and episodes and meanings above them.

A memory is acknowledged when `store` returns, and from then on found; it is safe from a crash once it is durable. Which
tier it is in changes what it costs to keep and to read, never whether it is found. Everything is safe from many threads.
This room knows nothing of agents but their names. Where a memory is kept is a backend's business, what it means an
embedder's, and what many of them say together a summariser's; all three can be given.
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
from coterie.memory.record import MaintenanceAction, MaintenanceDecision, MemoryKind, MemoryRecord, Tier
from coterie.memory.retrieval.embedding import CachedEmbedder, Embedder, LocalEmbedder, OpenAIEmbedder
from coterie.memory.retrieval.ranking import Weights
from coterie.memory.tiered import TieredMemory
from coterie.memory.tiers.metrics import MaintenanceReport, MemoryMetrics, TierMetrics
from coterie.memory.writing.waiting import MemoryPriority

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
