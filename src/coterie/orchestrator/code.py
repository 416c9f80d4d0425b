"""The code that a scenario names. It is searched beside the file only."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from coterie.errors import describe
from coterie.orchestrator.assistants.assistant import Assistant, Place
from coterie.orchestrator.assistants.scenario import AssistantSettings
from coterie.orchestrator.problems import problem


@dataclass(frozen=True)
class Provider:
    """A function that opens an assistant, and the model of its settings, if it has settings."""

    function: Callable[..., Any]
    settings: type[BaseModel] | None

    def problems(self, given: dict[str, Any]) -> list[str]:
        """Return the faults of the table ``[settings]``, a line for each."""
        if self.settings is None:
            return [f"settings.{key}: the provider takes no settings; remove it" for key in given]
        try:
            self.settings.model_validate(given)
        except ValidationError as error:
            return [f"settings.{problem(each, given, self.settings)}" for each in error.errors()]
        return []

    def open(self, place: Place, given: dict[str, Any]) -> Assistant:
        """Return the assistant of the provider. Raises its errors, and `TypeError` for a result that is not an `Assistant`."""
        found = self.function(place) if self.settings is None else self.function(place, self.settings.model_validate(given))
        if not isinstance(found, Assistant):
            raise TypeError(f"it returned a {type(found).__name__}; it is to return a coterie.orchestrator.Assistant")
        return found


def load(named: AssistantSettings, folder: Path) -> Provider | str:
    """Return the provider that a scenario in that folder names, or its fault.

    Its module is the user's own code and runs as such, as a script would. It gets a name of its own in the interpreter,
    so two scenarios may use the same name for different files; within a package, imports are relative.
    """
    path = file_of(named.module, folder)
    if path is None:
        return (
            f"there is no {named.module}.py and no package {named.module} beside the scenario file; write it, or mend the name"
        )
    try:
        module = import_file(named.module, path.resolve())
    except Exception as error:  # noqa: BLE001 - whatever a user's code raises, the user is told
        return f"{path} cannot be loaded: {describe(error)}"
    function = getattr(module, named.function, None)
    if not callable(function):
        return f"{path} has no function {named.function}"
    return _provider(function)


def file_of(module: str, folder: Path) -> Path | None:
    """Return the file of a module or a package in a folder, or None."""
    base = folder.joinpath(*module.split("."))
    return next((path for path in (base.with_name(f"{base.name}.py"), base / "__init__.py") if path.is_file()), None)


def _provider(function: Callable[..., Any]) -> Provider | str:
    name = getattr(function, "__name__", "it")
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) == 1:
        return Provider(function, None)
    if len(parameters) != 2:  # noqa: PLR2004 - place, settings
        return f"{name} takes {len(parameters)} arguments; it is to take a Place, and its settings if there are any"
    kind = typing.get_type_hints(function).get(parameters[1].name)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return f"{parameters[1].name} of {name} has no type; annotate it with a pydantic model of the settings"
    return Provider(function, kind)


def import_file(name: str, path: Path) -> Any:
    """Import a file under a name of its own in the interpreter, once. Raises the errors of its code."""
    unique = f"{name}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    loaded = sys.modules.get(unique)
    if loaded is not None:
        return loaded
    inside = [str(path.parent)] if path.name == "__init__.py" else None
    specification = importlib.util.spec_from_file_location(unique, path, submodule_search_locations=inside)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[unique] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(unique, None)
        raise
    return module
