"""What a tier is kept in: the contract of the backends, as small as it can be.

A `Backend` can be any of the tiers but the last. An `Archive` can be the last as well: it holds every memory, whatever
tier it is at home in, and so it can search them, tell whose time is up, and keep what was decided.

All methods block, are safe from many threads, and know no clock: what has expired is still there until it is deleted.
A backend whose server or file cannot be reached now raises `TierUnavailable`; the memory above reads what is left and
writes later. Anything else that a backend raises is a fault of it or of its data, and is not tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from coterie.memory.record import MaintenanceDecision, MemoryRecord, Tier


class Put(msgspec.Struct, frozen=True, gc=False):
    """Keep a record under its key, in place of what is there.

    Without `expected` it is done unless a record with a greater version is there. With it, only if what is there has
    exactly that version; 0 means that nothing may be there.
    """

    record: MemoryRecord
    expected: int | None = None
    note: MaintenanceDecision | None = None
    """A decision that an archive keeps if this is done, in the same transaction."""


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Delete what is under a key, unless its version is greater than `version`. Done if nothing is there afterwards."""

    key: str
    version: int
    note: MaintenanceDecision | None = None
    """A decision that an archive keeps if this is done, in the same transaction."""


class Touch(msgspec.Struct, frozen=True, gc=False):
    """Note that a record was read: add to its access count, and raise its last access. The version stays."""

    key: str
    count: int
    last_access: float


Change: TypeAlias = Put | Delete
ArchiveChange: TypeAlias = Put | Delete | Touch


class SearchQuery(msgspec.Struct, frozen=True):
    """A full-text search, prepared: see `coterie.memory.retrieval.words`."""

    words: tuple[str, ...]
    """Words in lower case, at least one, each once, without stop words, capped in number. Not stemmed; the archive stems
    them, by Porter's algorithm or what its server has. A record matches if it has any of them."""
    agents: tuple[str, ...] = ()
    """Whose memories; empty means everybody's."""
    kinds: tuple[str, ...] = ()
    """Which kinds; empty means all but `MemoryKind.INTERNAL`."""
    after: float | None = None
    """Created at this time or later."""
    before: float | None = None
    """Created before this time."""
    limit: int = 100


class SearchHit(msgspec.Struct, frozen=True):
    """A record that matched, and how well."""

    record: MemoryRecord
    score: float
    """Above 0; greater is better. Comparable within one answer only."""


class Vector(msgspec.Struct, frozen=True, gc=False):
    """The vector of one record."""

    key: str
    version: int
    vector: bytes


class Backend(Protocol):
    """Keeps records by key. What the short-term and the intermediate tier need."""

    @property
    def persistent(self) -> bool:
        """Whether what is in it outlives this process."""
        ...

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Do the changes in their order, and return for each whether it was done.

        Later changes see earlier ones. When it returns the changes are as safe as they get here.
        """
        ...

    def get(self, keys: Sequence[str]) -> dict[str, MemoryRecord]:
        """Return the records of those keys that are there."""
        ...

    def scan(self, after: str = "", limit: int = 1_000) -> list[MemoryRecord]:
        """Return up to `limit` records, in the order of their keys' code points, from the first beyond `after` on.

        An empty list means that there are no more.
        """
        ...

    def recent(
        self,
        agents: Sequence[str],
        limit: int,
        *,
        kinds: Sequence[str] = (),
        after: float | None = None,
        before: float | None = None,
    ) -> list[MemoryRecord]:
        """Return the newest records by (created, version), newest first.

        `agents` and `kinds` are as in `SearchQuery`; created at `after` or later, and before `before`.
        """
        ...

    def count(self) -> int:
        """Return how many records there are."""
        ...

    def close(self) -> None:
        """Let go of everything. Twice is no error."""
        ...


@runtime_checkable
class Archive(Backend, Protocol):
    """Keeps every memory, and what was decided about it. What the long-term tier needs besides.

    `write` takes `Touch` too, and does all of its changes or, when it raises, none of them. A touch is done if the record
    is there.
    """

    def write(self, changes: Sequence[ArchiveChange]) -> list[bool]:
        """Do the changes in their order and in one transaction, and return for each whether it was done."""
        ...

    def search(self, query: SearchQuery) -> list[SearchHit]:
        """Return the records that match best, best first; among equals the newer first.

        The words of `text` count in full, those of `context` by half. What was written before the search is found,
        however lazily the index is kept. Where the words are many or common the rarest decide, so that the answer
        comes in a few milliseconds from a hundred thousand records.
        """
        ...

    def rest(self) -> bool:
        """Do a little of what was put off, such as indexing, and return whether there is more. Called while nothing is written.

        Should take a few milliseconds: whoever writes meanwhile waits for it.
        """
        ...

    def due(
        self, tier: Tier, entered_before: float, after: tuple[float, str] = (float("-inf"), ""), limit: int = 1_000
    ) -> list[MemoryRecord]:
        """Return records of a tier that came into it before a time, by (entered, key), from the first beyond `after` on.

        Those of `MemoryKind.INTERNAL` are left out.
        """
        ...

    def expired(self, now: float, after: tuple[float, str] = (float("-inf"), ""), limit: int = 1_000) -> list[MemoryRecord]:
        """Return records that expire at `now` or before, by (expires, key), from the first beyond `after` on."""
        ...

    def citing(self, agent: str, id: str) -> list[MemoryRecord]:  # noqa: A002 - the field's own name
        """Return the records of `agent` whose sources hold that id, oldest first."""
        ...

    def vectors(self, agent: str, model: str, after: int = 0, limit: int = 10_000) -> list[Vector]:
        """Return vectors that a model made for an agent's records, by version, from the first beyond `after` on."""
        ...

    def tally(self, agent: str | None = None) -> Mapping[tuple[Tier, str], int]:
        """Return how many records there are by tier and kind; of one agent, or of all."""
        ...

    def newest(self) -> int:
        """Return the greatest version that was ever written, or a greater number; 0 if nothing ever was."""
        ...

    def decisions(self, key: str | None = None, limit: int = 100) -> list[MaintenanceDecision]:
        """Return the newest decisions, newest first; about one key, or about all. Very old ones may be gone."""
        ...
