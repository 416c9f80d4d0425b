"""What agents remember: four tiers of storage, and episodes and meanings above them.

A memory is acknowledged when `store` returns, and from then on found; it is safe from a crash once it is durable. Which
tier it is in changes what it costs to keep and to read, never whether it is found. Everything is safe from many threads.
This room knows nothing of agents but their names. Where a memory is kept is a backend's business, what it means an
embedder's, and what many of them say together a summariser's; all three can be given.
"""

from coterie.memory.backends import InProcessArchive, InProcessBackend
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

__all__ = [
    "Action",
    "Archive",
    "Backend",
    "Decision",
    "Delete",
    "Hit",
    "InProcessArchive",
    "InProcessBackend",
    "Kind",
    "Put",
    "Record",
    "Search",
    "Tier",
    "Touch",
    "Vector",
]
