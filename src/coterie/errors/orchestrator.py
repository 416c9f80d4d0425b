"""What is wrong about a scenario file, or the folder of a run. The tree is drawn in `coterie.errors`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coterie.errors.root import CoterieError


class ScenarioError(CoterieError, ValueError):
    """A scenario file does not make sense. `problems` holds one line for each fault: the key, and what mends it."""

    def __init__(self, path: Path | str, problems: Sequence[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join((f"{path}:", *(f"  {problem}" for problem in problems))))


class RunFolderFailed(CoterieError):
    """The folder of a run cannot be written. The reason is the cause."""

    def __init__(self, path: Path | str, error: OSError) -> None:
        super().__init__(f"{path}: cannot be written: {error.strerror or error}; choose another place for the run")


class RunUnknown(CoterieError, LookupError):
    """A folder is not the folder of a run, or of one that cannot be gone on with."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}; give the folder that `coterie run` has made")


class ServerFailed(CoterieError):
    """An address cannot be served on. The reason is the cause."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"{host}:{port} cannot be served on: {reason}; choose another port, or 0 for any that is free")
