"""Tiers in the memory of this process, which end with it."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from msgspec.structs import replace

from coterie.concurrency import Rank, new_lock
from coterie.memory.backends.full_text import BUDGET, hits_of
from coterie.memory.backends.text_index import TextIndex
from coterie.memory.contract import ArchiveChange, Change, Delete, Put, RecordFilter, SearchHit, SearchQuery, Touch, Vector
from coterie.memory.record import MaintenanceDecision, MemoryKind, MemoryRecord, Tier
from coterie.memory.text.ranking import MOST_TOTAL, Document, QuestionTerms

_MAX_DECISIONS = 10_000


class InProcessBackend:
    """Stores the records of a tier in dictionaries. Safe from many threads; `_lock` guards all tables."""

    persistent = False

    def __init__(self) -> None:
        self._lock = new_lock(Rank.BACKEND)
        self._records: dict[str, MemoryRecord] = {}
        self._times: dict[str, list[tuple[float, int, str]]] = {}
        """The creation times of each agent's records, sorted."""

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Apply the changes in order, and return for each whether it was applied."""
        with self._lock:
            if len(changes) == 1:
                change = changes[0]
                return [self._put(change) if isinstance(change, Put) else self._delete(change)]
            return [self._put(each) if isinstance(each, Put) else self._delete(each) for each in changes]

    def get(self, keys: Sequence[str]) -> dict[str, MemoryRecord]:
        """Return the records that exist under those keys."""
        records = self._records
        if len(keys) == 1 and keys[0] not in records:
            # The result of most reads below the cache.
            return {}
        return {key: record for key in keys if (record := records.get(key)) is not None}

    def scan(self, after: str = "", limit: int = 1_000) -> list[MemoryRecord]:
        """Return records in the order of their keys."""
        with self._lock:
            keys = heapq.nsmallest(limit, (key for key in self._records if key > after))
            return [self._records[key] for key in keys]

    def recent(self, which: RecordFilter, limit: int) -> list[MemoryRecord]:
        """Return the newest records, newest first."""
        with self._lock:
            names = dict.fromkeys(which.agents or self._times)
            lines = [self._backwards(self._times[name], which.after, which.before) for name in names if name in self._times]
            records = (self._records[key] for _, _, key in heapq.merge(*lines, reverse=True))
            return list(
                islice((record for record in records if which.names_kind_of(record) and which.names_fields_of(record)), limit)
            )

    def count(self) -> int:
        """Return the number of records."""
        return len(self._records)

    def close(self) -> None:
        """Delete everything."""
        with self._lock:
            self._records.clear()
            self._times.clear()

    def _put(self, change: Put) -> bool:
        record = change.record
        key = record.key
        there = self._records.get(key)
        if there is None:
            if change.expected:
                return False
            self._note_time(record)
        else:
            if there.version > record.version if change.expected is None else there.version != change.expected:
                return False
            if (there.agent, there.created, there.version) != (record.agent, record.created, record.version):
                self._forget_time(there)
                self._note_time(record)
        self._records[key] = record
        return True

    def _note_time(self, record: MemoryRecord) -> None:
        moment = (record.created, record.version, record.key)
        times = self._times.get(record.agent)
        if times is None:
            self._times[record.agent] = [moment]
        elif moment < times[-1]:
            insort(times, moment)
        else:
            times.append(moment)

    def _delete(self, change: Delete) -> bool:
        there = self._records.get(change.key)
        if there is None:
            return True
        if there.version > change.version:
            return False
        self._forget_time(there)
        del self._records[change.key]
        return True

    def _forget_time(self, record: MemoryRecord) -> None:
        times = self._times[record.agent]
        del times[bisect_left(times, (record.created, record.version, record.key))]
        if not times:
            del self._times[record.agent]

    @staticmethod
    def _backwards(
        times: list[tuple[float, int, str]], after: float | None, before: float | None
    ) -> Iterator[tuple[float, int, str]]:
        first = 0 if after is None else bisect_left(times, (after,))
        last = len(times) if before is None else bisect_left(times, (before,))
        return (times[place] for place in range(last - 1, first - 1, -1))


class InProcessArchive(InProcessBackend):
    """Stores every memory in process, with a full-text index for each agent."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: dict[str, TextIndex] = {}
        self._vectors: dict[tuple[str, str], list[tuple[int, str]]] = {}
        self._citing: dict[tuple[str, str], set[str]] = {}
        self._decisions: deque[MaintenanceDecision] = deque(maxlen=_MAX_DECISIONS)
        self._newest = 0

    def write(self, changes: Sequence[ArchiveChange]) -> list[bool]:
        """Apply the changes in order and atomically, and return for each whether it was applied."""
        with self._lock:
            return [self._apply(each) for each in changes]

    def erase(self, keys: Sequence[str], agent: str | None) -> bool:
        """Delete the decisions about memories that are deleted. Return False: there is no file."""
        gone = set(keys)
        with self._lock:
            left = [each for each in self._decisions if each.key not in gone and (agent is None or each.agent != agent)]
            self._decisions.clear()
            self._decisions.extend(left)
        return False

    def search(self, query: SearchQuery) -> list[SearchHit]:
        """Return the best matching records, best first."""
        question = QuestionTerms(query.words, query.languages)
        with self._lock:
            names = dict.fromkeys(query.agents or self._texts)
            indexes = [self._texts[name] for name in names if name in self._texts]
            counts = [index.count(question) for index in indexes]
            frequencies = [min(sum(column), BUDGET) for column in zip(*counts, strict=True)]
            found: list[tuple[MemoryRecord, Document]] = []
            for index, count in zip(indexes, counts, strict=True):
                best = index.candidates(question, count, query.limit, lambda key: query.is_met_by(self._records[key]))
                found += ((self._records[key], document) for key, document in best)
            total = sum(len(self._times.get(name, ())) for name in names)
            return hits_of(question, found, frequencies, min(total, MOST_TOTAL), query.limit)

    def do_deferred_work(self) -> bool:
        """Return False: no work is deferred."""
        return False

    def due(
        self, tier: Tier, entered_before: float, after: tuple[float, str] = (float("-inf"), ""), limit: int = 1_000
    ) -> list[MemoryRecord]:
        """Return records that entered a tier before a time."""
        found = (
            record
            for record in list(self._records.values())
            if record.tier == tier and record.entered < entered_before and record.kind != MemoryKind.INTERNAL
        )
        return heapq.nsmallest(
            limit,
            (record for record in found if (record.entered, record.key) > after),
            key=lambda record: (record.entered, record.key),
        )

    def expired(self, now: float, after: tuple[float, str] = (float("-inf"), ""), limit: int = 1_000) -> list[MemoryRecord]:
        """Return records that expire at `now` or before."""
        found = [
            (record.expires, record.key)
            for record in list(self._records.values())
            if record.expires is not None and record.expires <= now and (record.expires, record.key) > after
        ]
        records = self.get([key for _, key in heapq.nsmallest(limit, found)])
        return list(records.values())

    def citing(self, agent: str, id: str) -> list[MemoryRecord]:  # noqa: A002 - the field's own name
        """Return the records of `agent` whose sources contain that id, oldest first."""
        with self._lock:
            records = [self._records[key] for key in self._citing.get((agent, id), ())]
        return sorted(records, key=lambda record: (record.created, record.version))

    def vectors(self, agent: str, model: str, after: int = 0, limit: int = 10_000) -> list[Vector]:
        """Return the vectors of an agent's records made by one model, by version."""
        with self._lock:
            versions = self._vectors.get((agent, model), [])
            first = bisect_left(versions, (after + 1, ""))
            found = [(version, self._records[key]) for version, key in versions[first : first + limit]]
        return [Vector(record.key, version, record.vector) for version, record in found]

    def tally(self, agent: str | None = None) -> Mapping[tuple[Tier, str], int]:
        """Return the number of records by tier and kind."""
        records = list(self._records.values())
        return Counter((each.tier, str(each.kind)) for each in records if agent is None or each.agent == agent)

    def newest(self) -> int:
        """Return the greatest version ever written."""
        return self._newest

    def decisions(self, key: str | None = None, limit: int = 100) -> list[MaintenanceDecision]:
        """Return the newest decisions, newest first."""
        with self._lock:
            backwards = reversed(self._decisions)
            return list(islice((each for each in backwards if key is None or each.key == key), limit))

    def _apply(self, change: ArchiveChange) -> bool:
        if isinstance(change, Touch):
            return self._touch(change)
        before = self._records.get(change.key if isinstance(change, Delete) else change.record.key)
        done = self._put(change) if isinstance(change, Put) else self._delete(change)
        if done:
            if change.note is not None:
                self._decisions.append(change.note)
            if before is not None:
                self._unlist(before)
            if isinstance(change, Put):
                self._list(change.record, before)
            elif before is not None and before.kind != MemoryKind.INTERNAL:
                self._texts[before.agent].discard(before.key)
        return done

    def _touch(self, change: Touch) -> bool:
        there = self._records.get(change.key)
        if there is None:
            return False
        self._records[change.key] = touched(there, change.count, change.last_access)
        return True

    def _list(self, record: MemoryRecord, before: MemoryRecord | None) -> None:
        self._newest = max(self._newest, record.version)
        for source in record.sources:
            self._citing.setdefault((record.agent, source), set()).add(record.key)
        if record.model:
            insort(self._vectors.setdefault((record.agent, record.model), []), (record.version, record.key))
        if (
            before is not None
            and before.kind != MemoryKind.INTERNAL
            and (before.agent != record.agent or record.kind == MemoryKind.INTERNAL)
        ):
            self._texts[before.agent].discard(before.key)
        if record.kind == MemoryKind.INTERNAL:
            return
        same = before is not None and (before.agent, before.text, before.context) == (record.agent, record.text, record.context)
        if not same or before is None or before.kind == MemoryKind.INTERNAL:
            self._texts.setdefault(record.agent, TextIndex()).add(record.key, record.text, record.context)

    def _unlist(self, record: MemoryRecord) -> None:
        for source in record.sources:
            self._citing[record.agent, source].discard(record.key)
            if not self._citing[record.agent, source]:
                del self._citing[record.agent, source]
        if record.model:
            versions = self._vectors[record.agent, record.model]
            del versions[bisect_left(versions, (record.version, record.key))]


def touched(record: MemoryRecord, count: int, last_access: float) -> MemoryRecord:
    """Return a record with `count` more reads."""
    return replace(record, access_count=record.access_count + count, last_access=max(record.last_access, last_access))
