"""The record of a memory, its tier, its kind, and the decisions about it."""

from __future__ import annotations

import enum

import msgspec


class Tier(enum.IntEnum):
    """The tier that a memory belongs to. The cache is not one: a cached memory belongs to one of these."""

    SHORT = 1
    """New memories, and memories in frequent use."""
    INTERMEDIATE = 2
    """Memories without recent use; compressed."""
    LONG = 3
    """Memories that are kept permanently."""


class MemoryKind(enum.StrEnum):
    """The kind of a memory."""

    VALUE = "value"
    """A value stored under a key."""
    EPISODE = "episode"
    """An event that happened to an agent."""
    SEMANTIC = "semantic"
    """A memory made from episodes, which it cites."""
    INTERNAL = "house"
    """Internal records such as grants and dictionaries. Searches and lists leave them out."""


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A statement that can be compared with others: a subject, a relation and an object."""

    subject: str
    relation: str
    object: str
    quotes: tuple[tuple[str, str], ...] = ()
    """The words that say it, each with the id of the memory that they are in."""
    many: bool | None = None
    """Whether the subject may have several objects of this relation at once. None: the words of the relation decide."""
    negated: bool = False
    """True: the statement does not hold any more."""
    replaces: tuple[str, ...] = ()
    """The ids of the facts whose validity it ended; the memory cites them."""


class MemoryRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One memory with all its fields. Immutable; a change is a new record with a greater version.

    Times are wall times in seconds since 1970, on the clock of the `TieredMemory`.
    """

    id: str
    """Permanent. A key that is stored again keeps its id."""
    key: str
    version: int
    """Increases with every change over all memories; the greater version is the newer."""
    value: bytes
    """The value, as MessagePack."""
    agent: str = ""
    """The owner; empty if it has none."""
    kind: str = MemoryKind.VALUE
    importance: float = 0.5
    """From 0 to 1."""
    created: float = 0.0
    last_access: float = 0.0
    access_count: int = 0
    expires: float | None = None
    """When it expires; None if it does not."""
    tier: Tier = Tier.SHORT
    entered: float = 0.0
    """When it entered its tier."""
    text: str = ""
    """The words of the value, which a full-text search weighs in full."""
    context: str = ""
    """The words of the neighbours in time and the date, which a search weighs by half."""
    sources: tuple[str, ...] = ()
    """The ids of the memories that this one was made from."""
    valid_from: float | None = None
    """The start of its validity; None if unknown."""
    valid_until: float | None = None
    """The end of its validity; None if it is still valid."""
    model: str = ""
    """The embedding model that made the vector; empty without a vector."""
    vector: bytes = b""
    """The embedding of the text: little-endian 32-bit floats, of length 1."""
    fact: Fact | None = None
    """The statement that it makes, if it can be compared."""

    @property
    def dimension(self) -> int:
        """The dimension of the vector."""
        return len(self.vector) // 4

    def expired(self, now: float) -> bool:
        """Return whether the record has expired at `now`."""
        return self.expires is not None and self.expires <= now


class MaintenanceAction(enum.StrEnum):
    """The action that maintenance or a user took on a memory."""

    PROMOTED = "promoted"
    """It moved towards the long-term tier."""
    DEMOTED = "demoted"
    """It moved back towards the short-term tier, because it is in use again."""
    KEPT = "kept"
    """It stays in its tier for another period."""
    EXPIRED = "expired"
    """Its time to live was over, or its strength was too low; it was deleted."""
    FORGOTTEN = "forgotten"
    """Its owner, or an eviction on the owner's behalf, deleted it."""


class MaintenanceDecision(msgspec.Struct, frozen=True):
    """One recorded decision about one memory."""

    time: float
    id: str
    key: str
    agent: str
    action: MaintenanceAction
    source: Tier
    """The tier before."""
    target: Tier | None
    """The tier afterwards; None if the memory was deleted."""
    reason: str
