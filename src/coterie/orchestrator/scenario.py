"""Scenario files: reading, finding their kind, and checking."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from coterie.errors import ScenarioError
from coterie.errors.orchestrator import RunFolderFailed, RunUnknown
from coterie.orchestrator.finding import find_kind
from coterie.orchestrator.folder import SCENARIO
from coterie.orchestrator.kind import ScenarioKind, ScenarioParameters
from coterie.orchestrator.modelling import ModelSettings
from coterie.orchestrator.problems import problem

ORIGIN = "origin.json"
"""The folder of the scenario file, in the folder of a run: a kind beside the file is found there again."""
_RUNTIME = ("dispatcher", "threads", "delay")
"""Settings in the table `runtime`."""


@dataclass(frozen=True)
class Scenario:
    """A checked scenario: its kind and its parameters."""

    kind: ScenarioKind[Any]
    parameters: ScenarioParameters
    folder: Path
    """The folder of the scenario file: the base of its paths, searched for the module of its kind."""
    origin: Path
    """The folder of the scenario file that it was read from."""

    @property
    def model(self) -> ModelSettings | None:
        """The settings of its language model; None without one."""
        found = getattr(self.parameters, "model", None)
        return found if isinstance(found, ModelSettings) else None

    def changed(self, given: Mapping[str, Any]) -> Scenario:
        """Return the scenario with changed settings; None changes nothing. Raises `ScenarioError` for unknown settings."""
        data = self.parameters.model_dump()
        for key, value in given.items():
            if value is None:
                continue
            table = data.get("runtime") if key in _RUNTIME else data
            if not isinstance(table, dict) or key not in table:
                raise ScenarioError(self.parameters.name, [f"--{key}: {data['kind']} has no such setting; leave it out"])
            table[key] = value
        return self.checked(data)

    def with_model(self, settings: Mapping[str, Any]) -> Scenario:
        """Return the scenario with changed settings of its model; None changes nothing. Raises `ScenarioError`."""
        given = {key: value for key, value in settings.items() if value is not None}
        if not given:
            return self
        parameters = self.parameters
        if "model" not in type(parameters).model_fields:
            raise ScenarioError(parameters.name, [f"--model: {parameters.kind} uses no model; leave it out"])
        before = self.model.model_dump() if self.model is not None else {}
        if "name" not in given and "name" not in before:
            raise ScenarioError(parameters.name, ["model.name: there is no model; name one with --model"])
        return self.checked({**parameters.model_dump(), "model": before | given})

    def checked(self, data: dict[str, Any], path: Path | str = "") -> Scenario:
        """Return the scenario with other parameters. Raises `ScenarioError` with a line for every mistake."""
        return replace(self, parameters=_parameters(self.kind, data, path or self.parameters.name))

    def copied_to(self, target: Path) -> Scenario:
        """Copy the files of a run into its folder, and return the scenario to record there. Raises `RunFolderFailed`."""
        try:
            (target / ORIGIN).write_bytes(msgspec.json.encode({"folder": str(self.origin.resolve())}))
        except OSError as error:
            raise RunFolderFailed(target, error) from error
        return replace(self, parameters=self.kind.copy_files(self.parameters, self.folder, target), folder=target)

    @classmethod
    def of_run(cls, path: Path) -> Scenario:
        """Return the scenario of a run, as it was run. Raises `RunUnknown`, and `ScenarioError` for a kind that is gone."""
        try:
            text = (path / SCENARIO).read_bytes()
        except OSError as error:
            raise RunUnknown(path, f"there is no {SCENARIO} that could be read in it ({error.strerror})") from error
        file = path / ORIGIN
        try:
            origin = Path(msgspec.json.decode(file.read_bytes())["folder"]) if file.is_file() else path
            data = msgspec.json.decode(text)
            reference = data["kind"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise RunUnknown(path, f"its {SCENARIO} makes no sense, or is of a later version") from error
        kind = find_kind(reference, (path, origin), path / SCENARIO)
        try:
            return cls(kind, kind.parameters.model_validate_json(text), path, origin)
        except ValidationError as error:
            raise RunUnknown(path, f"its {SCENARIO} makes no sense, or is of a later version") from error


def read_scenario(path: Path | str) -> str:
    """Return the text of a scenario file. Raises `ScenarioError`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ScenarioError(Path(path), [f"it cannot be read: {reason}; give the path of a TOML file"]) from error


def load_scenario(path: Path | str) -> Scenario:
    """Return the checked scenario in a file. Raises `ScenarioError` as `parse_scenario` does."""
    return parse_scenario(read_scenario(path), path)


def parse_scenario(text: str, path: Path | str = "scenario") -> Scenario:
    """Return the checked scenario in a text; `path` is its file, whose folder is searched for a kind of the user's own.

    Raises `ScenarioError`, which has a line for every mistake: the key, the fault, and the remedy.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(Path(path), [f"it is not TOML: {error}"]) from error
    return check_scenario(data, path)


def check_scenario(data: dict[str, Any], path: Path | str = "scenario", folder: Path | None = None) -> Scenario:
    """Return the checked scenario in the tables of a file. Raises `ScenarioError` as `parse_scenario` does.

    `folder` is that of the file, by default the folder of `path`, which errors name.
    """
    if data.get("kind") == "conversation":
        raise ScenarioError(Path(path), ["kind: a conversation is not run; use `coterie chat` or `coterie serve`"])
    if "kind" not in data:
        raise ScenarioError(Path(path), ["kind: missing; add it"])
    folder = Path(path).parent if folder is None else folder
    kind = find_kind(data["kind"], (folder,), path)
    return Scenario(kind, _parameters(kind, data, path), folder, folder)


def _parameters(kind: ScenarioKind[Any], data: dict[str, Any], path: Path | str) -> ScenarioParameters:
    model: type[ScenarioParameters] = kind.parameters
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(Path(path), [problem(each, data, model) for each in error.errors()]) from error
