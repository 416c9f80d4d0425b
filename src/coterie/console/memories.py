"""The page of memory: search as an agent would, records, tiers, decisions of maintenance, forget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.console.page import ConsoleAction, Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.rendering import shown
from coterie.console.sources import Sources
from coterie.memory import AgentMemory, MemoryKind, TieredMemory

_RECORDS, _DECISIONS, _FOUND = 50, 30, 20


class MemoryPage:
    """Reads the page. Safe from any thread."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def read(self, visit: Visit) -> Mapping[str, Any]:
        """Read the page; for a user, the memories of the agent of that name only."""
        memories = self._sources.of(TieredMemory)
        chosen = visit.text("memory") or next(iter(memories), "")
        agent = visit.user or visit.text("agent")
        question, explained = visit.text("question"), visit.text("explain")
        values: dict[str, Any] = {
            "memories": list(memories),
            "chosen": chosen,
            "agent": agent,
            "question": question,
            "found": [],
            "records": [],
            "metrics": None,
            "decisions": [],
            "explanation": None,
        }
        if not chosen:
            return values
        memory = self._memory(chosen)
        if agent and question:
            found = AgentMemory(memory, agent, consolidate_at=None).recall(question, _FOUND, count=False)
            values["found"] = [{"memory": each, "text": shown(each.value)} for each in found]
        if agent and explained:
            values["explanation"] = AgentMemory(memory, agent, consolidate_at=None).explain(explained)
        records = memory.recent(agent or None, _RECORDS)
        values["records"] = [{"record": each, "text": shown(each.text or memory.get(each.key))} for each in records]
        if not visit.user:
            values["metrics"] = memory.metrics()
        decisions = memory.decisions(limit=_DECISIONS)
        values["decisions"] = [each for each in decisions if not visit.user or each.agent == visit.user]
        return values

    def _memory(self, name: str) -> TieredMemory:
        memory = self._sources.of(TieredMemory).get(name)
        if memory is None:
            raise ConsoleProblem(404, f"There is no memory {name} any more.")
        found: TieredMemory = memory
        return found

    def actions(self) -> list[ConsoleAction]:
        """Return the action that forgets a memory."""
        return [ConsoleAction("/memory/{memory}/forget", "forget memory", self._forget, for_users=True)]

    def _forget(self, visit: Visit) -> str:
        memory = self._memory(visit.path["memory"])
        record = memory.record(visit.text("key"))
        if record is None or (visit.user and record.agent != visit.user):
            raise ConsoleProblem(409, "This memory is not there any more; the page is out of date.")
        if record.agent and record.kind in (MemoryKind.EPISODE, MemoryKind.SEMANTIC):
            gone = AgentMemory(memory, record.agent, consolidate_at=None).forget(record.id)
            return f"{len(gone)} memories are forgotten, with those that came from it."
        memory.delete(record.key, reason="forgotten from the console")
        return f"{record.key} is forgotten."
