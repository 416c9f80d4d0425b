"""The store of the tiers: the order of writes, and the path of reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from coterie.concurrency import Rank, Signal, new_lock
from coterie.concurrency.forks import register_fork_handler
from coterie.errors import MemoryClosed, TierUnavailable, WriteTimeout
from coterie.errors.memory import MemoryForked
from coterie.kernel import Clock, Countdown
from coterie.memory.backends.in_process import touched
from coterie.memory.cache import AdaptiveCache
from coterie.memory.cache_segments import CacheEntry, entry_of
from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Archive, Backend, Delete, Put
from coterie.memory.record import MemoryKind, MemoryRecord, Tier
from coterie.memory.tiers.keys import KeyFilter, VersionGenerator
from coterie.memory.tiers.listing import FallbackReader, Listing
from coterie.memory.tiers.working import WorkingTier
from coterie.memory.writing.access import TierAccess
from coterie.memory.writing.pending import MemoryPriority, WriteCompletion
from coterie.memory.writing.write_behind import WriteBehindQueue

_STRIPES = 1_024
_NOT_LOOKED = -1

MakeRecord = Callable[[MemoryRecord | None, int, float], MemoryRecord]
"""A function that makes a record from the existing one or None, a new version and the time."""


class TierStore:
    """Assigns versions, orders writes, and reads through the tiers.

    Every memory is in the archive, or queued for it; the working tiers and the cache hold copies of current memories. A write
    gets its version, and becomes visible to all readers in this process, under `_lock`, which also guards `_moving`. `_stamps`
    counts the writes to the keys of each stripe: a reader that finds its stripe changed does not cache the record that it read. Safe from many threads.
    """

    def __init__(
        self, config: MemoryConfig, clock: Clock, archive: Archive, short_term: Backend, intermediate: Backend
    ) -> None:
        self.config = config
        self.clock = clock
        self.archive = archive
        self.archive_access = TierAccess("long", archive)
        self.queue = WriteBehindQueue(
            self.archive_access,
            archive.write,
            capacity=config.queue_size,
            batch=config.batch_size,
            deferred_work=archive.do_deferred_work,
            write_soon=getattr(archive, "write_soon", None),
        )
        self.cache = AdaptiveCache(config.cache_size) if config.cache_size else None
        self.working = (
            WorkingTier(Tier.SHORT, short_term, config),
            WorkingTier(Tier.INTERMEDIATE, intermediate, config),
        )
        self._in_process = all(each.queue is None for each in self.working)
        """Whether both working tiers are in this process, and so never unavailable."""
        self.closed = False
        self.listeners: dict[str, Callable[[str], object]] = {}
        """By agent: the listener for ids of deleted memories, called under `_lock`."""
        fallback = FallbackReader(self.working, self.queue)
        self.lists = Listing(archive, self.archive_access, self.queue, fallback, clock, config.write_timeout)
        self._lock = new_lock(Rank.MEMORY)
        self._stamps = [0] * _STRIPES
        self._moving: dict[str, Signal] = {}
        newest = archive.newest()
        self._versions = VersionGenerator(newest, shared=config.shared)
        # Only a process that is the only writer, and has seen every key ever written, can know that a key is new.
        self._key_filter = KeyFilter() if not config.shared and not newest else None
        self.forked = False  # set in a child of the process that opened the store
        register_fork_handler(self)
        self._trusted_for = config.trusted_for
        # Only reads fill the cache, unless the short-term tier is remote.
        self._caches_writes = self.working[0].queue is not None
        self.queue.start()

    # Writing

    def write(
        self, key: str, make: MakeRecord, priority: MemoryPriority, waiter: WriteCompletion | None = None
    ) -> MemoryRecord:
        """Store the record that `make` returns, and return it. Readers find it from then on.

        Waits while the queue is full, or while that memory is being moved; raises `WriteTimeout` after `write_timeout`.
        """
        if self.closed or self.forked:
            self.check_open()
        self.queue.wait_for_room(self.config.write_timeout)
        stripe = hash(key) % _STRIPES
        seen = self._key_filter
        before: MemoryRecord | None = None
        # Look up a key that may exist before taking the lock; the stamp tells whether the result is still current.
        stamp = _NOT_LOOKED
        while True:
            with self._lock:
                if self.closed:
                    # Closed since the lookup: `close` writes only the changes taken before it.
                    raise MemoryClosed
                moving = self._moving.get(key)
                if moving is None:
                    new = stamp == _NOT_LOOKED and seen is not None and seen.note(key)
                    if new or stamp == self._stamps[stripe]:
                        record, left = self._take_in(key, None if new else before, make, priority, waiter, new=new)
                        self._stamps[stripe] += 1
                        break
            self._wait_for(moving)
            stamp = self._stamps[stripe]
            before = self._known_or_none(key)
        if left:
            self._count_uses(left)
        return record

    def _take_in(
        self,
        key: str,
        before: MemoryRecord | None,
        make: MakeRecord,
        priority: MemoryPriority,
        waiter: WriteCompletion | None,
        *,
        new: bool,
    ) -> tuple[MemoryRecord, Sequence[CacheEntry]]:
        """Make a record visible to all readers, under the lock. Return it and the evicted cache entries."""
        now = self.clock.time()
        if before is not None and before.expired(now):
            before = None
        record = make(before, self._versions.next(now), now)
        change = Put(record)
        self.queue.put(change, priority, waiter)
        for working in self.working:
            if working.tier == record.tier:
                working.write(change)
            elif not new:
                working.write(Delete(key, record.version))
        if self._caches_writes or (not new and self.cache is not None and self.cache.peek(key) is not None):
            return record, self._cache(record, now, uses=0)
        return record, ()

    def delete(self, key: str, make: Callable[[MemoryRecord, int], Delete], waiter: WriteCompletion | None = None) -> bool:
        """Delete a memory with the change that `make` returns. Return whether it existed.

        Raises `TierUnavailable` if only the unavailable archive could tell: then nothing is deleted.
        """
        self.check_open()
        self.queue.wait_for_room(self.config.write_timeout)
        stripe = hash(key) % _STRIPES
        while True:
            stamp = self._stamps[stripe]
            before = self._known(key)
            with self._lock:
                if self.closed:
                    raise MemoryClosed
                moving = self._moving.get(key)
                if moving is None and stamp == self._stamps[stripe]:
                    there = before is not None and not before.expired(self.clock.time())
                    if before is None:
                        return False
                    change = make(before, self._versions.next(self.clock.time()))
                    self._stamps[stripe] += 1
                    for working in self.working:
                        working.write(Delete(key, change.version))
                    self.queue.put(change, MemoryPriority.NORMAL, waiter)
                    if self.cache is not None:
                        self.cache.discard(key)
                    self._notify_deleted(before)
                    return there
            self._wait_for(moving)

    def new_id(self, version: int) -> str:
        """Return the id of the memory with this first version."""
        return self._versions.id_of(version)

    def next_version(self) -> int:
        """Return a version greater than all before."""
        with self._lock:
            return self._versions.next(self.clock.time())

    def flush(self, timeout: float) -> None:
        """Wait until everything written before is in its tiers. Raises `WriteTimeout`."""
        self.queue.flush(timeout)
        for working in self.working:
            if working.queue is not None and not working.access.away:
                working.queue.flush(timeout)

    def check_open(self) -> None:
        """Raise `MemoryClosed` after `close`, and `MemoryForked` in a child of the process that opened the store."""
        if self.closed or self.forked:
            raise MemoryForked if self.forked else MemoryClosed

    def after_fork_in_child(self) -> None:
        """Mark this as the store of the parent, which this process must not use."""
        self.forked = True

    def stop_accepting(self) -> None:
        """Accept no more changes. Changes accepted before can still be written."""
        with self._lock:
            self.closed = True

    # Moving

    def claim(self, keys: Sequence[str]) -> list[str]:
        """Return the keys that are not being written, and block writers of these until `release`."""
        claimed = []
        with self._lock:
            for key in keys:
                queues = (self.queue, *(working.queue for working in self.working if working.queue is not None))
                if key not in self._moving and all(queue.pending(key) is None for queue in queues):
                    self._moving[key] = Signal()
                    claimed.append(key)
        return claimed

    def release(self, keys: Sequence[str]) -> None:
        """Unblock the writers."""
        with self._lock:
            signals = [self._moving.pop(key) for key in keys]
        for signal in signals:
            signal.set()

    def moved(self, before: MemoryRecord, now: MemoryRecord | None) -> None:
        """Update the cache after a move."""
        with self._lock:
            self._stamps[hash(before.key) % _STRIPES] += 1
            if now is None:
                self._notify_deleted(before)
            entry = self.cache.peek(before.key) if self.cache is not None else None
            if entry is None or self.cache is None:
                return
            if now is None:
                self.cache.discard(before.key)
            elif entry.record.version == before.version:
                entry.record = replace(now, access_count=entry.record.access_count, last_access=entry.record.last_access)

    def count_uses(self) -> dict[str, int]:
        """Queue the counts of reads since the last call, and return them by key."""
        uses = self.cache.take_uses() if self.cache is not None else []
        for key, count, last in uses:
            self.note_use(key, count, last)
        return {key: count for key, count, _ in uses}

    def note_use(self, key: str, count: int, last: float) -> None:
        """Count reads of a memory in all its tiers."""
        self.queue.touch(key, count, last)
        with self._lock:
            entry = self.cache.peek(key) if self.cache is not None else None
            if entry is not None:
                entry.record = touched(entry.record, count, last)
            for working in self.working:
                if working.queue is None and (record := working.backend.get([key]).get(key)) is not None:
                    working.backend.write([Put(touched(record, count, last), expected=record.version)])

    # Reading

    def load(self, key: str) -> MemoryRecord | None:
        """Read a memory from below the cache, cache it, and return it; None if it does not exist."""
        if self.closed or self.forked:
            self.check_open()
        stripe = hash(key) % _STRIPES
        stamp = self._stamps[stripe]
        asked: list[tuple[TierAccess, bool]] = []
        # Most reads below the cache go to the archive, so this is the short way of `_find` to it.
        short, intermediate = self.working
        below = self._in_process and self.queue.pending(key) is None
        below = below and not short.backend.get((key,)) and not intermediate.backend.get((key,))
        record = self.archive_access.read_one(key) if below else self._find(key, asked)
        now = self.clock.time()
        there = record is not None
        if record is not None and record.expired(now):
            record = None
        left: Sequence[CacheEntry] = ()
        with self._lock:
            if below:
                short.access.misses += 1
                intermediate.access.misses += 1
                self.archive_access.hits += there
                self.archive_access.misses += not there
            for access, found in asked:
                if found:
                    access.hits += 1
                else:
                    access.misses += 1
            if record is not None:
                left = (
                    self._cache(record, now, uses=1)
                    if stamp == self._stamps[stripe]
                    else [entry_of(record, now, 1, self._trusted_for)]
                )
        if left:
            self._count_uses(left)
        return record

    def find_many(self, keys: Iterable[str]) -> dict[str, MemoryRecord]:
        """Return the records that exist, without counting it as use.

        Raises `TierUnavailable` if no available tier can tell.
        """
        now = self.clock.time()
        found = {key: record for key in keys if (record := self._known(key)) is not None}
        return {key: record for key, record in found.items() if not record.expired(now)}

    # Metrics and closing

    def accesses(self) -> list[tuple[Tier, TierAccess, WriteBehindQueue | None]]:
        """Return every tier with its access and its write-behind queue."""
        working = [(each.tier, each.access, each.queue) for each in self.working]
        return [*working, (Tier.LONG, self.archive_access, self.queue)]

    def close(self, countdown: Countdown) -> int:
        """Write everything that is left, release all resources, and return how many changes the archive missed."""
        left = self.queue.close(countdown.left() or 0.0)
        for working in self.working:
            if working.queue is not None:
                # The archive has everything that this tier misses; the next opening reconciles them.
                working.queue.close(0.0 if working.access.away else countdown.left() or 0.0)
            working.backend.close()
        self.archive.close()
        return left

    # Internal

    def _notify_deleted(self, record: MemoryRecord) -> None:
        listener = self.listeners.get(record.agent)
        if listener is not None:
            listener(record.id)

    def _wait_for(self, moving: Signal | None) -> None:
        if moving is not None and not moving.wait(self.config.write_timeout):
            raise WriteTimeout("a memory was not taken in", self.config.write_timeout, "maintenance kept moving it")

    def _known_or_none(self, key: str) -> MemoryRecord | None:
        """Return the newest record of a key; None if it does not exist, or if only the unavailable archive could tell."""
        try:
            return self._known(key)
        except TierUnavailable:
            return None

    def _known(self, key: str) -> MemoryRecord | None:
        """Return the newest record of a key, uncounted. Raises `TierUnavailable` if no available tier can tell."""
        if self._key_filter is not None and key not in self._key_filter:
            return None
        pending = self.queue.pending(key)
        if pending is not None:
            return pending.record if isinstance(pending, Put) else None
        entry = self.cache.peek(key) if self.cache is not None else None
        if entry is not None and entry.until > self.clock.time():
            record: MemoryRecord = entry.record
            return record
        return self._find(key)

    def _find(self, key: str, asked: list[tuple[TierAccess, bool]] | None = None) -> MemoryRecord | None:
        """Return the newest record of a key from below the cache.

        Raises `TierUnavailable` if no available tier can tell. `asked` receives each tier that was asked, and whether it had
        the record; a queued record counts for the tier that it will be in.
        """
        asked = [] if asked is None else asked
        pending = self.queue.pending(key)
        if pending is not None:
            if not isinstance(pending, Put):
                return None
            home = next((each.access for each in self.working if each.tier == pending.record.tier), self.archive_access)
            asked.append((home, True))
            return pending.record
        best: MemoryRecord | None = None
        for working in self.working:
            try:
                record = working.find(key)
            except TierUnavailable:
                continue
            asked.append((working.access, record is not None))
            if record is not None:
                if not working.unreconciled:
                    # No other tier can have a newer one.
                    return record
                best = record if best is None or record.version > best.version else best
        try:
            kept = self.archive_access.read_one(key)
        except TierUnavailable:
            if best is None:
                raise
            return best
        asked.append((self.archive_access, kept is not None))
        return best if best is not None and (kept is None or best.version > kept.version) else kept

    def _cache(self, record: MemoryRecord, now: float, uses: int) -> list[CacheEntry]:
        """Put a record into the cache, under the lock, and return the evicted entries."""
        entry = entry_of(record, now, uses, self._trusted_for)
        if self.cache is None or record.kind == MemoryKind.INTERNAL:
            return [entry] if uses else []
        return self.cache.put(entry)

    def _count_uses(self, left: Iterable[CacheEntry]) -> None:
        for entry in left:
            if entry.uses:
                self.note_use(entry.key, entry.uses, entry.last)
