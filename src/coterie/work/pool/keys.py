"""The keys under which jobs run once, and the ids that callers give to jobs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Generic, TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.errors import InvalidSetting
from coterie.errors.work import KeyConflict
from coterie.kernel import Clock
from coterie.work.jobs import Job, JobState
from coterie.work.pool.settings import Retention

J = TypeVar("J", bound=Job[Any])


class JobKeys(Generic[J]):
    """The keys of jobs that have not ended, or ended recently, so that jobs with the same key run once.

    Safe from any thread; `_lock` guards all tables. `reusable` tells which ended jobs keep their key.
    """

    def __init__(self, keep: Retention, clock: Clock, reusable: Callable[[J], bool]) -> None:
        self._keep = keep
        self._clock = clock
        self._reusable = reusable
        self._lock = new_lock(Rank.RECORDS)
        self._jobs: dict[str, J] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._bytes = 0
        self._dropped: list[J] = []

    def claim(self, key: str, job: J) -> J | None:
        """Assign a free key to a job, or return the job that has it. Raises `KeyConflict`."""
        with self._lock:
            self._trim()
            known = self._jobs.get(key)
            if known is not None and known.state.ended and not self._reusable(known):
                # Its end has not been noted yet.
                self._drop(key)
                known = None
            if known is None:
                self._jobs[key] = job
        self._free()
        if known is not None and known.call.identity != job.call.identity:
            raise KeyConflict(key, known.name, job.name)
        return known

    def find(self, key: str) -> J | None:
        """Return the job that has a key, or None."""
        with self._lock:
            self._trim()
            known = self._jobs.get(key)
        self._free()
        return known

    def replace(self, key: str, job: J) -> None:
        """Assign a key to another job."""
        with self._lock:
            if key in self._jobs:
                self._drop(key)
            self._jobs[key] = job
        self._free()

    def release(self, key: str, job: J) -> None:
        """Free the key of a job that was not accepted."""
        with self._lock:
            if self._jobs.get(key) is job:
                self._drop(key)

    def note_end(self, key: str, job: J) -> None:
        """Keep the key of an ended job for a while; free it if the job is not reusable."""
        with self._lock:
            if self._jobs.get(key) is not job or key in self._ended:
                return
            if not self._reusable(job):
                self._drop(key)
            else:
                self._ended[key] = self._clock.monotonic()
                self._bytes += job.size
                self._trim()
        self._free()

    def _trim(self) -> None:
        """Free the keys above the limits. The lock is held."""
        keep, oldest = self._keep, self._clock.monotonic() - self._keep.seconds
        while self._ended:
            key, ended = next(iter(self._ended.items()))
            if len(self._ended) <= keep.count and self._bytes <= keep.bytes and ended > oldest:
                return
            self._drop(key)

    def _drop(self, key: str) -> None:
        job = self._jobs.pop(key)
        if self._ended.pop(key, None) is not None:
            self._bytes -= job.size
        self._dropped.append(job)

    def _free(self) -> None:
        """Free dropped jobs without the lock, because finalizers of user objects run here."""
        if self._dropped:
            self._dropped = []


class JobIds:
    """The ids that callers gave to jobs: each is taken while its job is live or retained. Safe from any thread.

    `pools` are the names from which other ids are made.
    """

    def __init__(self, keep: Retention, clock: Clock, pools: Collection[str]) -> None:
        self._pools = tuple(pools)
        self._jobs: JobKeys[Job[Any]] = JobKeys(keep, clock, lambda job: job.state is not JobState.SHED)

    def assign(self, id: str | None, job: Job[Any]) -> None:  # noqa: A002 - the field's own name
        """Give a job the id that its submitter chose, if any. Raises `InvalidSetting` for one that is taken or no id."""
        if id is None:
            return
        if id.__class__ is not str or not id or any(self._is_made(id, pool) for pool in self._pools):
            raise InvalidSetting("submit.id", id, f"a text that is not empty and not of the form {self._pools[0]}-7")
        try:
            taken = self._jobs.claim(id, job) is not None
        except KeyConflict:
            taken = True
        if taken:
            raise InvalidSetting("submit.id", id, "an id that no live or retained job has")
        job.own_id = id
        job.add_callback(partial(self._jobs.note_end, id, job))

    def find(self, id: str) -> Job[Any] | None:  # noqa: A002 - the field's own name
        """Return the live or retained job that was given an id, or None."""
        return self._jobs.find(id)

    def release(self, job: Job[Any]) -> None:
        """Free the id of a job that was not accepted."""
        if job.own_id is not None:
            self._jobs.release(job.own_id, job)

    @staticmethod
    def _is_made(id: str, pool: str) -> bool:  # noqa: A002 - the field's own name
        return id.startswith(f"{pool}-") and id[len(pool) + 1 :].isdigit()
