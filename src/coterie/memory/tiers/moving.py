"""Moving memories between tiers: copy, verify, delete, under one id.

The archive holds every memory from the moment it is written, whatever its tier, so a process that is killed in the middle
of a move leaves it there, at least; readers take the first copy that they meet, and searches ask the archive alone, so it
is found once. Each step is conditional on the version that was read, so a change in the middle wins over the move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from coterie.memory.contract import Archive, Backend, Change, Delete, Put
from coterie.memory.record import MaintenanceDecision, MemoryRecord, Tier
from coterie.memory.tiers.rules import MaintenanceVerdict


class Keeper(Protocol):
    """What a move needs of the store, whose memories may be written at any time."""

    def claim(self, keys: Sequence[str]) -> list[str]:
        """Return those keys that nobody is writing, and let whoever comes to write them wait until they are released."""
        ...

    def release(self, keys: Sequence[str]) -> None:
        """Let those who wait go on."""
        ...

    def next_version(self) -> int:
        """Return a version that is greater than all before."""
        ...

    def moved(self, before: MemoryRecord, now: MemoryRecord | None) -> None:
        """Hear that a memory is another record now, or gone."""
        ...


class PlannedMove(NamedTuple):
    """A memory, and what was decided about it."""

    record: MemoryRecord
    verdict: MaintenanceVerdict


class Mover:
    """Carries verdicts out. Only for one thread at a time; the maintenance's."""

    def __init__(self, archive: Archive, workings: Mapping[Tier, Backend], keeper: Keeper) -> None:
        self._archive = archive
        self._workings = workings
        self._keeper = keeper

    def carry_out(self, moves: Sequence[PlannedMove], now: float) -> list[PlannedMove]:
        """Carry out what is still possible, and return what was done. Raises `TierUnavailable`; what is left undone then
        is as if it had not been begun.
        """  # noqa: D205 - one promise
        claimed = self._keeper.claim([move.record.key for move in moves])
        try:
            mine = set(claimed)
            return self._carry_out([move for move in moves if move.record.key in mine], now)
        finally:
            self._keeper.release(claimed)

    def _carry_out(self, moves: Sequence[PlannedMove], now: float) -> list[PlannedMove]:
        changes = [(move, self._change(move, now)) for move in moves]
        changes = self._copy(changes)
        done = self._archive.write([change for _, change in changes])
        granted = [pair for pair, was_done in zip(changes, done, strict=True) if was_done]
        try:
            self._clean_up(granted, [pair for pair, was_done in zip(changes, done, strict=True) if not was_done])
        finally:
            # It has happened, even if a copy is left over somewhere: that one is older, and says the same.
            for move, change in granted:
                self._keeper.moved(move.record, change.record if isinstance(change, Put) else None)
        return [move for move, _ in granted]

    def _change(self, move: PlannedMove, now: float) -> Change:
        record, verdict = move
        note = MaintenanceDecision(
            now, record.id, record.key, record.agent, verdict.action, record.tier, verdict.target, verdict.reason
        )
        if verdict.target is None:
            return Delete(record.key, record.version, note)
        moved = replace(record, tier=verdict.target, entered=now, version=self._keeper.next_version())
        return Put(moved, expected=record.version, note=note)

    def _copy(self, changes: list[tuple[PlannedMove, Change]]) -> list[tuple[PlannedMove, Change]]:
        """Copy what goes to a working tier, and leave out what is not found there as it was copied."""
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
