"""What the control groups of Linux grant to this process, of both versions ("cgroups", man page 7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ENDLESS = 1 << 60
"""Version 1 writes no limit as a number near the greatest there is."""


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """The tightest limits over all groups that a process is in."""

    cores: float | None
    memory: int | None


@dataclass(frozen=True, slots=True)
class _Mount:
    """A place where groups can be looked at."""

    point: Path
    root: str
    """The group that is seen at that place."""
    controllers: frozenset[str]
    """Those of version 1; empty for version 2."""


def _usual(root: Path) -> list[_Mount]:
    """Return where groups are looked at on nearly every system, for where that cannot be read."""
    point = root / "sys/fs/cgroup"
    version_one = [("cpu", frozenset({"cpu", "cpuacct"})), ("memory", frozenset({"memory"}))]
    return [_Mount(point, "/", frozenset()), *(_Mount(point / name, "/", names) for name, names in version_one)]


def limits(root: Path) -> GroupLimits:
    """Return the limits that hold for this process. A group is limited by all that it lies in, too."""
    mounts = list(_mounts(root)) or _usual(root)
    groups = list(_groups(root)) or [(mount.controllers, "/") for mount in mounts]
    cores: list[float] = []
    memory: list[int] = []
    for controllers, group in groups:
        for mount in mounts:
            # A hybrid system has both versions; each line of groups belongs to the mount of the same controllers.
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
    """Yield the folder of a group, and of those that it lies in, as far as they can be seen."""
    inside = group
    if mount.root != "/":
        # Within a container the place shows the container's own group, and the path may be the host's.
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
        # "max", or nothing of the kind here.
        return []
    return [granted] if granted > 0 else []


def _memory(folder: Path) -> list[int]:
    granted = []
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _read(folder / name).strip()
        if text.isdigit() and 0 < int(text) < _ENDLESS:
            granted.append(int(text))
    return granted


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
