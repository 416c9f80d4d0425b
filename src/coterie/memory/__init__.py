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
    Hit,
    Put,
    Search,
    Touch,
    Vector,
)
from coterie.memory.mind import (
    AgentMemory,
    Alert,
    CleanUp,
    Consolidation,
    Explanation,
    Insight,
    Memory,
    MemoryMonitor,
    MindStatistics,
    SharedMemory,
    Snapshot,
    Summariser,
    extract,
)
from coterie.memory.record import Action, Decision, Kind, Record, Tier
from coterie.memory.retrieval.embedding import CachedEmbedder, Embedder, LocalEmbedder, OpenAIEmbedder
from coterie.memory.retrieval.ranking import Weights
from coterie.memory.tiered import TieredMemory
from coterie.memory.tiers.metrics import MaintenanceReport, MemoryMetrics, TierMetrics
from coterie.memory.writing.waiting import Urgency

__all__ = [
    "Action",
    "AdaptiveCache",
    "AgentMemory",
    "Alert",
    "Archive",
    "Backend",
    "CacheStatistics",
    "CachedEmbedder",
    "CleanUp",
    "CompressionStatistics",
    "Consolidation",
    "Decision",
    "Delete",
    "Embedder",
    "Explanation",
    "Hit",
    "InProcessArchive",
    "InProcessBackend",
    "Insight",
    "Kind",
    "LocalEmbedder",
    "MaintenanceReport",
    "Memory",
    "MemoryConfig",
    "MemoryMetrics",
    "MemoryMonitor",
    "MindStatistics",
    "OpenAIEmbedder",
    "PostgresArchive",
    "Put",
    "Record",
    "RedisBackend",
    "Search",
    "SharedMemory",
    "Snapshot",
    "SqliteArchive",
    "SqliteBackend",
    "Summariser",
    "Tier",
    "TierMetrics",
    "TieredMemory",
    "Touch",
    "Urgency",
    "Vector",
    "Weights",
    "extract",
]
