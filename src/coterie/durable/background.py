"""Writes in the background: changes that are answered before they are stored, and are stored together soon after."""

from __future__ import annotations

from collections.abc import Callable

from coterie.concurrency import Rank, Signal, new_lock
from coterie.durable.records import DurableChange, Identity
from coterie.durable.store import DurableStore
from coterie.errors import StorageError

Lost = Callable[[BaseException], None]


class _Group:
    """The changes that are written together, at most one for each agent, each with its `lost`."""

    __slots__ = ("changes", "written")

    def __init__(self) -> None:
        self.changes: dict[Identity, tuple[DurableChange, Lost]] = {}
        self.written = Signal()


class BackgroundWrites:
    """Collects changes for a moment, and writes them in one transaction. Several changes of one agent become one.

    Safe from any thread. `_lock` guards the group, and is held while the group is queued: an agent's next change, which
    follows `flush`, is queued after it. `soon` has a function called within milliseconds, on any thread.
    """

    def __init__(self, store: DurableStore, soon: Callable[[Callable[[], None]], None]) -> None:
        self._store = store
        self._soon = soon
        self._lock = new_lock(Rank.BACKGROUND_WRITES)
        self._group = _Group()

    def add(self, change: DurableChange, lost: Lost) -> tuple[Signal, bool]:
        """Add a change. Return the signal that it has been written or lost, and whether it joined an earlier one.

        A change that joins an earlier one makes no commit of its own. `lost` is called with the error if the change cannot
        be stored.
        """
        with self._lock:
            group = self._group
            first = not group.changes
            earlier = group.changes.setdefault(change.identity, (change, lost))[0]
            joined = earlier is not change
            if joined:
                earlier.add(change)
        if first:
            self._soon(self.flush)
        return group.written, joined

    def flush(self) -> None:
        """Queue the collected changes for the database. A change that cannot be queued is lost."""
        with self._lock:
            group, self._group = self._group, _Group()
            if not group.changes:
                return
            changes = [change for change, _ in group.changes.values()]
            try:
                pending = self._store.commit_all(changes)
            except StorageError as error:
                problem: BaseException = error
            else:
                pending.add_callback(lambda: self._written(group, pending.exception()))
                return
        for _, lost in group.changes.values():
            lost(problem)
        group.written.set()

    def _written(self, group: _Group, error: BaseException | None) -> None:
        """End a group that was written. One that failed is written again, each change alone: some may succeed."""
        if error is None:
            group.written.set()
            return
        left = len(group.changes)

        def ended(lost: Lost, error: BaseException | None) -> None:
            # Only the writer's thread comes here.
            nonlocal left
            left -= 1
            if error is not None:
                lost(error)
            if not left:
                group.written.set()

        for change, lost in group.changes.values():
            try:
                self._write_alone(change, lost, ended)
            except StorageError as problem:
                ended(lost, problem)

    def _write_alone(self, change: DurableChange, lost: Lost, ended: Callable[[Lost, BaseException | None], None]) -> None:
        pending = self._store.commit(change, durable=False)
        pending.add_callback(lambda: ended(lost, pending.exception()))
