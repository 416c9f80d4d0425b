"""The contract of the backends that store tiers, as small as possible.

A `Backend` can store any tier but the long-term one. An `Archive` can store that too: it holds every memory, whatever its tier,
so that it can search them, list those that are due, and store the decisions.

All methods block, are safe from many threads, and use no clock: an expired record exists until it is deleted. A backend raises
`TierUnavailable` if its server or file cannot be reached now; the store then reads from the other tiers and writes later. Any
other exception is a fault of the backend or its data, and is not retried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from coterie.memory.fields import FieldTest, fields_of
from coterie.memory.record import MaintenanceDecision, MemoryKind, MemoryRecord, Tier


class Put(msgspec.Struct, frozen=True, gc=False):
    """Store a record under its key, in place of an existing one.

    Without `expected`, apply it unless a record with a greater version exists. With `expected`, apply it only if the existing
    record has exactly that version; 0 means that no record may exist.
    """

    record: MemoryRecord
    expected: int | None = None
    note: MaintenanceDecision | None = None
    """A decision that an archive stores in the same transaction if this change is applied."""


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Delete the record of a key unless its version is greater than `version`. Applied if no record exists afterwards."""

    key: str
    version: int
    note: MaintenanceDecision | None = None
    """A decision that an archive stores in the same transaction if this change is applied."""


class Touch(msgspec.Struct, frozen=True, gc=False):
    """Record reads: increase the access count, and raise the time of the last access. The version stays."""

    key: str
    count: int
    last_access: float


Change: TypeAlias = Put | Delete
ArchiveChange: TypeAlias = Put | Delete | Touch


class RecordFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The records to read: their owners, kinds, times and fields."""

    agents: tuple[str, ...] = ()
    """The owners; empty means all agents."""
    kinds: tuple[str, ...] = ()
    """The kinds; empty means all but `MemoryKind.INTERNAL`."""
    after: float | None = None
    """Created at this time or later."""
    before: float | None = None
    """Created before this time."""
    where: tuple[tuple[str, FieldTest], ...] = ()
    """Tests of fields of the value, by name: see `coterie.memory.fields`. All have to be met."""

    def is_met_by(self, record: MemoryRecord) -> bool:
        """Return whether a record has one of the owners and kinds, a time of creation in between, and such fields."""
        return (
            (not self.agents or record.agent in self.agents)
            and self.names_kind_of(record)
            and (self.after is None or record.created >= self.after)
            and (self.before is None or record.created < self.before)
            and self.names_fields_of(record)
        )

    def names_kind_of(self, record: MemoryRecord) -> bool:
        """Return whether a record has one of the kinds."""
        return record.kind in self.kinds if self.kinds else record.kind != MemoryKind.INTERNAL

    def names_fields_of(self, record: MemoryRecord) -> bool:
        """Return whether the value of a record passes all tests."""
        if not self.where:
            return True
        fields = fields_of(record.value)
        return all(name in fields and test.is_met_by(fields[name]) for name, test in self.where)


class SearchQuery(RecordFilter, frozen=True):
    """A prepared full-text search: see `coterie.memory.text.analysis`."""

    words: tuple[str, ...]
    """At least one word in lower case, each once, without function words, capped in number; of a script without spaces,
    n-grams. A record matches if its text or context contains a form of any of them."""
    limit: int = 100
    languages: tuple[str, ...] = ()
    """The languages of the words in Latin letters; empty if unknown."""


class SearchHit(msgspec.Struct, frozen=True):
    """A record that matched, and its score."""

    record: MemoryRecord
    score: float
    """Above 0; greater is better. Comparable only within one result."""
    coverage: float = 1.0
    """The part of the question's words that it has, weighed by their rarity; from 0 to 1."""


class Vector(msgspec.Struct, frozen=True, gc=False):
    """The vector of one record."""

    key: str
    version: int
    vector: bytes


class Backend(Protocol):
    """Stores records by key, for the short-term and the intermediate tier."""

    @property
    def persistent(self) -> bool:
        """True if the content outlives this process."""
        ...

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Apply the changes in order, and return for each whether it was applied.

        Later changes see earlier ones. On return the changes are as durable as this backend makes them.
        """
        ...

    def get(self, keys: Sequence[str]) -> dict[str, MemoryRecord]:
        """Return the records that exist under those keys."""
        ...

    def scan(self, after: str = "", limit: int = 1_000) -> list[MemoryRecord]:
        """Return up to `limit` records with keys after `after`, in the order of their keys' code points.

        An empty list means that there are no more.
        """
        ...

    def recent(self, which: RecordFilter, limit: int) -> list[MemoryRecord]:
        """Return the newest records by (created, version), newest first."""
        ...

    def count(self) -> int:
        """Return the number of records."""
        ...

    def close(self) -> None:
        """Release all resources. A second call does nothing."""
        ...


@runtime_checkable
class Archive(Backend, Protocol):
    """Stores every memory and the decisions about it, for the long-term tier.

    `write` accepts `Touch` too, and applies all changes or, when it raises, none. A touch is applied if the record exists.
    """

    def write(self, changes: Sequence[ArchiveChange]) -> list[bool]:
        """Apply the changes in order in one transaction, and return for each whether it was applied."""
        ...

    def search(self, query: SearchQuery) -> list[SearchHit]:
        """Return the best matching records, best first; among equal scores the newer first.

        Words of `text` count in full, those of `context` by half. A word matches in any case, form or accent: index the terms
        of `coterie.memory.text.analysis.terms_of`, search for those of `coterie.memory.text.ranking.QuestionTerms`, and let
        that rank the candidates. A search finds everything written before it, even if the archive indexes lazily. If the words
        are many or common, the rarest decide, so that a search of a hundred thousand records takes a few milliseconds.
        """
        ...

    def do_deferred_work(self) -> bool:
        """Do a little deferred work, such as indexing, and return whether there is more. Called while no writes arrive.

        It should take a few milliseconds, because writes wait for it meanwhile.
        """
        ...

    def due(
        self, tier: Tier, entered_before: float, after: tuple[float, str] = (float("-inf"), ""), limit: int = 1_000
    ) -> list[MemoryRecord]:
        """Return records that entered a tier before a time, by (entered, key), from the first after `after` on.

        Records of `MemoryKind.INTERNAL` are left out.
        """
        ...

    def expired(self, now: float, after: tuple[float, str] = (float("-inf"), ""), limit: int = 1_000) -> list[MemoryRecord]:
        """Return records that expire at `now` or before, by (expires, key), from the first after `after` on."""
        ...

    def citing(self, agent: str, id: str) -> list[MemoryRecord]:  # noqa: A002 - the field's own name
        """Return the records of `agent` whose sources contain that id, oldest first."""
        ...

    def vectors(self, agent: str, model: str, after: int = 0, limit: int = 10_000) -> list[Vector]:
        """Return the vectors of an agent's records made by one model, by version, from the first after `after` on."""
        ...

    def tally(self, agent: str | None = None) -> Mapping[tuple[Tier, str], int]:
        """Return the number of records by tier and kind, of one agent or of all."""
        ...

    def newest(self) -> int:
        """Return the greatest version ever written, or a greater number; 0 if none was."""
        ...

    def decisions(self, key: str | None = None, limit: int = 100) -> list[MaintenanceDecision]:
        """Return the newest decisions, newest first, about one key or all. Very old decisions may be deleted."""
        ...
