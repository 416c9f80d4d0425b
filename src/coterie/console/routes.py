"""All pages and actions of a console."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from coterie.console.agents import AgentLogLines, AgentPages
from coterie.console.audit import AuditEntry
from coterie.console.cluster import ClusterPage
from coterie.console.commands import RunCommands
from coterie.console.conversations import ConversationPages
from coterie.console.machine import MachinePage
from coterie.console.meetings import MeetingPages
from coterie.console.memories import MemoryPage
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
    lines = AgentLogLines()
    logging.getLogger("coterie").addHandler(lines)
    agents, conversations = AgentPages(sources, options.rows, lines), ConversationPages(sources, options.rows)
    memory, meetings, cluster = MemoryPage(sources), MeetingPages(sources, worlds.folders), ClusterPage(sources)

    def close() -> None:
        logging.getLogger("coterie").removeHandler(lines)
        worlds.close()
        sources.close()

    pages = [
        Page("/", "runs.html", runs.runs),
        Page("/runs/{id}", "run.html", run.read),
        Page("/compare", "compare.html", runs.compare),
        Page("/agents", "agents.html", agents.agents),
        Page("/agents/{runtime}/{agent}", "agent.html", agents.agent),
        Page("/letters/{runtime}", "letters.html", agents.letters),
        Page("/conversations", "conversations.html", conversations.conversations, for_users=True),
        Page("/conversations/{host}/{conversation}", "conversation.html", conversations.conversation, for_users=True),
        Page("/memory", "memory.html", memory.read, for_users=True),
        Page("/meetings", "meetings.html", meetings.meetings),
        Page("/meetings/{service}/{meeting}", "meeting.html", meetings.meeting),
        Page("/minutes/{where}/{file}", "minutes.html", meetings.minutes),
        Page("/cluster", "cluster.html", cluster.read),
        Page("/machine", "machine.html", MachinePage(sources, clock).read),
        Page("/audit", "audit.html", lambda _: {"entries": audit()}),
    ]
    return Routes(
        pages,
        [*RunActions(runs, commands).all(), *agents.actions(), *conversations.actions(), *memory.actions(), *cluster.actions()],
        close,
    )
