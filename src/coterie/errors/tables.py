"""Errors of tables of data. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from coterie.errors.general import CoterieError


class TableError(CoterieError):
    """A table of data is invalid, or cannot be read or written."""


class NoTable(TableError, LookupError):
    """There is no table or column of that name."""

    def __init__(self, what: str, name: object, known: Iterable[str], remedy: str = "") -> None:
        named = ", ".join(map(repr, known)) or "none"
        super().__init__(f"there is no {what} {name!r} (there is: {named}){'; ' + remedy if remedy else ''}")


class TableUnreadable(TableError, ValueError):
    """A file holds no table, or is damaged."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class TableUnwritable(TableError, OSError):
    """A file of a table cannot be written."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: cannot be written: {problem}; choose another place")
