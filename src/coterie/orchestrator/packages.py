"""Packages of files and settings that a program has, and that the nodes of a cluster fetch from it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec

from coterie.errors import ScenarioError
from coterie.errors.orchestrator import RunFolderFailed
from coterie.messaging import Request
from coterie.runtime import Agent, AgentRef, on

_PIECE = 4_000_000
_LARGEST = 50_000_000
"""Bytes of the files of a scenario at most."""
_LARGEST_BESIDE = 10_000_000
"""Bytes of a file beside the scenario at most; larger ones stay where they are."""

T = TypeVar("T")


class GetPackage(Request[bytes]):
    """Asks for a piece of a package; an empty one is after its end."""

    offset: int


class PackageHome(Agent):
    """Has the package of a program. What nodes open for it ends when it ends."""

    def __init__(self, package: bytes) -> None:
        self._package = package

    @on
    def package(self, message: GetPackage) -> bytes:
        """Return a piece of the package."""
        return self._package[message.offset : message.offset + _PIECE]


def fetch(home: AgentRef, kind: type[T]) -> T:
    """Return the package of a program, a msgspec struct."""
    data = bytearray()
    while piece := home.ask(GetPackage(len(data))).result():
        data += piece
    return msgspec.msgpack.decode(data, type=kind)


def check_size(where: Path, *files: Mapping[str, bytes]) -> None:
    """Raise `ScenarioError` for files that are too large to be sent to nodes."""
    size = sum(len(data) for each in files for data in each.values())
    if size > _LARGEST:
        problem = f"its files have {size:,} bytes, and nodes take {_LARGEST:,}: install what it needs on all machines"
        raise ScenarioError(where, [f"--cluster: {problem}"])


def files_of_module(module: Path, folder: Path) -> dict[str, bytes]:
    """Return a module in a folder with the files beside it; or the whole package, with them, if the module is in one."""
    whole = folder / module.relative_to(folder).parts[0]
    beside = [each for each in sorted(folder.iterdir()) if _goes_along(each)]
    return read_files(folder, beside if whole.is_file() else [*beside, *sorted(whole.rglob("*"))])


def read_files(folder: Path, paths: Sequence[Path]) -> dict[str, bytes]:
    """Return the files among the paths, by their paths in a folder. Raises `RunFolderFailed`."""
    try:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in paths
            if path.is_file() and "__pycache__" not in path.parts
        }
    except OSError as error:
        raise RunFolderFailed(folder, error) from error


def write_code(code: Mapping[str, bytes]) -> Path:
    """Write code into a folder of this process, unless it is there; return the folder. It stays: classes of it may be in use."""
    name = hashlib.sha256(msgspec.msgpack.encode(sorted(code.items()))).hexdigest()[:16]
    folder = _root() / name
    write_files(code, folder)
    return folder


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder, unless they are there. Raises `ScenarioError` for a path that leads out of it."""
    for path, data in files.items():
        target = folder / path
        if ".." in Path(path).parts or not target.is_relative_to(folder):
            raise ScenarioError(path, ["a path leads out of the folder of the scenario"])
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file():
            target.write_bytes(data)


@cache
def _root() -> Path:
    return Path(tempfile.mkdtemp(prefix="coterie-code-"))


def _goes_along(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.stat().st_size <= _LARGEST_BESIDE
