"""The records of a memory store, for code that builds upon it. Users see `TieredMemory`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from coterie.errors import InvalidMemory, TierUnavailable, WriteTimeout
from coterie.kernel import Clock, Codec, Countdown, check_instance
from coterie.memory.backends import opening
from coterie.memory.backends.in_process import touched
from coterie.memory.checking import check_agent, check_key
from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Archive, Backend, RecordFilter
from coterie.memory.dump import read_dump, write_dump
from coterie.memory.record import MemoryKind, MemoryRecord, Tier
from coterie.memory.tiers.store import TierStore
from coterie.memory.writing.pending import MemoryPriority, WriteCompletion
from coterie.memory.writing.workers import PriorityWorkers

T = TypeVar("T")

_PAGE = 1_000


class RecordStore:
    """Opens and closes the tiers, and stores whole records, for `TieredMemory` and code that builds upon it.

    Safe from many threads.
    """

    def __init__(
        self,
        config: MemoryConfig,
        clock: Clock,
        codec: Codec,
        *,
        archive: Archive | None = None,
        short_term: Backend | None = None,
        intermediate: Backend | None = None,
    ) -> None:
        """Open the backends of the configuration, except those given."""
        self.config = config
        self.clock = clock
        self.stores = 0
        """Calls of `put`."""
        self._codec = codec
        with ExitStack() as opened:
            # Close what was opened if the rest cannot be opened.
            long_term = archive if archive is not None else opening.open_archive(config)
            opened.callback(long_term.close)
            first = short_term if short_term is not None else opening.open_short_term(config)
            opened.callback(first.close)
            second = intermediate if intermediate is not None else opening.open_intermediate(config)
            opened.callback(second.close)
            self.tiers = TierStore(config, clock, long_term, first, second)
            opened.pop_all()
        self._background = PriorityWorkers("memory-background", 2)
        self._once: dict[str, Any] = {}
        self._reloads: list[Callable[[], object]] = []
        self._erasures: list[Callable[[AbstractSet[str]], object]] = []

    def put(
        self,
        key: str,
        make: Callable[[MemoryRecord | None, int, float], MemoryRecord],
        *,
        durable: bool = False,
        priority: MemoryPriority = MemoryPriority.NORMAL,
    ) -> MemoryRecord:
        """Store the record that `make` returns for the existing record or None, a new version and the time; return it.

        `make` may be called more than once, must be short, and must not use the store. For code that builds upon this store.
        """
        waiter = self.completion() if durable else None
        if not isinstance(priority, MemoryPriority):
            raise InvalidMemory("priority", priority, "give one of MemoryPriority")
        record = self.tiers.write(key, make, MemoryPriority.HIGH if durable else priority, waiter)
        self.stores += 1
        if waiter is not None:
            self.wait_for(waiter, f"{key!r} was not written")
        return record

    def get(self, key: str) -> MemoryRecord | None:
        """Return the record under `key`, or None. This does not count as use."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, MemoryRecord]:
        """Return the records that exist under those keys. This does not count as use."""
        self.tiers.check_open()
        found = self.tiers.find_many(check_key(key, self.config.max_key_bytes) for key in keys)
        cache = self.tiers.cache
        if cache is None:
            return found
        cache.apply_hits()
        for key, record in found.items():
            entry = cache.peek(key)
            if entry is not None and entry.uses:
                found[key] = touched(record, entry.uses, entry.last)
        return found

    def value_of(self, record: MemoryRecord, *, as_type: Any = Any) -> Any:
        """Return the value of a record."""
        return self._codec.decode(record.value, as_type)

    def encode(self, value: Any) -> bytes:
        """Return a value as a record stores it. Raises `EncodeFailed`, and `InvalidMemory` if it is too long."""
        body = self._codec.encode(value)
        if len(body) > self.config.max_value_bytes:
            raise InvalidMemory("value", f"{len(body)} bytes", f"at most {self.config.max_value_bytes}")
        return body

    def attach_vector(self, key: str, model: str, vector: bytes) -> None:
        """Store the vector of a memory with it, if the memory still exists."""
        if self.get(key) is not None:
            with suppress(LookupError):
                self.put(key, lambda there, version, _: replace(present(there), version=version, model=model, vector=vector))

    def all_of(self, agent: str, kinds: Sequence[str]) -> list[MemoryRecord]:
        """Return all memories of an agent of those kinds, newest first. Raises `TierUnavailable`."""
        self.tiers.check_open()
        which = RecordFilter(agents=(agent,), kinds=tuple(kinds))
        wanted = _PAGE
        while len(found := self.tiers.lists.recent(which, wanted, whole=True)) == wanted:
            wanted *= 4
        return found

    def recent(self, which: RecordFilter, limit: int) -> list[MemoryRecord]:
        """Return the newest memories of a filter, newest first."""
        self.tiers.check_open()
        return self.tiers.lists.recent(which, limit)

    def catch_up(self) -> None:
        """Wait until the archive has everything stored before. Raises `TierUnavailable` and `WriteTimeout`."""
        self.tiers.check_open()
        self.tiers.lists.catch_up()

    def count_use(self, record: MemoryRecord) -> None:
        """Count a use of a memory that was not found by `get`."""
        self.tiers.note_use(record.key, 1, self.clock.time())

    def put_internal(self, key: str, value: Any, agent: str) -> None:
        """Store an internal record, which searches and lists leave out. Its key begins with a control character."""

        def make(_: MemoryRecord | None, version: int, now: float) -> MemoryRecord:
            return MemoryRecord(
                key, key, version, self._codec.encode(value), agent, MemoryKind.INTERNAL, created=now, entered=now
            )

        self.tiers.write(key, make, MemoryPriority.NORMAL)

    def get_internal(self, key: str) -> Any:
        """Return the value of an internal record, or None."""
        self.tiers.check_open()
        found = self.tiers.find_many([key]).get(key)
        return None if found is None else self._codec.decode(found.value, Any)

    def export_to(self, path: Path | str, agent: str | None = None) -> int:
        """Write all memories, or those of one agent, to a file of JSON lines, and return how many."""
        self.tiers.check_open()
        target = _file("export_to", path)
        if agent is not None:
            check_agent(agent)
        self.tiers.count_uses()
        self.tiers.flush(self.config.write_timeout)
        return write_dump(self.tiers.archive, target, agent)

    def import_from(self, path: Path | str, *, replace_existing: bool = True) -> int:
        """Store the memories of a file that `export_to` wrote, and return how many.

        They keep their ids, times and counts. An existing memory under the same key is replaced, or kept. Raises `InvalidDump`
        if a line of the file is not a memory; then nothing is imported.
        """
        self.tiers.check_open()
        source = _file("import_from", path)
        for _ in read_dump(source, self.config.max_key_bytes, self.config.max_value_bytes):
            # Read the whole file once before importing any of it.
            continue
        count = 0
        for record in read_dump(source, self.config.max_key_bytes, self.config.max_value_bytes):
            if replace_existing or self.tiers.find_many([record.key]) == {}:
                moment = self.clock.time()
                self.tiers.write(
                    record.key,
                    lambda _, version, __, each=record, now=moment: replace(  # type: ignore[misc]
                        each, version=version, tier=Tier.SHORT, entered=now
                    ),
                    MemoryPriority.NORMAL,
                )
                count += 1
        with suppress(TierUnavailable):
            # Memory blocks are read from the archive itself.
            self.tiers.lists.catch_up()
        self.reload_users()
        return count

    def on_deleted(self, agent: str, listener: Callable[[str], object]) -> None:
        """Call `listener` with the id of each memory of an agent that is deleted, or expires by maintenance.

        It is called under the lock of the store, so it must only record the id. An agent has one listener.
        """
        self.tiers.listeners[agent] = listener

    def on_import(self, reload: Callable[[], object]) -> None:
        """Call `reload` after each import."""
        self._reloads.append(reload)

    def reload_users(self) -> None:
        """Let all users of this store load again what they hold of it, after an import or an erasure."""
        for reload in self._reloads:
            reload()

    def on_erased(self, listener: Callable[[AbstractSet[str]], object]) -> None:
        """Call `listener` with the ids of the memories of a person before they are deleted."""
        self._erasures.append(listener)

    def tell_erased(self, ids: AbstractSet[str]) -> None:
        """Tell all users of this store that memories will be deleted for good."""
        for listener in self._erasures:
            listener(ids)

    def new_id(self) -> str:
        """Return an unused id."""
        return self.tiers.new_id(self.tiers.next_version())

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return the object of a name, created by `make` on first use and kept until the store closes.

        Two threads that ask at the same time may both call `make`; one of the two objects is kept.
        """
        made: T = self._once.get(name) or self._once.setdefault(name, make())
        return made

    def in_background(self, work: Callable[[], T]) -> Future[T]:
        """Run slow work on a background thread and return its future. `close` waits for it for a limited time."""
        return self._background.submit(work)

    @property
    def archive(self) -> Archive:
        """The archive of the long-term tier. The newest memories may not be in it yet."""
        return self.tiers.archive

    @property
    def forked(self) -> bool:
        """True if the store belongs to the parent of this process."""
        return self.tiers.forked

    def forget(self) -> bool:
        """Mark a forked copy as closed. Return whether it was open."""
        was_open, self.tiers.closed = not self.tiers.closed, True
        return was_open

    def close(self, stop_users: Callable[[Countdown], object]) -> None:
        """Write everything that is left, end all threads and release all resources. A second call does nothing.

        `stop_users` is called once the store accepts no more changes. Raises `WriteTimeout` if some memories could not be
        written within `write_timeout`; those are lost.
        """
        if self.tiers.closed:
            return
        countdown = Countdown(self.config.write_timeout)
        # Background work may still store memories.
        self._background.close(countdown.left() or 0.0)
        self.tiers.count_uses()
        self.tiers.stop_accepting()
        stop_users(countdown)
        left = self.tiers.close(countdown)
        if left:
            raise WriteTimeout(f"{left} memories were not written", self.config.write_timeout, self.tiers.archive_access.away)

    def check_durable(self) -> None:
        """Raise `InvalidMemory` if nothing outlives the process."""
        if not self.tiers.archive.persistent:
            raise InvalidMemory("way to store", "durable=True", "this store ends with the process; give a path or postgres_url")

    def completion(self) -> WriteCompletion:
        """Return a completion for a durable write. Raises like `check_durable`."""
        self.check_durable()
        return WriteCompletion()

    def wait_for(self, waiter: WriteCompletion, what: str) -> None:
        """Wait until a change is written. Raises `WriteTimeout`, or why the tier rejected it."""
        if not waiter.wait(self.config.write_timeout):
            reason = self.tiers.archive_access.away or "the disk is slow, or very many memories wait"
            raise WriteTimeout(f"{what}", self.config.write_timeout, f"{reason}; it will be written when the tier is available")
        if waiter.error is not None:
            raise waiter.error


def present(record: MemoryRecord | None) -> MemoryRecord:
    """Return a record that must exist; raise `LookupError` if it does not."""
    if record is None:
        raise LookupError
    return record


def _file(where: str, path: Any) -> Path:
    check_instance(f"TieredMemory.{where}.path", path, (str, os.PathLike), "a path")
    return Path(path)
