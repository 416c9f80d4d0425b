"""What a memory is: the record, its tier, and the decisions that were made about it."""

from __future__ import annotations

import enum

import msgspec


class Tier(enum.IntEnum):
    """Where a memory is at home. The cache is not a home: what is in it is in one of the others too."""

    SHORT = 1
    """What is new, or much in use."""
    INTERMEDIATE = 2
    """What has been quiet for a while; compressed."""
    LONG = 3
    """What is kept for good."""


class MemoryKind(enum.StrEnum):
    """What a memory is to its owner."""

    VALUE = "value"
    """Something stored under a key."""
    EPISODE = "episode"
    """Something that happened to an agent."""
    SEMANTIC = "semantic"
    """Something that was made of episodes, and cites them."""
    INTERNAL = "house"
    """The house's own notes: grants, dictionaries. Never found by a search, and in no list."""


class MemoryRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One memory, and all that is known about it. Immutable; a change is a new record with a greater version.

    Times are wall times in seconds since 1970, on the clock of the `TieredMemory`.
    """

    id: str
    """Its name for life. A key that is stored anew keeps its id."""
    key: str
    version: int
    """Grows with every change, over all memories; the greater version is the newer."""
    value: bytes
    """The value, as MessagePack."""
    agent: str = ""
    """Whose it is; empty if nobody's."""
    kind: str = MemoryKind.VALUE
    importance: float = 0.5
    """From 0 to 1."""
    created: float = 0.0
    last_access: float = 0.0
    access_count: int = 0
    expires: float | None = None
    """From when on it is not there any more; None if it stays."""
    tier: Tier = Tier.SHORT
    entered: float = 0.0
    """When it came into its tier."""
    text: str = ""
    """What a full-text search looks at first: the words of the value itself."""
    context: str = ""
    """What it looks at next: the words of the neighbours in time, and the date."""
    sources: tuple[str, ...] = ()
    """The ids of the memories that this one was made of."""
    valid_from: float | None = None
    """Since when it is true; None if that is not known."""
    valid_until: float | None = None
    """Until when it is true; None if it still is."""
    model: str = ""
    """The embedding model that made the vector; empty if there is none."""
    vector: bytes = b""
    """The meaning of the text as little-endian 32-bit floats, of length 1."""

    @property
    def dimension(self) -> int:
        """How many numbers the vector has."""
        return len(self.vector) // 4

    def expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now


class MaintenanceAction(enum.StrEnum):
    """What was decided about a memory whose time in its tier was up, or that was in the way."""

    PROMOTED = "promoted"
    """It moved towards the long-term tier."""
    DEMOTED = "demoted"
    """It was brought back towards the short-term tier, because it is in use again."""
    KEPT = "kept"
    """It stays where it is for another while."""
    EXPIRED = "expired"
    """Its time to live was over, or it had faded; it was deleted."""
    FORGOTTEN = "forgotten"
    """Its owner, or a clean-up in the owner's name, had it deleted."""


class MaintenanceDecision(msgspec.Struct, frozen=True):
    """One decision about one memory, as it is recorded."""

    time: float
    id: str
    key: str
    agent: str
    action: MaintenanceAction
    source: Tier
    """The tier that it was in."""
    target: Tier | None
    """The tier that it is in now; None if it is gone."""
    reason: str
