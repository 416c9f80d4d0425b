"""Memory of agents: four tiers of storage, with episodic and semantic memory above them.

A memory can be read as soon as `store` returns, and survives a crash once it is durable. Its tier changes the cost of storing
and reading it, never whether it is found. Everything is safe from many threads. This room knows agents only by name. Backends
store records, an embedder makes vectors, a summariser makes insights; you can supply all three.
"""

from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Archive, Backend, Delete, Put, RecordFilter, SearchHit, SearchQuery, Touch
from coterie.memory.embedding import Embedder, LocalEmbedder, OpenAIEmbedder
from coterie.memory.embeddings.styles import EmbeddingStyle
from coterie.memory.exposition import MemoryCollector
from coterie.memory.fields import any_of, at_least, at_most, has
from coterie.memory.mind.agent_memory import AgentMemory
from coterie.memory.mind.blocks import MemoryBlock, MemoryBlocks
from coterie.memory.mind.consolidation import Insight, Summariser
from coterie.memory.mind.erasure import ErasureReport, forget_person
from coterie.memory.mind.eviction import EvictionPolicy
from coterie.memory.mind.extraction import ModelExtractor
from coterie.memory.mind.facts import Extractor
from coterie.memory.mind.foreign import ImportReport, import_memories
from coterie.memory.mind.items import Memory, Neighbour
from coterie.memory.mind.monitor import Alert, MemoryMonitor
from coterie.memory.mind.recall import Weights
from coterie.memory.record import Fact, MemoryKind, MemoryRecord, Tier
from coterie.memory.tiered import TieredMemory

__all__ = [
    "AgentMemory",
    "Alert",
    "Archive",
    "Backend",
    "Delete",
    "Embedder",
    "EmbeddingStyle",
    "ErasureReport",
    "EvictionPolicy",
    "Extractor",
    "Fact",
    "ImportReport",
    "Insight",
    "LocalEmbedder",
    "Memory",
    "MemoryBlock",
    "MemoryBlocks",
    "MemoryCollector",
    "MemoryConfig",
    "MemoryKind",
    "MemoryMonitor",
    "MemoryRecord",
    "ModelExtractor",
    "Neighbour",
    "OpenAIEmbedder",
    "Put",
    "RecordFilter",
    "SearchHit",
    "SearchQuery",
    "Summariser",
    "Tier",
    "TieredMemory",
    "Touch",
    "Weights",
    "any_of",
    "at_least",
    "at_most",
    "forget_person",
    "has",
    "import_memories",
]
