"""Lists of memories: the newest, the matching, and their number, with or without the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from coterie.errors import TierUnavailable, WriteTimeout
from coterie.kernel import Clock
from coterie.memory.backends.text_index import TextIndex
from coterie.memory.contract import Archive, RecordFilter, SearchHit, SearchQuery
from coterie.memory.record import MemoryRecord, Tier
from coterie.memory.text.ranking import QuestionTerms
from coterie.memory.tiers.working import WorkingTier
from coterie.memory.writing.access import TierAccess
from coterie.memory.writing.write_behind import WriteBehindQueue

_MAX_SEARCHED = 5_000
"""The maximum of memories in a search without the archive."""


class FallbackReader:
    """Reads the available working tiers and the queue of unwritten changes. Safe from many threads."""

    def __init__(self, working: Sequence[WorkingTier], queue: WriteBehindQueue) -> None:
        self._working = working
        self._queue = queue

    def recent(self, which: RecordFilter, limit: int) -> list[MemoryRecord]:
        """Return the newest available memories, newest first."""
        newest: dict[str, MemoryRecord] = {}
        for working in self._working:
            try:
                found = working.access.read(
                    lambda tier=working: tier.backend.recent(which, limit)  # type: ignore[misc]
                )
            except TierUnavailable:
                continue
            for record in found:
                newest.setdefault(record.key, record)
        for record in self._queue.pending_records():
            if which.is_met_by(record):
                newest[record.key] = record
        return sorted(newest.values(), key=lambda record: (record.created, record.version), reverse=True)[:limit]

    def search(self, query: SearchQuery) -> list[SearchHit]:
        """Return the best matches among the newest available memories, best first."""
        records = {record.key: record for record in self.recent(query, _MAX_SEARCHED)}
        index = TextIndex()
        for key, record in records.items():
            index.add(key, record.text, record.context)
        found = index.search(QuestionTerms(query.words, query.languages), query.limit)
        return [SearchHit(records[key], score, coverage) for score, coverage, key in found]


_MARGIN = 16
"""The number of extra memories to read, because some may have expired."""


class Listing:
    """Queries the archive after it has received all pending writes. Safe from many threads."""

    def __init__(
        self,
        archive: Archive,
        access: TierAccess,
        queue: WriteBehindQueue,
        fallback: FallbackReader,
        clock: Clock,
        write_timeout: float,
    ) -> None:
        self._archive = archive
        self._access = access
        self._queue = queue
        self._fallback = fallback
        self._clock = clock
        self._write_timeout = write_timeout

    def recent(self, which: RecordFilter, limit: int, *, whole: bool = False) -> list[MemoryRecord]:
        """Return the newest memories, newest first.

        Reads only the available tiers if the archive is unavailable, or raises `TierUnavailable` if they must be `whole`.
        """
        now = self._clock.time()
        wanted = limit + _MARGIN
        while True:
            try:
                self.catch_up()
                found = self._access.read(
                    lambda most=wanted: self._archive.recent(which, most)  # type: ignore[misc]
                )
            except TierUnavailable:
                if whole:
                    raise
                found = self._fallback.recent(which, wanted)
            alive = [record for record in found if not record.expired(now)]
            if len(alive) >= limit or len(found) < wanted:
                return alive[:limit]
            wanted *= 4

    def search(self, query: SearchQuery) -> list[SearchHit]:
        """Return the best matches, best first; only from the available tiers if the archive is unavailable."""
        now = self._clock.time()
        if not query.words:
            return []
        wanted = query.limit + _MARGIN
        while True:
            more = replace(query, limit=wanted)
            try:
                self.catch_up()
                hits = self._access.read(lambda more=more: self._archive.search(more))  # type: ignore[misc]
            except TierUnavailable:
                hits = self._fallback.search(more)
            alive = [hit for hit in hits if not hit.record.expired(now)]
            if len(alive) >= query.limit or len(hits) < wanted:
                return alive[: query.limit]
            wanted *= 4

    def catch_up(self) -> None:
        """Wait until the archive has everything written before. Raises `TierUnavailable` if it is unavailable."""
        if len(self._queue):
            self._access.read(lambda: self._queue.flush(self._write_timeout, patient=False, touches=False))

    def tally(self) -> Mapping[tuple[Tier, str], int] | None:
        """Return the number of memories by tier and kind, or None if it is unknown now."""
        try:
            self.catch_up()
            return self._access.read(self._archive.tally)
        except (TierUnavailable, WriteTimeout):
            return None
