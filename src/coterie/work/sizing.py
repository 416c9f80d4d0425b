"""Worker counts for a machine: pure functions of its description, and the measured ratio of waiting to computing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from coterie.concurrency import Rank, new_lock
from coterie.concurrency.machine import Machine
from coterie.concurrency.switching import interpreter_is_free
from coterie.kernel import check_instance, check_number
from coterie.work.pool.settings import Bounds

_PROCESS_BYTES = 128 * 2**20
"""Assumed memory of a worker process."""
_MIN_THREADS = 2
_WEIGHT = 0.05
"""Weight of the newest sample in the moving mean."""
_MIN_SAMPLES = 16
"""Samples before the measured ratio is used."""
_MIN_COMPUTE = 1e-6
_MOSTLY = 0.7
"""The share of samples after which the interpreter must have been free."""
_MIN_WAIT = 0.001
"""Seconds of waiting that a sample must have before it is asked what the thread waited for."""


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Limits for a whole process."""

    min_threads: int
    max_threads: int
    """Threads of all engines, action systems and memories together, but for growth that measured waiting justifies."""
    max_pool_size: int
    """Threads of one pool for I/O-bound work."""
    max_processes: int


@dataclass(frozen=True, slots=True)
class WorkerCounts:
    """The number of workers of each component, by kind."""

    memory: dict[str, int]
    """Threads of a `TieredMemory`: at most so many for event loops, one that writes the archive, and so on."""
    processing: dict[str, int]
    """The share of each type in the threads of a `ProcessingEngine`; processes at most, for learning."""
    action: dict[str, int]
    """The share of each stage in the threads of an `ActionSystem`."""
    environment: dict[str, int]
    """Threads of a `World` and of monitors that are in use."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """Worker counts for a machine. Immutable; all values derive from `machine`. Raises `InvalidSetting`."""

    machine: Machine

    def __post_init__(self) -> None:
        check_instance("Sizing.machine", self.machine, Machine, "a Machine, such as Machine.detect()")

    @classmethod
    def detect(cls) -> Sizing:
        """Return the sizing of the current machine: cores, affinity, and the container's limits of processor and memory."""
        return cls(Machine.detect())

    @property
    def cpu_bound(self) -> int:
        """Return the number of workers for CPU-bound work: one per usable physical core."""
        return self.machine.cores

    def io_bound(self, wait: float, processing: float) -> int:
        """Return the number of workers for work that waits `wait` seconds per `processing` seconds of computing.

        The formula is ``cores * (1 + wait / processing)`` ("Java Concurrency in Practice", B. Goetz, 2006, section 8.2), rounded
        up, at most `limits.max_pool_size`. Raises `InvalidSetting` for an invalid time.
        """
        check_number("Sizing.io_bound.wait", wait)
        check_number("Sizing.io_bound.processing", processing, above=0)
        wanted = self.machine.usable * (1 + wait / processing)
        return self.limits.max_pool_size if wanted >= self.limits.max_pool_size else math.ceil(wanted)

    @property
    def mixed(self) -> int:
        """Return the number of workers for mixed work: two per core, within the limits."""
        return self.machine.mixed

    @property
    def limits(self) -> ProcessLimits:
        """Return the limits for a whole process."""
        usable = self.machine.usable
        memory = self.machine.usable_memory
        affordable = self.cpu_bound if memory is None else max(1, memory // _PROCESS_BYTES)
        return ProcessLimits(
            min_threads=_MIN_THREADS,
            max_threads=self.machine.max_threads,
            max_pool_size=usable * 8,
            max_processes=min(self.cpu_bound, affordable),
        )

    @property
    def workers(self) -> WorkerCounts:
        """Return the number of workers of each component, at least one of each kind."""
        cores = self.cpu_bound
        return WorkerCounts(
            # Writes of one store are committed in groups by one thread; more would only wait for each other.
            memory={"read": self.machine.mixed, "write": 1, "background": 2, "maintenance": 1},
            processing={
                "reasoning": cores,
                "planning": cores,
                # Leave one core for other work.
                "learning": max(1, cores - 1),
                "optimisation": cores,
            },
            action={"execution": cores * 2, "feedback": max(2, cores), "recovery": max(1, cores // 2)},
            environment={"maintenance": 1, "monitor": 1},
        )

    @property
    def processing(self) -> Bounds:
        """Return the thread bounds of a `ProcessingEngine`."""
        return self._bounds(sum(self.workers.processing.values()))

    @property
    def processes(self) -> Bounds:
        """Return the process bounds of a `ProcessingEngine`: one process per core, as far as memory permits."""
        most = self.limits.max_processes
        return Bounds(most, most)

    @property
    def action(self) -> Bounds:
        """Return the thread bounds of an `ActionSystem`."""
        return self._bounds(sum(self.workers.action.values()))

    def _bounds(self, workers: int) -> Bounds:
        limits = self.limits
        least = max(limits.min_threads, min(workers, limits.max_threads))
        return Bounds(least, max(least, limits.max_threads))


class WaitRatio:
    """A moving mean of waiting and computing times. Safe from any thread; `_lock` guards the sums.

    A thread that waits for the interpreter's lock must not count as one that waits for input: more threads would only make
    that wait longer. So waiting counts only if the interpreter was free after it, and while it rarely is, the ratio does not
    change the number of workers.
    """

    def __init__(self, sizing: Sizing, *, is_free: Callable[[], bool] = interpreter_is_free) -> None:
        self._sizing = sizing
        self._is_free = is_free
        self._lock = new_lock(Rank.RECORDS)
        self._wait = 0.0
        self._compute = 0.0
        self._samples = 0
        self._free = 1.0
        """The moving share of samples after which the interpreter was free."""

    def observe(self, seconds: float, computed: float) -> None:
        """Record an attempt that took `seconds`, of which it used a processor for `computed` seconds.

        Called by the thread that made it; may take a millisecond after an attempt that waited.
        """
        wait = max(0.0, seconds - computed)
        free = wait < max(_MIN_WAIT, computed / 2) or self._is_free()
        with self._lock:
            self._free += _WEIGHT * (free - self._free)
            self._samples += 1
            weight = max(_WEIGHT, 1 / self._samples)
            self._wait += weight * (wait * free - self._wait)
            self._compute += weight * (computed - self._compute)

    def after_fork_in_child(self) -> None:
        """Replace the lock in a forked process, where its holder does not exist."""
        self._lock = new_lock(Rank.RECORDS)

    @property
    def wait_per_compute(self) -> float | None:
        """Return the seconds of waiting per second of computing; None until there are enough samples."""
        with self._lock:
            if self._samples < _MIN_SAMPLES:
                return None
            return self._wait / max(self._compute, _MIN_COMPUTE)

    def workers(self, default: int) -> int:
        """Return the maximum of workers for the measured ratio, or `default` if it is not known, or threads wait for the lock."""
        ratio = self.wait_per_compute
        if ratio is None or self._free < _MOSTLY:
            return default
        return max(2, self._sizing.io_bound(ratio, 1.0))
