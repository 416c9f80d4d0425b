"""A page of the console, and the visit of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from starlette.datastructures import QueryParams

from coterie.console.problems import ConsoleProblem
from coterie.console.sources import Sources


class Visit(NamedTuple):
    """One request for a page or an action."""

    sources: Sources
    path: Mapping[str, str]
    """The variable parts of the path."""
    query: QueryParams
    """The query of a page, or the form of an action."""
    user: str = ""
    """The admitted user; empty for the operator."""

    def text(self, name: str, default: str = "") -> str:
        """Return a value of the query, without spaces around it."""
        return self.query.get(name, default).strip()

    def number(self, name: str, default: int, least: int = 0) -> int:
        """Return a whole number of the query; the default if there is none. Raises `ConsoleProblem`."""
        given = self.text(name)
        if not given:
            return default
        try:
            return max(least, int(given))
        except ValueError:
            raise ConsoleProblem(400, f"{name} must be a whole number, not {given!r}.") from None


class Page(NamedTuple):
    """One page: its template, and the function that reads what it shows.

    The blocks of the template whose names begin with ``live_`` are sent again when they change. `read` is called on a thread
    of the server; it raises `ConsoleProblem` or any `CoterieError`.
    """

    path: str
    template: str
    read: Callable[[Visit], Mapping[str, Any]]
    for_users: bool = False
    """Whether users other than the operator may see it; `read` then shows a user only what belongs to that user."""


class ConsoleAction(NamedTuple):
    """One action: `act` gets the form as the query of the visit, does it, and returns a sentence about it."""

    path: str
    name: str
    act: Callable[[Visit], str]
    for_users: bool = False
