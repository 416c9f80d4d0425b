"""Read which module of the package imports which, from the source text. Imports for types only count."""

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = "coterie"
SOURCE = Path(__file__).parents[2] / "src" / PACKAGE


@functools.cache
def modules(source: Path = SOURCE) -> dict[str, Path]:
    """Return the file of every module of the package, by the dotted name of the module."""
    named = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.with_suffix("").relative_to(source.parent).parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


@functools.cache
def import_graph(source: Path = SOURCE) -> dict[str, set[str]]:
    """Return, for every module, the modules of the package that it imports."""
    files = modules(source)
    return {name: {target for target in _targets(name, path, files) if target != name} for name, path in files.items()}


def _targets(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, base]) if base else ".".join(parts)
            for alias in node.names:
                if f"{base}.{alias.name}" in files:
                    yield f"{base}.{alias.name}"
                elif base in files:
                    yield base


def room_of(module: str) -> str:
    """Return the room (the top-level subpackage) of a module; an empty string for the package itself."""
    return module.split(".")[1] if "." in module else ""


def room_graph(source: Path = SOURCE) -> dict[str, set[str]]:
    """Return, for every room, the other rooms that its modules import."""
    rooms: dict[str, set[str]] = {}
    for module, targets in import_graph(source).items():
        if room := room_of(module):
            rooms.setdefault(room, set()).update(room_of(target) for target in targets)
    return {room: targets - {room, ""} for room, targets in rooms.items()}
