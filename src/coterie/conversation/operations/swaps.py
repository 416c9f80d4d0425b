"""Many transitions as one write of the database: each succeeds or is refused alone, for a refused one has changed nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.errors import TransitionRefused
from coterie.storage import Database, Pending, Transaction


class Swap(Pending[None]):
    """One transition on its way."""

    __slots__ = ("refuse", "values")

    def __init__(self, where: str, values: Sequence[Any], refuse: Callable[[], TransitionRefused]) -> None:
        super().__init__(where)
        self.values = values
        self.refuse = refuse


class Swaps:
    """Gathers the transitions that are asked for while the writer is busy, and hands them over together.

    A write of its own for each would be held apart by a savepoint, which costs more than the transition. Safe from any
    thread; `_lock` guards what is gathered.
    """

    def __init__(self, database: Database, sql: str) -> None:
        self._database = database
        self._sql = sql
        self._lock = new_lock(Rank.RECORDS)
        self._gathered: list[Swap] = []

    def put(self, swap: Swap) -> Swap:
        """Have a transition made after all that were asked for before; return it, to be waited for."""
        with self._lock:
            self._gathered.append(swap)
            first = len(self._gathered) == 1
        if first:
            group = _Group(self)
            try:
                pending = self._database.write(group.work)
            except BaseException as error:
                group.end(error)
                raise
            pending.add_callback(lambda: group.end(pending.exception()))
        return swap

    def take(self) -> list[Swap]:
        """Return what was gathered, which is then the caller's."""
        with self._lock:
            gathered, self._gathered = self._gathered, []
        return gathered

    def make(self, write: Transaction, swaps: Sequence[Swap]) -> list[bool]:
        """Make transitions, and return which of them counted."""
        return [write.execute(self._sql, swap.values) == 1 for swap in swaps]


class _Group:
    """The transitions of one write. It may be done again, and is then the same ones."""

    def __init__(self, swaps: Swaps) -> None:
        self._swaps = swaps
        self._taken: list[Swap] | None = None
        self._counted: list[bool] = []

    def work(self, write: Transaction) -> None:
        """Make them. On the writer's thread."""
        if self._taken is None:
            self._taken = self._swaps.take()
        self._counted = self._swaps.make(write, self._taken)

    def end(self, error: BaseException | None) -> None:
        """Tell each what came of it, once that is committed."""
        taken = self._taken if self._taken is not None else self._swaps.take()
        counted = self._counted if error is None else [False] * len(taken)
        for swap, counts in zip(taken, counted, strict=True):
            if counts:
                swap.succeed(None)
            else:
                swap.fail(error if error is not None else swap.refuse())
