"""The memory of one agent: episodes, and semantic memories made from them."""

from coterie.memory.mind.agent_memory import AgentMemory
from coterie.memory.mind.consolidation import Consolidation, Insight, Summariser, extractive_summary
from coterie.memory.mind.eviction import EvictionPolicy
from coterie.memory.mind.items import AgentMemoryStatistics, Explanation, Memory
from coterie.memory.mind.monitor import Alert, MemoryMonitor, MemorySample
from coterie.memory.mind.sharing import SharedMemory

__all__ = [
    "AgentMemory",
    "AgentMemoryStatistics",
    "Alert",
    "Consolidation",
    "EvictionPolicy",
    "Explanation",
    "Insight",
    "Memory",
    "MemoryMonitor",
    "MemorySample",
    "SharedMemory",
    "Summariser",
    "extractive_summary",
]
