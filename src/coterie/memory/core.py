"""The base of a memory store for code that builds upon it. Users see `TieredMemory`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec.structs import replace

from coterie.concurrency import PeriodicJob, SwitchInterval, Timers
from coterie.errors import InvalidMemory, MemoryClosed, WriteTimeout
from coterie.kernel import Clock, Codec, Countdown, check_instance, clock_or_system
from coterie.memory.backends import opening
from coterie.memory.backends.in_process import touched
from coterie.memory.checking import check_agent, check_key
from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Archive, Backend
from coterie.memory.dump import read_dump, write_dump
from coterie.memory.record import MemoryKind, MemoryRecord, Tier
from coterie.memory.tiers.maintenance import Maintenance
from coterie.memory.tiers.store import TierStore
from coterie.memory.writing.pending import MemoryPriority, WriteCompletion
from coterie.memory.writing.workers import PriorityWorkers

T = TypeVar("T")

_PAGE = 1_000
_SWITCH_AFTER = 0.0005
"""The switch interval of the interpreter in seconds, the same as that of a runtime."""


class MemoryCore:
    """Opens and closes the tiers, and stores whole records. Safe from many threads."""

    def __init__(
        self,
        config: MemoryConfig | None = None,
        *,
        clock: Clock | None = None,
        codec: Codec | None = None,
        archive: Archive | None = None,
        short_term: Backend | None = None,
        intermediate: Backend | None = None,
    ) -> None:
        """Open the store.

        Given backends replace those of the configuration, and are closed with the store. On a manual clock, maintenance runs
        when the clock advances.
        """
        self.config = config = config if config is not None else MemoryConfig()
        self.clock = clock_or_system("TieredMemory.clock", clock)
        self._codec = codec if codec is not None else Codec()
        with ExitStack() as opened:
            # Close what was opened if the rest cannot be opened.
            long_term = archive if archive is not None else opening.open_archive(config)
            opened.callback(long_term.close)
            first = short_term if short_term is not None else opening.open_short_term(config)
            opened.callback(first.close)
            second = intermediate if intermediate is not None else opening.open_intermediate(config)
            opened.callback(second.close)
            self._store = TierStore(config, self.clock, long_term, first, second)
            opened.pop_all()
        self._maintenance = Maintenance(self._store)
        self._workers = PriorityWorkers("memory-worker", config.read_workers)
        self._background = PriorityWorkers("memory-background", 2)
        self._once: dict[str, Any] = {}
        self._reloads: list[Callable[[], object]] = []
        self._timers = Timers(self.clock, "memory")
        # A writer thread needs the interpreter lock a dozen times for each batch; with the usual 5 ms each time, waiting for it
        # would take most of the time of a write.
        self._interval = SwitchInterval(_SWITCH_AFTER)
        self._interval.hold()
        self._stores = 0
        self._deletes = 0
        self._time = self.clock.time
        self._cached = self._store.cache.get if self._store.cache is not None else _nothing
        if config.maintenance_interval is not None:
            PeriodicJob(self._timers, config.maintenance_interval, self._maintenance.run, "memory maintenance")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

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
        waiter = self._waiter() if durable else None
        if not isinstance(priority, MemoryPriority):
            raise InvalidMemory("priority", priority, "give one of MemoryPriority")
        record = self._store.write(key, make, MemoryPriority.HIGH if durable else priority, waiter)
        self._stores += 1
        if waiter is not None:
            self._await(waiter, f"{key!r} was not written")
        return record

    def record(self, key: str) -> MemoryRecord | None:
        """Return the record under `key`, or None. This does not count as use."""
        return self.records([key]).get(key)

    def records(self, keys: Iterable[str]) -> dict[str, MemoryRecord]:
        """Return the records that exist under those keys. This does not count as use."""
        self._store.check_open()
        found = self._store.find_many(check_key(key, self.config.max_key_bytes) for key in keys)
        cache = self._store.cache
        if cache is None:
            return found
        cache.apply_hits()
        for key, record in found.items():
            entry = cache.peek(key)
            if entry is not None and entry.uses:
                found[key] = touched(record, entry.uses, entry.last)
        return found

    def __contains__(self, key: str) -> bool:
        return self.record(key) is not None

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
        if key in self:
            with suppress(LookupError):
                self.put(key, lambda there, version, _: replace(present(there), version=version, model=model, vector=vector))

    def every(self, agent: str, kinds: Sequence[str]) -> list[MemoryRecord]:
        """Return all memories of an agent of those kinds, newest first. Raises `TierUnavailable`."""
        self._store.check_open()
        wanted = _PAGE
        while len(found := self._store.lists.recent((agent,), wanted, kinds=kinds, whole=True)) == wanted:
            wanted *= 4
        return found

    def catch_up(self) -> None:
        """Wait until the archive has everything stored before. Raises `TierUnavailable` and `WriteTimeout`."""
        self._store.check_open()
        self._store.lists.catch_up()

    def used(self, record: MemoryRecord) -> None:
        """Count a use of a memory that was not found by `get`."""
        self._store.note_use(record.key, 1, self._time())

    def put_internal(self, key: str, value: Any, agent: str) -> None:
        """Store an internal record, which searches and lists leave out. Its key begins with a control character."""

        def make(_: MemoryRecord | None, version: int, now: float) -> MemoryRecord:
            return MemoryRecord(
                key, key, version, self._codec.encode(value), agent, MemoryKind.INTERNAL, created=now, entered=now
            )

        self._store.write(key, make, MemoryPriority.NORMAL)

    def get_internal(self, key: str) -> Any:
        """Return the value of an internal record, or None."""
        self._store.check_open()
        found = self._store.find_many([key]).get(key)
        return None if found is None else self._codec.decode(found.value, Any)

    def export_to(self, path: Path | str, agent: str | None = None) -> int:
        """Write all memories, or those of one agent, to a file of JSON lines, and return how many."""
        self._store.check_open()
        target = _file("export_to", path)
        if agent is not None:
            check_agent(agent)
        self._store.count_uses()
        self._store.flush(self.config.write_timeout)
        return write_dump(self._store.archive, target, agent)

    def import_from(self, path: Path | str, *, replace_existing: bool = True) -> int:
        """Store the memories of a file that `export_to` wrote, and return how many.

        They keep their ids, times and counts. An existing memory under the same key is replaced, or kept. Raises `InvalidDump`
        if a line of the file is not a memory; then nothing is imported.
        """
        self._store.check_open()
        source = _file("import_from", path)
        for _ in read_dump(source, self.config.max_key_bytes, self.config.max_value_bytes):
            # Read the whole file once before importing any of it.
            continue
        count = 0
        for record in read_dump(source, self.config.max_key_bytes, self.config.max_value_bytes):
            if replace_existing or self._store.find_many([record.key]) == {}:
                moment = self.clock.time()
                self._store.write(
                    record.key,
                    lambda _, version, __, each=record, now=moment: replace(  # type: ignore[misc]
                        each, version=version, tier=Tier.SHORT, entered=now
                    ),
                    MemoryPriority.NORMAL,
                )
                count += 1
        for reload in self._reloads:
            reload()
        return count

    def on_deleted(self, agent: str, listener: Callable[[str], object]) -> None:
        """Call `listener` with the id of each memory of an agent that is deleted, or expires by maintenance.

        It is called under the lock of the store, so it must only record the id. An agent has one listener.
        """
        self._store.listeners[agent] = listener

    def on_import(self, reload: Callable[[], object]) -> None:
        """Call `reload` after each import."""
        self._reloads.append(reload)

    def new_id(self) -> str:
        """Return an unused id."""
        return self._store.new_id(self._store.next_version())

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
        return self._store.archive

    def close(self) -> None:
        """Write everything that is left, end all threads and release all resources. A second call does nothing.

        Raises `WriteTimeout` if some memories could not be written within `write_timeout`; those are lost.
        """
        if self._store.closed:
            return
        if self._store.forked:
            # Everything belongs to the parent process.
            self._store.closed = True
            self._interval.release()
            return
        countdown = Countdown(self.config.write_timeout)
        # Background work may still store memories.
        self._background.close(countdown.left() or 0.0)
        self._store.count_uses()
        self._store.stop_accepting()
        self._cached = _closed
        self._timers.close()
        self._interval.release()
        self._workers.close(countdown.left() or 0.0)
        left = self._store.close(countdown)
        if left:
            raise WriteTimeout(f"{left} memories were not written", self.config.write_timeout, self._store.archive_access.away)

    def check_durable(self) -> None:
        """Raise `InvalidMemory` if nothing outlives the process."""
        if not self._store.archive.persistent:
            raise InvalidMemory("way to store", "durable=True", "this store ends with the process; give a path or postgres_url")

    def _waiter(self) -> WriteCompletion:
        self.check_durable()
        return WriteCompletion()

    def _await(self, waiter: WriteCompletion, what: str) -> None:
        if not waiter.wait(self.config.write_timeout):
            reason = self._store.archive_access.away or "the disk is slow, or very many memories wait"
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


def _nothing(_: str) -> None:
    return None


def _closed(_: str) -> None:
    raise MemoryClosed
