"""What agents remember: four tiers of storage, and episodes and meanings above them.

A memory is acknowledged when `store` returns, and from then on found; it is safe from a crash once it is durable. Which
tier it is in changes what it costs to keep and to read, never whether it is found. Everything is safe from many threads.
This room knows nothing of agents but their names. Where a memory is kept is a backend's business, what it means an
embedder's, and what many of them say together a summariser's; all three can be given.
"""

from coterie.memory.backends import InProcessArchive, InProcessBackend
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
from coterie.memory.record import Action, Decision, Kind, Record, Tier
from coterie.memory.tiered import TieredMemory
from coterie.memory.tiers.lane import Urgency
from coterie.memory.tiers.metrics import MaintenanceReport, MemoryMetrics, TierMetrics

__all__ = [
    "Action",
    "AdaptiveCache",
    "Archive",
    "Backend",
    "CacheStatistics",
    "CompressionStatistics",
    "Decision",
    "Delete",
    "Hit",
    "InProcessArchive",
    "InProcessBackend",
    "Kind",
    "MaintenanceReport",
    "MemoryConfig",
    "MemoryMetrics",
    "Put",
    "Record",
    "Search",
    "Tier",
    "TierMetrics",
    "TieredMemory",
    "Touch",
    "Urgency",
    "Vector",
]
