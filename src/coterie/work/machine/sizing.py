"""How many workers a machine should have for what: pure functions of its description."""

from __future__ import annotations

import math
from dataclasses import dataclass

from coterie.kernel import check_instance, check_number
from coterie.work.machine.machine import Machine
from coterie.work.pool.bounds import Bounds

_PROCESS_BYTES = 128 * 2**20
"""Memory that is reckoned with for a process that runs jobs."""
_LEAST = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for the whole of a process."""

    min_threads: int
    max_threads: int
    """Of one component."""
    max_pool_size: int
    """Of one pool for what waits."""
    max_processes: int


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers each component gets."""

    memory: dict[str, int]
    processing: dict[str, int]
    action: dict[str, int]
    environment: dict[str, int]


@dataclass(frozen=True, slots=True)
class Sizing:
    """The sizes that suit a machine. Immutable; everything follows from `machine`."""

    machine: Machine

    def __post_init__(self) -> None:
        check_instance("Sizing.machine", self.machine, Machine, "a Machine: Machine.detect(), or one that is described")

    @classmethod
    def detect(cls) -> Sizing:
        """Return the sizing of this machine: cores, affinity, and the container's quota of processor and memory."""
        return cls(Machine.detect())

    @property
    def cpu_bound(self) -> int:
        """Workers for what computes: one for each physical core that can be used."""
        return self.machine.cores

    def io_bound(self, wait: float, processing: float) -> int:
        """Workers for what waits `wait` seconds for every `processing` seconds in which it computes.

        That is ``cores * (1 + wait / processing)`` ("Java Concurrency in Practice", B. Goetz, 2006, section 8.2), rounded
        up, at most `limits.max_pool_size`. Raises `InvalidSetting` for what is no time.
        """
        check_number("Sizing.io_bound.wait", wait)
        check_number("Sizing.io_bound.processing", processing, above=0)
        wanted = self.machine.usable * (1 + wait / processing)
        return self.limits.max_pool_size if wanted >= self.limits.max_pool_size else math.ceil(wanted)

    @property
    def mixed(self) -> int:
        """Workers for what does both: two for each core, within the limits."""
        return min(self.machine.usable * 2, self.limits.max_threads)

    @property
    def limits(self) -> Limits:
        """What holds for the whole of a process."""
        usable = self.machine.usable
        memory = self.machine.usable_memory
        affordable = self.cpu_bound if memory is None else max(1, memory // _PROCESS_BYTES)
        return Limits(
            min_threads=_LEAST,
            max_threads=usable * 4,
            max_pool_size=usable * 8,
            max_processes=min(self.cpu_bound, affordable),
        )

    @property
    def workers(self) -> Workers:
        """How many workers each component gets, of each of its kinds; none is left without any."""
        usable, cores = self.machine.usable, self.cpu_bound
        return Workers(
            memory={"read": usable * 2, "write": cores * 2, "maintenance": max(1, cores // 4)},
            processing={
                "reasoning": cores,
                "planning": cores,
                # One core stays free for others.
                "learning": max(1, cores - 1),
                "optimisation": cores,
            },
            action={"execution": cores * 2, "feedback": max(2, cores), "recovery": max(1, cores // 2)},
            environment={"monitor": 1, "health": 1, "state": 2},
        )

    @property
    def processing(self) -> Bounds:
        """The bounds of the threads of a `ProcessingEngine`."""
        return self._bounds(sum(self.workers.processing.values()))

    @property
    def processes(self) -> Bounds:
        """The bounds of the processes of a `ProcessingEngine`: as many as compute at once, and memory permits."""
        most = self.limits.max_processes
        return Bounds(most, most)

    @property
    def action(self) -> Bounds:
        """The bounds of the threads of an `ActionSystem`."""
        return self._bounds(sum(self.workers.action.values()))

    def _bounds(self, workers: int) -> Bounds:
        limits = self.limits
        least = max(limits.min_threads, min(workers, limits.max_threads))
        return Bounds(least, max(least, limits.max_threads))
