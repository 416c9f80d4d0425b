"""Errors of scenario files, run folders, servers and requests to components. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from coterie.errors.general import CoterieError


class ScenarioError(CoterieError, ValueError):
    """A scenario file is invalid. `problems` has a line for each fault: the key and the remedy."""

    def __init__(self, path: Path | str, problems: Sequence[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join((f"{path}:", *(f"  {problem}" for problem in problems))))


class RunFolderFailed(CoterieError):
    """The folder of a run cannot be written. The cause is the reason."""

    def __init__(self, path: Path | str, error: OSError) -> None:
        super().__init__(f"{path}: cannot be written: {error.strerror or error}; choose another place for the run")


class RunUnknown(CoterieError, LookupError):
    """A folder does not belong to a run, or the run cannot be resumed."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}; give the folder of a `coterie run`")


class RunStopped(CoterieError):
    """A run was stopped by a command. Its settled steps are kept."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{path}: the run was stopped; go on with: coterie resume {path}")


class CommandRefused(CoterieError):
    """A run cannot follow a command."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class ExperimentChanged(CoterieError, ValueError):
    """The folder of an experiment has runs of another one, which would be mixed with the new ones."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}; choose another folder, or remove this one")


class ServerFailed(CoterieError):
    """An address cannot be served on. The cause is the reason."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"{host}:{port} cannot be served on: {reason}; choose another port, or 0 for any that is free")


class ComponentError(CoterieError):
    """A request to a component failed."""


class UnknownComponent(ComponentError, LookupError):
    """No component has that name."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        super().__init__(f"there is no component {name!r}, only {', '.join(known) or 'none at all'}")


class MalformedRequest(ComponentError, ValueError):
    """A component cannot read a request."""

    def __init__(self, component: str, problem: str) -> None:
        super().__init__(f"the component {component} cannot do this: {problem}")


class ComponentDown(ComponentError):
    """A component failed its checks and could not be restarted."""

    def __init__(self, component: str, reason: str) -> None:
        super().__init__(f"the component {component} is down: {reason}")


class ComponentTimeout(ComponentError, TimeoutError):
    """A request to a component exceeded its own time limit."""

    def __init__(self, component: str, operation: str, seconds: float) -> None:
        super().__init__(f"{operation} of the component {component} did not answer within the {seconds:g} s of its request")


class UnknownResponse(ComponentError, LookupError):
    """An orchestrator has no response with a correlation."""

    def __init__(self, correlation: str) -> None:
        super().__init__(
            f"there is no response to a request {correlation!r}: it was not made, had no correlation of its own, or is too old"
        )
