"""The worlds of runs: that of a live simulation of this process, or a copy of the database of a run's folder."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from coterie.concurrency import Rank, new_lock
from coterie.console.run_reader import RowOf, WorldReader
from coterie.console.sources import Sources
from coterie.kernel import Clock
from coterie.orchestrator import find_runs, recorded_world
from coterie.orchestrator.folder import LOG
from coterie.rounds import Simulation
from coterie.world import World

_OPEN = 4
"""Copies that are kept at most."""
_FEWEST_SECONDS, _SHARE = 0.5, 0.02
"""A run that goes on elsewhere is copied again after this time, or later, so that copying takes this share of the time."""
_LIVE_BUDGET, _STORED_BUDGET = 20_000, 200_000
"""Events that one look at a page reads, of a run of this process and of a copy."""


class RunWorld(NamedTuple):
    """The world of a run, and what was read of it."""

    world: World
    reader: WorldReader
    simulation: Simulation | None
    reading: float
    """The part of the log that was read."""


class _Held:
    """One world with its reader. `lock` lets one page at a time read it."""

    def __init__(self) -> None:
        self.lock = new_lock(Rank.CONSOLE)
        self.reader = WorldReader()
        self.copy: World | None = None
        self.resources = ExitStack()
        self.version: Any = None
        self.copied_at = 0.0
        self.took = 0.0


class RunWorlds:
    """The worlds that pages look at. Safe from any thread: `_lock` guards the table of copies."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._lock = new_lock(Rank.RECORDS)
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def folders(self) -> dict[str, Path]:
        """Return the folders of the runs by their ids, newest first."""
        found: dict[str, Path] = {}
        for path in find_runs(self._sources.places):
            name, number = path.resolve().name, 2
            chosen = name
            while chosen in found:
                chosen, number = f"{name}~{number}", number + 1
            found[chosen] = path
        return found

    def simulations(self) -> dict[str, Simulation]:
        """Return the live simulations of this process, by their ids."""
        return self._sources.of(Simulation)

    @contextlib.contextmanager
    def reading(
        self,
        id: str,  # noqa: A002 - the usual name
        path: Path | None,
        row: RowOf | None = None,
    ) -> Iterator[RunWorld | None]:
        """Lend the world of a run, read as far as the budget allows; None for a run without a world.

        `row` returns the row of a round, whose numbers are kept too.
        """
        simulation = self.simulations().get(id)
        if simulation is None and (path is None or not (path / LOG).is_file()):
            yield None
            return
        with self._lock:
            held = self._held.setdefault(id, _Held())
            self._held.move_to_end(id)
            dropped = self._held.popitem(last=False)[1] if len(self._held) > _OPEN else None
        if dropped is not None:
            with dropped.lock:
                dropped.resources.close()
        with held.lock:
            if simulation is not None:
                world, budget = simulation.plan.world, _LIVE_BUDGET
                if world.closed and path is not None:
                    simulation = None
            if simulation is None:
                assert path is not None
                world, budget = self._copy(held, path), _STORED_BUDGET
            held.reader.row = row or held.reader.row
            part = held.reader.refresh(world, budget, leap=simulation is not None)
            yield RunWorld(world, held.reader, simulation, part)

    def close(self) -> None:
        """Close the copies."""
        with self._lock:
            held, self._held = list(self._held.values()), OrderedDict()
        for each in held:
            with each.lock:
                each.resources.close()

    def _copy(self, held: _Held, path: Path) -> World:
        version = tuple(_version(path / name) for name in (LOG, f"{LOG}-wal"))
        now = self._clock.monotonic()
        due = now - held.copied_at >= max(_FEWEST_SECONDS, held.took / _SHARE)
        if held.copy is not None and (version == held.version or not due):
            return held.copy
        resources = ExitStack()
        copy = resources.enter_context(recorded_world(path))
        held.resources.close()
        held.resources, held.copy, held.version = resources, copy, version
        held.copied_at, held.took = self._clock.monotonic(), self._clock.monotonic() - now
        return copy


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - the cheapest look
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
