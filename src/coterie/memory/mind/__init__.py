"""What one agent remembers: episodes, and the meanings that are made of them."""

from coterie.memory.mind.agent_memory import AgentMemory
from coterie.memory.mind.cleaning import CleanUp
from coterie.memory.mind.consolidation import Consolidation
from coterie.memory.mind.items import Explanation, Memory, MindStatistics
from coterie.memory.mind.monitor import Alert, MemoryMonitor, Snapshot
from coterie.memory.mind.sharing import SharedMemory
from coterie.memory.mind.summary import Insight, Summariser, extract

__all__ = [
    "AgentMemory",
    "Alert",
    "CleanUp",
    "Consolidation",
    "Explanation",
    "Insight",
    "Memory",
    "MemoryMonitor",
    "MindStatistics",
    "SharedMemory",
    "Snapshot",
    "Summariser",
    "extract",
]
