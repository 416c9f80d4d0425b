"""The pages of agents: the table, the tree of supervision, one agent, dead letters; and the actions on agents."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.console.links import Links
from coterie.console.page import ConsoleAction, Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.rendering import shown
from coterie.console.sources import Sources
from coterie.errors import CoterieError
from coterie.messaging.dead_letters import DeadLetter
from coterie.runtime import AgentHealth, AgentLogFilter, AgentState, Runtime

_LETTERS = 100
_LINES = 2_000
_LINES_SHOWN = 60
_INSPECT = 0.5
"""Seconds that a page waits for the attributes of a busy agent."""
_SORTS = {
    "name": lambda each: each.name,
    "state": lambda each: (str(each.state), each.name),
    "queued": lambda each: (-each.queued, each.name),
    "handled": lambda each: (-each.handled, each.name),
    "failed": lambda each: (-each.failed, each.name),
    "restarts": lambda each: (-each.restarts, each.name),
}


class AgentLogLines(logging.Handler):
    """Keeps the newest lines that agents log. Safe from any thread: `_guard` guards the lines."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.addFilter(AgentLogFilter())
        self._guard = new_lock(Rank.RECORDS)
        self._lines: deque[tuple[str, float, str, str]] = deque(maxlen=_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as text."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        agent = str(getattr(record, "agent", ""))
        with self._guard:
            self._lines.append((agent, record.created, record.levelname.lower(), text.removeprefix(f"{agent}: ")[:1_000]))

    def of(self, agent: str) -> list[tuple[float, str, str]]:
        """Return the newest lines of an agent, newest first."""
        with self._guard:
            lines = [line[1:] for line in reversed(self._lines) if line[0] == agent]
        return lines[:_LINES_SHOWN]


class AgentPages:
    """Reads the pages of agents. Safe from any thread."""

    def __init__(self, sources: Sources, rows: int, lines: AgentLogLines) -> None:
        self._sources = sources
        self._rows = rows
        self._lines = lines

    def agents(self, visit: Visit) -> Mapping[str, Any]:
        """Read the table of agents of a runtime."""
        runtimes = self._sources.runtimes()
        values: dict[str, Any] = {"runtimes": list(runtimes), "chosen": "", "sorts": list(_SORTS), "states": list(AgentState)}
        chosen = visit.text("runtime") or next(iter(runtimes), "")
        if chosen not in runtimes:
            if chosen:
                raise ConsoleProblem(404, f"There is no runtime {chosen} any more.")
            return values
        runtime = runtimes[chosen]
        health = runtime.health()
        find, state, sort = visit.text("find"), visit.text("state"), visit.text("sort", "name") or "name"
        if sort not in _SORTS:
            raise ConsoleProblem(400, f"sort must be one of {', '.join(_SORTS)}.")
        fitting = [each for each in health.values() if find in each.name and (not state or each.state == state)]
        fitting.sort(key=_SORTS[sort])
        page = visit.number("page", 1, least=1)
        first = (page - 1) * self._rows
        rows = [{"health": each, "latency": _latency(runtime, each)} for each in fitting[first : first + self._rows]]
        return values | {
            "chosen": chosen,
            "count": len(health),
            "by_state": Counter(str(each.state) for each in health.values()),
            "queued": sum(each.queued for each in health.values()),
            "handled": sum(each.handled for each in health.values()),
            "failed": sum(each.failed for each in health.values()),
            "letters": runtime.dead_letters.total,
            "rows": rows,
            "fitting": len(fitting),
            "sort": sort,
            "page": page,
            "more": first + self._rows < len(fitting),
            "links": Links(visit.query),
            "tree": _tree(health, self._rows) if visit.text("view") == "tree" else None,
        }

    def agent(self, visit: Visit) -> Mapping[str, Any]:
        """Read the page of one agent. Raises `ConsoleProblem` if it has ended."""
        runtime, name = self._runtime(visit), visit.path["agent"]
        if runtime.find(name) is None:
            failed = runtime.health().get(name)
            why = f" Its last error: {failed.last_error}" if failed is not None else ""
            raise ConsoleProblem(404, f"The agent {name} has ended, or never was.{why}")
        inspection = runtime.inspect(name, _INSPECT)
        return {
            "runtime": visit.path["runtime"],
            "name": name,
            "inspection": inspection,
            "health": inspection.health,
            "metrics": runtime.metrics_of(name),
            "lines": self._lines.of(name),
        }

    def letters(self, visit: Visit) -> Mapping[str, Any]:
        """Read the dead letters of a runtime, newest first."""
        runtime = self._runtime(visit)
        letters = list(runtime.dead_letters)[: -_LETTERS - 1 : -1]
        rows = [
            {
                "key": _key(each),
                "at": each.at,
                "kind": type(each.message).__qualname__,
                "text": shown(each.message),
                "to": each.recipient.name,
                "sender": each.sender.name if each.sender is not None else "outside",
                "reason": each.reason.value,
                "detail": each.detail,
            }
            for each in letters
        ]
        counts = {reason.value: count for reason, count in runtime.dead_letters.counts.items()}
        return {"runtime": visit.path["runtime"], "rows": rows, "counts": counts, "total": runtime.dead_letters.total}

    def _runtime(self, visit: Visit) -> Runtime:
        runtime = self._sources.runtimes().get(visit.path["runtime"])
        if runtime is None:
            raise ConsoleProblem(404, f"There is no runtime {visit.path['runtime']} any more.")
        return runtime

    # Actions.

    def actions(self) -> list[ConsoleAction]:
        """Return the actions on agents and dead letters."""
        base = "/agents/{runtime}/{agent}"
        return [
            ConsoleAction(f"{base}/pause", "pause agent", self._pause),
            ConsoleAction(f"{base}/resume", "resume agent", self._resume),
            ConsoleAction(f"{base}/restart", "restart agent", self._restart),
            ConsoleAction(f"{base}/stop", "stop agent", self._stop),
            ConsoleAction("/letters/{runtime}/send", "send dead letter again", self._send),
        ]

    def _pause(self, visit: Visit) -> str:
        paused = self._runtime(visit).pause(visit.path["agent"], timeout=1.0)
        return "It is paused." if paused else "It pauses after its current message, which has not ended yet."

    def _resume(self, visit: Visit) -> str:
        self._runtime(visit).resume(visit.path["agent"])
        return "It goes on."

    def _restart(self, visit: Visit) -> str:
        self._runtime(visit).restart(visit.path["agent"])
        return "Its restart was requested; its supervision decides as after an error."

    def _stop(self, visit: Visit) -> str:
        agent = self._runtime(visit).find(visit.path["agent"])
        if agent is None:
            raise ConsoleProblem(409, f"The agent {visit.path['agent']} has ended already; this page is out of date.")
        agent.stop(drain=not visit.text("now"))
        return "It stops after its queued messages."

    def _send(self, visit: Visit) -> str:
        runtime, key = self._runtime(visit), visit.text("key")
        letter = next((each for each in runtime.dead_letters if _key(each) == key), None)
        if letter is None:
            raise ConsoleProblem(409, "This dead letter is no longer kept; the page is out of date.")
        recipient = runtime.reference(letter.recipient)
        if not recipient.is_alive:
            # A replacement may have the name of the agent that has ended.
            recipient = runtime.find(letter.recipient.name) or recipient
        try:
            recipient.tell(letter.message)
        except CoterieError as error:
            raise ConsoleProblem(409, f"It could not be sent: {error}") from error
        return f"{type(letter.message).__qualname__} was sent to {recipient.name} again."


def _key(letter: DeadLetter) -> str:
    return f"{letter.at.hex()}/{letter.recipient}/{type(letter.message).__qualname__}"


def _latency(runtime: Runtime, health: AgentHealth) -> tuple[float, float] | None:
    """Return the median wait and run time of an agent's messages in seconds, if it lives and has some."""
    try:
        latencies = runtime.metrics_of(health.name).latencies
    except CoterieError:
        return None
    return (latencies.wait.median, latencies.run.median) if latencies is not None and latencies.samples else None


def _tree(health: Mapping[str, AgentHealth], most: int) -> list[dict[str, Any]]:
    """Return the tree of supervision: agents with their children, of each the first so many."""
    children: dict[str, list[AgentHealth]] = {}
    for each in health.values():
        children.setdefault(each.parent if each.parent in health else "", []).append(each)

    def under(name: str, depth: int) -> list[dict[str, Any]]:
        found = children.get(name, []) if depth else []
        rows = [{"health": each, "children": under(each.name, depth - 1)} for each in found[:most]]
        return [*rows, *([{"left": len(found) - most}] if len(found) > most else [])]

    return under("", 12)
