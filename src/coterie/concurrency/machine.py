"""Cores and memory of a machine, and the share of this process, including the limits of Linux control groups."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from coterie.kernel import check_number

_UNLIMITED = 1 << 60
"""Version 1 of control groups writes no limit as a huge number."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The description of a machine. `detect` describes the current one; tests and plans can describe any other.

    Raises `InvalidSetting`.
    """

    logical: int
    """Logical cores, including hyper-threads."""
    physical: int
    affinity: int | None = None
    """Logical cores that this process may run on; None for all."""
    quota: float | None = None
    """Processor time that the container grants, in cores; None for no limit."""
    memory: int | None = None
    """Bytes of memory; None if unknown."""
    memory_limit: int | None = None
    """Bytes of memory that the container grants; None for no limit."""

    def __post_init__(self) -> None:
        check_number("Machine.logical", self.logical, least=1, whole=True)
        check_number("Machine.physical", self.physical, least=1, whole=True)
        check_number("Machine.affinity", self.affinity, least=1, optional=True, whole=True)
        check_number("Machine.quota", self.quota, above=0, optional=True)
        check_number("Machine.memory", self.memory, least=1, optional=True, whole=True)
        check_number("Machine.memory_limit", self.memory_limit, least=1, optional=True, whole=True)

    @classmethod
    def detect(cls, root: str | Path = "/") -> Machine:
        """Return the current machine. Control groups are read below `root`; an unreadable one sets no limit."""
        logical = psutil.cpu_count() or os.cpu_count() or 1
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        memory = psutil.virtual_memory().total
        groups = group_limits(Path(root))
        limited = groups.memory is not None and groups.memory < memory
        return cls(
            logical=logical,
            # Some systems do not report physical cores; assume the logical ones.
            physical=psutil.cpu_count(logical=False) or logical,
            affinity=affinity,
            quota=groups.cores,
            memory=memory,
            memory_limit=groups.memory if limited else None,
        )

    @property
    def usable(self) -> int:
        """Return the logical cores that this process can keep busy, at least 1; part of a core counts as one."""
        allowed = min(self.logical, self.affinity or self.logical)
        return max(1, allowed if self.quota is None else min(allowed, math.ceil(self.quota)))

    @property
    def cores(self) -> int:
        """Return the physical cores that this process can keep busy, at least 1."""
        return min(self.physical, self.usable)

    @property
    def mixed(self) -> int:
        """Return the number of threads for work that computes and waits: two for each usable core."""
        return self.usable * 2

    @property
    def max_threads(self) -> int:
        """Return the number of threads of all parts together whose threads compute and wait: four for each usable core."""
        return self.usable * 4

    @property
    def usable_memory(self) -> int | None:
        """Return the bytes of memory that this process may use; None if unknown."""
        known = [each for each in (self.memory, self.memory_limit) if each is not None]
        return min(known, default=None)


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """The tightest limits of all control groups of a process ("cgroups", man page 7; versions 1 and 2)."""

    cores: float | None
    memory: int | None


@dataclass(frozen=True, slots=True)
class _Mount:
    """A mount point of a control group hierarchy."""

    point: Path
    root: str
    """The group that is mounted there."""
    controllers: frozenset[str]
    """The controllers of version 1; empty for version 2."""


def _default_mounts(root: Path) -> list[_Mount]:
    """Return the usual mounts, for systems whose mount table cannot be read."""
    point = root / "sys/fs/cgroup"
    version_one = [("cpu", frozenset({"cpu", "cpuacct"})), ("memory", frozenset({"memory"}))]
    return [_Mount(point, "/", frozenset()), *(_Mount(point / name, "/", names) for name, names in version_one)]


def group_limits(root: Path) -> GroupLimits:
    """Return the limits of this process. The limits of all parent groups apply too."""
    mounts = list(_mounts(root)) or _default_mounts(root)
    groups = list(_groups(root)) or [(mount.controllers, "/") for mount in mounts]
    cores: list[float] = []
    memory: list[int] = []
    for controllers, group in groups:
        for mount in mounts:
            # A hybrid system has both versions; each group belongs to the mount with the same controllers.
            if mount.controllers >= controllers and bool(mount.controllers) is bool(controllers):
                for folder in _folders(mount, group):
                    cores += _cores(folder)
                    memory += _memory(folder)
    return GroupLimits(min(cores, default=None), min(memory, default=None))


def _groups(root: Path) -> Iterator[tuple[frozenset[str], str]]:
    for line in _read(root / "proc/self/cgroup").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:  # noqa: PLR2004 - number, controllers, path
            names = frozenset(name for name in parts[1].split(",") if name)
            if not names or names & {"cpu", "memory"}:
                yield names, parts[2]


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _read(root / "proc/self/mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        before, after = fields.split(), rest.split()
        if len(before) > 4 and len(after) > 2 and after[0] in ("cgroup", "cgroup2"):  # noqa: PLR2004 - as proc(5) says
            options = frozenset(after[-1].split(",")) & {"cpu", "cpuacct", "memory"}
            controllers = options if after[0] == "cgroup" else frozenset[str]()
            if controllers or after[0] == "cgroup2":
                yield _Mount(root / before[4].lstrip("/"), before[3], controllers)


def _folders(mount: _Mount, group: str) -> Iterator[Path]:
    """Yield the folder of a group and those of its visible parents."""
    inside = group
    if mount.root != "/":
        # Inside a container the mount shows the container's own group, and the path may be the host's.
        inside = group[len(mount.root) :] if group.startswith(mount.root) else ""
    folder = mount.point / inside.strip("/")
    if ".." in folder.parts or not folder.is_dir():
        folder = mount.point
    while folder != mount.point:
        yield folder
        folder = folder.parent
    yield mount.point


def _cores(folder: Path) -> list[float]:
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = (_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    try:
        granted = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        # "max", or no such file.
        return []
    return [granted] if granted > 0 else []


def _memory(folder: Path) -> list[int]:
    granted = []
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _read(folder / name).strip()
        if text.isdigit() and 0 < int(text) < _UNLIMITED:
            granted.append(int(text))
    return granted


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
