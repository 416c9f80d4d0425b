"""Moves of memories between tiers: copy, verify, delete, under one id.

The archive holds every memory from the moment it is written, whatever its tier, so a process that is killed in the middle of a
move leaves it there at least; readers take the first copy they find, and searches use only the archive, so they find it once.
Each step is conditional on the version that was read, so a concurrent change wins over the move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from coterie.memory.contract import Archive, Backend, Change, Delete, Put
from coterie.memory.record import MaintenanceDecision, MemoryRecord, Tier
from coterie.memory.tiers.rules import MaintenanceVerdict


class MoveCoordinator(Protocol):
    """The methods of the store that a move needs. Memories may be written at any time."""

    def claim(self, keys: Sequence[str]) -> list[str]:
        """Return the keys that are not being written, and block writers of these until `release`."""
        ...

    def release(self, keys: Sequence[str]) -> None:
        """Unblock the writers."""
        ...

    def next_version(self) -> int:
        """Return a version greater than all before."""
        ...

    def moved(self, before: MemoryRecord, now: MemoryRecord | None) -> None:
        """Handle that a memory was replaced by another record, or deleted."""
        ...


class PlannedMove(NamedTuple):
    """A memory and the verdict about it."""

    record: MemoryRecord
    verdict: MaintenanceVerdict


class Mover:
    """Carries verdicts out. Only for one thread at a time: that of the maintenance."""

    def __init__(self, archive: Archive, workings: Mapping[Tier, Backend], coordinator: MoveCoordinator) -> None:
        self._archive = archive
        self._workings = workings
        self._coordinator = coordinator

    def carry_out(self, moves: Sequence[PlannedMove], now: float) -> list[PlannedMove]:
        """Carry out the moves that are still possible, and return those.

        Raises `TierUnavailable`; the remaining moves then have no effect.
        """
        claimed = self._coordinator.claim([move.record.key for move in moves])
        try:
            mine = set(claimed)
            return self._carry_out([move for move in moves if move.record.key in mine], now)
        finally:
            self._coordinator.release(claimed)

    def _carry_out(self, moves: Sequence[PlannedMove], now: float) -> list[PlannedMove]:
        changes = [(move, self._change(move, now)) for move in moves]
        changes = self._copy(changes)
        done = self._archive.write([change for _, change in changes])
        granted = [pair for pair, was_done in zip(changes, done, strict=True) if was_done]
        try:
            self._clean_up(granted, [pair for pair, was_done in zip(changes, done, strict=True) if not was_done])
        finally:
            # The moves are done, even if an old copy is left in a tier: it has an older version and the same content.
            for move, change in granted:
                self._coordinator.moved(move.record, change.record if isinstance(change, Put) else None)
        return [move for move, _ in granted]

    def _change(self, move: PlannedMove, now: float) -> Change:
        record, verdict = move
        note = MaintenanceDecision(
            now, record.id, record.key, record.agent, verdict.action, record.tier, verdict.target, verdict.reason
        )
        if verdict.target is None:
            return Delete(record.key, record.version, note)
        moved = replace(record, tier=verdict.target, entered=now, version=self._coordinator.next_version())
        return Put(moved, expected=record.version, note=note)

    def _copy(self, changes: list[tuple[PlannedMove, Change]]) -> list[tuple[PlannedMove, Change]]:
        """Copy memories to their working tiers, and leave out those whose copy cannot be verified."""
        whole = list(changes)
        for tier, backend in self._workings.items():
            copies = [change.record for _, change in changes if isinstance(change, Put) and change.record.tier == tier]
            if not copies:
                continue
            backend.write([Put(record) for record in copies])
            there = backend.get([record.key for record in copies])
            bad = {record.key for record in copies if there.get(record.key) != record}
            whole = [(move, change) for move, change in whole if move.record.key not in bad]
        return whole

    def _clean_up(self, granted: list[tuple[PlannedMove, Change]], refused: list[tuple[PlannedMove, Change]]) -> None:
        for tier, backend in self._workings.items():
            deletes = []
            for move, change in granted:
                stays = isinstance(change, Put) and change.record.tier == tier
                if not stays:
                    deletes.append(Delete(move.record.key, move.record.version))
            for move, change in refused:
                if isinstance(change, Put) and change.record.tier == tier:
                    deletes.append(Delete(move.record.key, change.record.version))
            if deletes:
                backend.write(deletes)
