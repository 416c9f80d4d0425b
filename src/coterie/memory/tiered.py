"""The memory store for users."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from coterie.concurrency import AsyncContext, PeriodicJob, SwitchInterval, Timers
from coterie.errors import MemoryClosed
from coterie.kernel import Clock, Codec, check_number, clock_or_system
from coterie.memory.cache import CacheStatistics
from coterie.memory.checking import (
    check_agent,
    check_count,
    check_importance,
    check_key,
    check_kind,
    check_seconds,
    check_text,
    check_texts,
    check_time,
)
from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Archive, Backend, Delete, RecordFilter, SearchHit
from coterie.memory.ending import MemoryEnd
from coterie.memory.record import MaintenanceAction, MaintenanceDecision, MemoryKind, MemoryRecord, Tier
from coterie.memory.records import RecordStore
from coterie.memory.text.values import text_of
from coterie.memory.tiers.maintenance import Maintenance
from coterie.memory.tiers.metrics import MaintenanceReport, MemoryMetrics, measure_compression, measure_tiers
from coterie.memory.tiers.questions import filter_of, query_of
from coterie.memory.writing.pending import MemoryPriority
from coterie.memory.writing.workers import MemorySizing, PriorityWorkers

T = TypeVar("T")

_SWITCH_AFTER = 0.0005
"""The switch interval of the interpreter in seconds, the same as that of a runtime."""

_IMMUTABLE = (str, int, float, bool, bytes, type(None))
_VALUE = str(MemoryKind.VALUE)
_SHORT = 100
"""The length up to which a name needs no further check."""
_PLAIN = msgspec.msgpack.Decoder()


class _Unknown:
    """Marks a cached value that is not decoded yet, or that its reader could mutate."""


class TieredMemory(AsyncContext):
    """Four tiers in one store: cache, short-term, intermediate and long-term.

    ::

        with TieredMemory(MemoryConfig(path="run.db")) as memory:
            memory.store("alice/goal", {"text": "find work"}, importance=0.8)
            memory.get("alice/goal")

    Every thread finds a stored memory at once, by key, time and text. It reaches the disk soon; before `store` returns with
    ``durable=True``, and at the latest after `flush` or `close`. Values are plain data, and a read returns a copy: changing it
    changes nothing else. Methods that begin with `a` are for event loops, and never block one.

    Every method raises `MemoryClosed` after `close`. The store checks no permissions; `AgentMemory` is a handle on the memories of
    one agent. Safe from many threads.
    """

    def __init__(
        self,
        config: MemoryConfig | None = None,
        *,
        clock: Clock | None = None,
        codec: Codec | None = None,
        archive: Archive | None = None,
        short_term: Backend | None = None,
        intermediate: Backend | None = None,
        sizing: MemorySizing | None = None,
    ) -> None:
        """Open the store.

        Given backends replace those of the configuration, and are closed with the store. On a manual clock, maintenance runs
        when the clock advances. `sizing`, such as `coterie.work.Sizing`, gives the number of reading threads; detected by default.
        """
        self.config = config = config if config is not None else MemoryConfig()
        self.clock = clock_or_system("TieredMemory.clock", clock)
        self._codec = codec if codec is not None else Codec()
        self.records = RecordStore(
            config, self.clock, self._codec, archive=archive, short_term=short_term, intermediate=intermediate
        )
        """Whole records, for code that builds upon this store."""
        self._store = self.records.tiers
        self._maintenance = Maintenance(self._store)
        self._workers = PriorityWorkers.sized("memory-worker", config.read_workers, sizing)
        timers = Timers(self.clock, "memory")
        # A writer thread needs the interpreter lock a dozen times for each batch; with the usual 5 ms each time, waiting for
        # it would take most of the time of a write.
        interval = SwitchInterval(_SWITCH_AFTER)
        interval.hold()
        self._deletes = 0
        self._time = self.clock.time
        self._cached = self._store.cache.get if self._store.cache is not None else _nothing
        if config.maintenance_interval is not None:
            PeriodicJob(timers, config.maintenance_interval, self._maintenance.run, "memory maintenance")
        self._end = MemoryEnd(f"memory {config.path or ''}".strip(), self.records, timers, self._workers, interval)
        weakref.finalize(self, self._end.dropped).atexit = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Write everything that is left, end all threads and release all resources. A second call does nothing.

        Raises `WriteTimeout` if some memories could not be written within `write_timeout`; those are lost.
        """
        self._end.close(self._stop_reads)

    # Storing

    def store(
        self,
        key: str,
        value: Any,
        importance: float = 0.5,
        *,
        agent: str | None = None,
        kind: str = MemoryKind.VALUE,
        ttl: float | None = None,
        durable: bool = False,
        text: str | None = None,
        context: str = "",
        sources: Sequence[str] = (),
        valid_from: float | None = None,
        valid_until: float | None = None,
        priority: MemoryPriority = MemoryPriority.NORMAL,
    ) -> MemoryRecord:
        """Store `value` under `key`, in place of an existing one, and return its record.

        `agent` is the owner: the part of the key before the first ``/`` by default. `ttl` is the time to live in seconds; None
        means unlimited. `text` is the searchable text: all text in the value by default. With `durable` the memory is on disk
        on return. Raises `InvalidMemory`, `EncodeFailed`, `WriteTimeout` and `MemoryClosed`; after a `WriteTimeout` of a
        durable memory it is still written as soon as possible.
        """
        check_key(key, self.config.max_key_bytes)
        importance = check_importance(importance)
        if agent is None and "/" in key:
            # The key is valid, so only a long or blank owner can be invalid.
            owner = key.partition("/")[0]
            if len(owner) > _SHORT or owner.isspace():
                check_agent(owner)
        else:
            owner = check_agent(agent) if agent else ""
        lives = check_seconds("ttl", ttl)
        sort = _VALUE if kind is MemoryKind.VALUE else check_kind(kind)
        body = self.records.encode(value)
        if text is None:
            words = text_of(value if isinstance(value, dict | list | str) else _PLAIN.decode(body))
        else:
            words = check_text("text", text)
        if context:
            check_text("context", context)
        cited = check_texts("sources", sources) if sources != () else ()
        since, until = check_time("valid_from", valid_from), check_time("valid_until", valid_until)

        def make(before: MemoryRecord | None, version: int, now: float) -> MemoryRecord:
            # Pass the fields by position: naming so many takes five times as long as creating the record.
            return MemoryRecord(
                self._store.new_id(version) if before is None else before.id,
                key,
                version,
                body,
                owner,
                sort,
                importance,
                now if before is None else before.created,
                now if before is None else before.last_access,
                0 if before is None else before.access_count,
                None if lives is None else now + lives,
                Tier.SHORT,
                now,
                words,
                context,
                cited,
                since,
                until,
            )

        return self.records.put(key, make, durable=durable, priority=priority)

    def delete(self, key: str, *, durable: bool = False, reason: str = "") -> bool:
        """Delete the memory under `key`, and return whether it existed. A `reason` is stored as a decision. Raises as `store`."""
        check_key(key, self.config.max_key_bytes)

        def make(record: MemoryRecord, version: int) -> Delete:
            now = self._time()
            note = MaintenanceDecision(
                now, record.id, key, record.agent, MaintenanceAction.FORGOTTEN, record.tier, None, reason
            )
            return Delete(key, version, note if reason else None)

        waiter = self.records.completion() if durable else None
        there = self._store.delete(key, make, waiter)
        self._deletes += there
        if there and waiter is not None:
            self.records.wait_for(waiter, f"the deletion of {key!r} was not written")
        return there

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything stored before is on disk, and reads are counted. Raises `WriteTimeout`."""
        self._store.check_open()
        self._store.count_uses()
        check_number("TieredMemory.flush.timeout", timeout, optional=True)
        self._store.flush(self.config.write_timeout if timeout is None else timeout)

    # Reading

    def get(self, key: str, default: Any = None, *, as_type: Any = Any) -> Any:
        """Return the value under `key`, or `default` if the key does not exist.

        With `as_type` it is decoded as that type: a dataclass, a struct, ``list[int]``. A stored None, 0 or "" is a value; give
        a `default` of your own to tell them from a missing key. Raises `InvalidMemory`, `TierUnavailable` and `MemoryClosed`.
        """
        entry = self._cached(key)
        if entry is not None:
            now = self._time()
            if entry.until > now:
                entry.last = now
                if as_type is Any:
                    held = entry.held
                    if held is None:
                        held = entry.held = self._held(entry.record.value)
                    return held if held.__class__ is not _Unknown else self._codec.decode(entry.record.value, Any)
                return self._codec.decode(entry.record.value, as_type)
        if key.__class__ is not str or not key.isascii():
            check_key(key, self.config.max_key_bytes)
        loaded = self._store.load(key)
        if loaded is not None:
            return self._codec.decode(loaded.value, as_type)
        check_key(key, self.config.max_key_bytes)  # only now: that of an existing memory was checked when it was stored
        return default

    def record(self, key: str) -> MemoryRecord | None:
        """Return the record under `key`, or None. This does not count as use."""
        return self.records.get(key)

    def __contains__(self, key: str) -> bool:
        return self.record(key) is not None

    def recent(
        self,
        agent: str | Sequence[str] | None = None,
        limit: int = 20,
        *,
        kinds: Sequence[str] = (),
        after: float | None = None,
        before: float | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[MemoryRecord]:
        """Return the newest memories of one agent, of several or of all, newest first.

        `kinds`, `after` (inclusive) and `before` (exclusive) restrict kind and time of creation. `where` tests fields of the
        values: ``{"speaker": "Ann", "tags": has("food"), "price": at_most(5)}``. Raises `InvalidMemory`.
        """
        self._store.check_open()
        which = filter_of(agent, kinds, after, before, where)
        return self._store.lists.recent(which, check_count("limit", limit))

    def search(
        self,
        question: str,
        agent: str | Sequence[str] | None = None,
        limit: int = 10,
        *,
        kinds: Sequence[str] = (),
        after: float | None = None,
        before: float | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[SearchHit]:
        """Return the memories that share words with a question, best first, in any language.

        Words match in every case, form and accent; function words are ignored. The other arguments are those of `recent`.
        Raises `InvalidMemory`.
        """
        return self.search_within(question, filter_of(agent, kinds, after, before, where), limit)

    def search_within(self, question: str, which: RecordFilter, limit: int) -> list[SearchHit]:
        """Return the memories of a filter that share words with a question, best first. Raises `InvalidMemory`."""
        query = query_of(question, limit, which)
        self._store.check_open()
        return self._store.lists.search(query) if limit else []

    # Export and import

    def export_to(self, path: Path | str, agent: str | None = None) -> int:
        """Write all memories, or those of one agent, to a file of JSON lines, and return how many."""
        return self.records.export_to(path, agent)

    def import_from(self, path: Path | str, *, replace_existing: bool = True) -> int:
        """Store the memories of a file that `export_to` wrote, and return how many.

        They keep their ids, times and counts. An existing memory under the same key is replaced, or kept. Raises
        `InvalidDump` if a line of the file is not a memory; then nothing is imported.
        """
        return self.records.import_from(path, replace_existing=replace_existing)

    # For event loops

    async def astore(self, key: str, value: Any, importance: float = 0.5, **options: Any) -> MemoryRecord:
        """Return the record that `store` returns, from an event loop. Raises the same errors."""
        priority = MemoryPriority.HIGH if options.get("durable") else options.get("priority", MemoryPriority.NORMAL)
        return await self.run(lambda: self.store(key, value, importance, **options), priority)

    async def aget(
        self, key: str, default: Any = None, *, as_type: Any = Any, priority: MemoryPriority = MemoryPriority.NORMAL
    ) -> Any:
        """Return the value that `get` returns, from an event loop. A cached memory is returned at once."""
        cache = self._store.cache
        if cache is not None and cache.peek(key) is not None:
            return self.get(key, default, as_type=as_type)
        return await self.run(lambda: self.get(key, default, as_type=as_type), priority)

    async def adelete(self, key: str, *, durable: bool = False, reason: str = "") -> bool:
        """Return whether the memory existed, as `delete` does, from an event loop."""
        return await self.run(lambda: self.delete(key, durable=durable, reason=reason))

    async def asearch(
        self, question: str, agent: str | Sequence[str] | None = None, limit: int = 10, **options: Any
    ) -> list[SearchHit]:
        """Return the memories that `search` returns, from an event loop. `options` are the other arguments of `search`."""
        return await self.run(lambda: self.search(question, agent, limit, **options))

    async def aflush(self) -> None:
        """Call `flush` from an event loop."""
        await self.run(self.flush)

    async def run(self, work: Callable[[], T], priority: MemoryPriority = MemoryPriority.NORMAL) -> T:
        """Run `work`, which uses memories, on a worker thread by priority, and return its result. Raises its errors."""
        self._store.check_open()
        return await asyncio.wrap_future(self._workers.submit(work, priority))

    # Maintenance

    def maintain(self) -> MaintenanceReport:
        """Move, keep and delete the memories that are due, and return a report. Raises `MemoryClosed`."""
        self._store.check_open()
        return self._maintenance.run()

    def decisions(self, key: str | None = None, limit: int = 100) -> list[MaintenanceDecision]:
        """Return the decisions about one key or about all, newest first. Raises `InvalidMemory` and `MemoryClosed`."""
        self._store.check_open()
        if key is not None:
            check_text("key", key)
        return self._store.archive.decisions(key, check_count("limit", limit))

    def metrics(self) -> MemoryMetrics:
        """Return current sizes, and counters since the store was opened. Raises `MemoryClosed`."""
        self._store.check_open()
        store, counts = self._store, self._maintenance.counts
        empty = CacheStatistics(entries=0, capacity=0, hits=0, misses=0, evictions=0, window=0)
        return MemoryMetrics(
            cache=store.cache.statistics() if store.cache is not None else empty,
            tiers=measure_tiers(store),
            stores=self.records.stores,
            deletes=self._deletes,
            promotions=counts.promoted,
            demotions=counts.demoted,
            expirations=counts.expired,
            kept=counts.kept,
            maintenance_runs=counts.runs,
            maintenance_failures=counts.failures,
            waiting_reads=len(self._workers),
            compression=measure_compression(store),
        )

    def _stop_reads(self) -> None:
        self._cached = _closed

    def _held(self, value: bytes) -> Any:
        """Return an immutable value, which many readers may share, or the marker for any other."""
        plain = self._codec.decode(value, Any)
        return plain if isinstance(plain, _IMMUTABLE) and plain is not None else _UNKNOWN


_UNKNOWN = _Unknown()


def _nothing(_: str) -> None:
    return None


def _closed(_: str) -> None:
    raise MemoryClosed
