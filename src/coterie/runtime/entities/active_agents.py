"""The active durable agents of a runtime, and which of them are passivated."""

from __future__ import annotations

from collections import OrderedDict

from coterie.concurrency import Rank, new_lock
from coterie.durable import Identity
from coterie.kernel import Clock
from coterie.runtime.entities.entity_cell import EntityCell

_LOOKED_AT = 16
"""The most activations that a search examines in addition to the number that it must find."""


class ActiveAgents:
    """The activations, in the order in which they were last seen in use. Safe from any thread: `_lock` guards the table.

    A message does not move its agent in the table. When a place is needed, the first activation of the table gets a
    second chance if it was used since it was last examined (the clock algorithm, Corbato 1968). This is nearly "least
    recently used".
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._lock = new_lock(Rank.ACTIVE_ENTITIES)
        self._cells: OrderedDict[Identity, tuple[EntityCell, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cells)

    def add(self, identity: Identity, cell: EntityCell) -> None:
        """Add an activation, and passivate others if there are too many now."""
        with self._lock:
            self._cells[identity] = (cell, self._clock.monotonic())
            chosen = self._least_used(len(self._cells) - self._most)
        for each in chosen:
            each.control(each.passivate_if_idle)

    def remove(self, identity: Identity, cell: EntityCell) -> None:
        """Remove an activation that has ended."""
        with self._lock:
            if self._cells.get(identity, (None,))[0] is cell:
                del self._cells[identity]

    def cells(self) -> dict[Identity, EntityCell]:
        """Return the activations."""
        with self._lock:
            return {identity: cell.local for identity, (cell, _) in self._cells.items()}

    def passivate_idle(self, before: float) -> None:
        """Passivate the agents that have had no message since a time of the monotonic clock."""
        with self._lock:
            cells = [cell.local for cell, _ in self._cells.values() if cell.local.last_beat <= before]
        for cell in cells:
            if cell.is_idle:
                cell.control(cell.passivate_if_idle)

    def _least_used(self, count: int) -> list[EntityCell]:
        chosen: list[EntityCell] = []
        for _ in range(min(len(self._cells), count + _LOOKED_AT) if count > 0 else 0):
            if len(chosen) == count:
                break
            identity, (cell, seen) = next(iter(self._cells.items()))
            self._cells.move_to_end(identity)
            local = cell.local
            if local.last_beat > seen or not local.is_idle:
                self._cells[identity] = (cell, local.last_beat)
            elif not local.passivating:
                chosen.append(local)
        return chosen
