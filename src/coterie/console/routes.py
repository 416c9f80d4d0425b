"""All pages and actions of a console."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from coterie.console.audit import AuditEntry
from coterie.console.commands import RunCommands
from coterie.console.options import ConsoleOptions
from coterie.console.page import ConsoleAction, Page
from coterie.console.run_actions import RunActions
from coterie.console.run_page import RunPage
from coterie.console.run_worlds import RunWorlds
from coterie.console.runs import RunPages
from coterie.console.sources import Sources
from coterie.kernel import Clock


class Routes(NamedTuple):
    """The pages and actions."""

    pages: Sequence[Page]
    actions: Sequence[ConsoleAction]
    close: Callable[[], None]
    """Closes what the pages opened."""


def routes(
    sources: Sources, clock: Clock, options: ConsoleOptions, audit: Callable[[], list[AuditEntry]], commands: RunCommands
) -> Routes:
    """Return the pages and actions of a console."""
    worlds = RunWorlds(sources, clock)
    runs = RunPages(worlds, sources.places, options.rows)
    run = RunPage(worlds, runs, commands)
    pages = [
        Page("/", "runs.html", runs.runs),
        Page("/runs/{id}", "run.html", run.read),
        Page("/compare", "compare.html", runs.compare),
        Page("/audit", "audit.html", lambda _: {"entries": audit()}),
    ]
    return Routes(pages, RunActions(runs, commands).all(), worlds.close)
