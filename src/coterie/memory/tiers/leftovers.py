"""Reads while the archive is unavailable."""

from __future__ import annotations

from collections.abc import Sequence

from coterie.errors import TierUnavailable
from coterie.memory.backends.text_index import TextIndex
from coterie.memory.contract import SearchHit, SearchQuery
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.tiers.working import WorkingTier
from coterie.memory.writing.write_behind import WriteBehindQueue

_MAX = 5_000
"""The maximum of memories in a search without the archive."""


class FallbackReader:
    """Reads the available working tiers and the queue of unwritten changes. Safe from many threads."""

    def __init__(self, working: Sequence[WorkingTier], queue: WriteBehindQueue) -> None:
        self._working = working
        self._queue = queue

    def recent(
        self,
        agents: Sequence[str],
        limit: int,
        *,
        kinds: Sequence[str] = (),
        after: float | None = None,
        before: float | None = None,
    ) -> list[MemoryRecord]:
        """Return the newest available memories, newest first."""
        newest: dict[str, MemoryRecord] = {}
        for working in self._working:
            try:
                found = working.access.read(
                    lambda tier=working: tier.backend.recent(agents, limit, kinds=kinds, after=after, before=before)  # type: ignore[misc]
                )
            except TierUnavailable:
                continue
            for record in found:
                newest.setdefault(record.key, record)
        for record in self._queue.pending_records():
            fits = (not agents or record.agent in agents) and (
                record.kind in kinds if kinds else record.kind != MemoryKind.INTERNAL
            )
            if fits and (after is None or record.created >= after) and (before is None or record.created < before):
                newest[record.key] = record
        return sorted(newest.values(), key=lambda record: (record.created, record.version), reverse=True)[:limit]

    def search(self, query: SearchQuery) -> list[SearchHit]:
        """Return the best matches among the newest available memories, best first."""
        records = {
            record.key: record
            for record in self.recent(query.agents, _MAX, kinds=query.kinds, after=query.after, before=query.before)
        }
        index = TextIndex()
        for key, record in records.items():
            index.add(key, record.text, record.context)
        return [SearchHit(records[key], score) for score, key in index.search(query.words, query.limit, lambda _: True)]
