"""Find the kind of a scenario, and other code of users, by ``module:Class`` or an entry point of ``coterie.scenarios``."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from coterie.errors import ScenarioError, describe
from coterie.orchestrator.code import file_of, import_file
from coterie.orchestrator.kind import ScenarioKind, ScenarioParameters

GROUP = "coterie.scenarios"
"""The group of entry points by which distributions offer kinds."""


def find_kind(reference: Any, folders: Sequence[Path], path: Path | str) -> ScenarioKind[Any]:
    """Return the kind that `reference` names.

    A module of ``module:Class`` is looked for in `folders` first, then among the importable ones. Raises `ScenarioError`
    with one line; `path` is the file that it names.
    """
    if not isinstance(reference, str):
        raise ScenarioError(Path(path), [f"kind: {reference!r} is not possible; it must be text"])
    try:
        return _checked(reference, _of_module(reference, folders) if ":" in reference else _of_entry_point(reference))
    except _NotFoundError as error:
        raise ScenarioError(Path(path), [f"kind: {error}"]) from error


def known_kinds() -> dict[str, EntryPoint]:
    """Return the entry points of all installed kinds, by name."""
    return {each.name: each for each in sorted(entry_points(group=GROUP), key=lambda each: each.name)}


def find_object(reference: str, folder: Path) -> Any:
    """Return what ``module:name`` names. Raises `LookupError` with the fault and the remedy.

    The module is imported by its own name, from `folder` or as an installed one, because the names of message classes, by
    which nodes understand each other, begin with it.
    """
    module, name = _parts(reference, "is not possible; write 'module:name'")
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
    return _member(module, name, lambda: importlib.import_module(module), module, str(folder))


class _NotFoundError(LookupError):
    """A kind, or another name of users' code, cannot be found or loaded; the text has the reason and the remedy."""


def _checked(reference: str, found: Any) -> ScenarioKind[Any]:
    if not (isinstance(found, type) and issubclass(found, ScenarioKind)):
        raise _NotFoundError(f"{reference!r} is not a subclass of coterie.orchestrator.ScenarioKind; derive it from that")
    parameters = getattr(found, "parameters", None)
    if not (isinstance(parameters, type) and issubclass(parameters, ScenarioParameters)):
        raise _NotFoundError(f"{reference!r} has no `parameters`; set it to a subclass of ScenarioParameters")
    if missing := ", ".join(sorted(getattr(found, "__abstractmethods__", ()))):
        raise _NotFoundError(f"{reference!r} does not define {missing}; add it")
    return found()


def _of_entry_point(name: str) -> Any:
    known = known_kinds()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        names = " or ".join(map(repr, known)) or "a kind that is installed (none is; install coterie again)"
        raise _NotFoundError(f"{name!r} is not possible; {hint}it must be {names}, or 'module:Class' for a kind of your own")
    try:
        return known[name].load()
    except Exception as error:
        raise _NotFoundError(f"{name!r} cannot be loaded from {known[name].value}: {describe(error)}") from error


def _of_module(reference: str, folders: Sequence[Path]) -> Any:
    module, name = _parts(reference, "names no class; write 'module:Class'")
    path = next((file for folder in folders if (file := file_of(module, folder)) is not None), None)
    load = (lambda: import_file(module, path.resolve())) if path is not None else (lambda: importlib.import_module(module))
    return _member(module, f"class {name}", load, str(path or module), " or ".join(map(str, folders)))


def _parts(reference: str, remedy: str) -> tuple[str, str]:
    """Return the module and the name of ``module:name``."""
    module, _, name = reference.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise _NotFoundError(f"{reference!r} {remedy}")
    return module, name


def _member(module: str, what: str, load: Callable[[], ModuleType], where: str, places: str) -> Any:
    """Return a member of a module; `what` ends with its name, and says in an error what it should be."""
    try:
        loaded = load()
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _NotFoundError(f"{module} cannot be loaded: {describe(error)}; install it") from error
        raise _NotFoundError(
            f"there is no module {module!r} in {places}, and none that can be imported; write it there, or mend the name"
        ) from error
    except Exception as error:
        raise _NotFoundError(f"{where} cannot be loaded: {describe(error)}; mend it") from error
    name = what.rsplit(maxsplit=1)[-1]
    if not hasattr(loaded, name):
        raise _NotFoundError(f"{where} has no {what}; mend the name")
    return getattr(loaded, name)
