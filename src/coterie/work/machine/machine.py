"""What a machine has, and what of it this process may use."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from coterie.kernel import check_number
from coterie.work.machine import control_groups


@dataclass(frozen=True, slots=True)
class Machine:
    """A described machine. `detect` describes the one it runs on; a test, or a plan, describes any other."""

    logical: int
    """Cores that the system shows, hyper-threads included."""
    physical: int
    affinity: int | None = None
    """Logical cores that this process may run on; None for all."""
    quota: float | None = None
    """Cores' worth of time that its container grants; None for no limit."""
    memory: int | None = None
    """Bytes that the machine has; None if unknown."""
    memory_limit: int | None = None
    """Bytes that its container grants; None for no limit."""

    def __post_init__(self) -> None:
        check_number("Machine.logical", self.logical, least=1, whole=True)
        check_number("Machine.physical", self.physical, least=1, whole=True)
        check_number("Machine.affinity", self.affinity, least=1, optional=True, whole=True)
        check_number("Machine.quota", self.quota, above=0, optional=True)
        check_number("Machine.memory", self.memory, least=1, optional=True, whole=True)
        check_number("Machine.memory_limit", self.memory_limit, least=1, optional=True, whole=True)

    @classmethod
    def detect(cls, root: str | Path = "/") -> Machine:
        """Return this machine. Control groups are read below `root`; what cannot be read sets no limit."""
        logical = psutil.cpu_count() or os.cpu_count() or 1
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        memory = psutil.virtual_memory().total
        groups = control_groups.limits(Path(root))
        limited = groups.memory is not None and groups.memory < memory
        return cls(
            logical=logical,
            # It is not known everywhere, and is then taken for the same.
            physical=psutil.cpu_count(logical=False) or logical,
            affinity=affinity,
            quota=groups.cores,
            memory=memory,
            memory_limit=groups.memory if limited else None,
        )

    @property
    def usable(self) -> int:
        """Logical cores that this process can keep busy, at least 1: a part of a core counts as one."""
        allowed = min(self.logical, self.affinity or self.logical)
        return max(1, allowed if self.quota is None else min(allowed, math.ceil(self.quota)))

    @property
    def cores(self) -> int:
        """Physical cores that this process can keep busy, at least 1."""
        return min(self.physical, self.usable)

    @property
    def usable_memory(self) -> int | None:
        """Bytes that this process may use; None if unknown."""
        known = [each for each in (self.memory, self.memory_limit) if each is not None]
        return min(known, default=None)
