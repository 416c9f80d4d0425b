"""The memories of one agent as tools of the Model Context Protocol: search, add, update, delete, list.

Needs the extra ``mcp``. The tools are those that other memory servers have, so a client's habits fit. A tool that fails returns one
line that says why; the connection goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from coterie.errors import CoterieError, ExtraMissing
from coterie.memory import AgentMemory, Memory, MemoryKind, TieredMemory

T = TypeVar("T")

_INSTRUCTIONS = (
    "A long-term memory. Search it before you answer what may depend on earlier conversations. Add what will matter later: facts "
    "about people, preferences, decisions; one memory for each, as a full sentence. If something has changed, add the new fact; "
    "update a memory only to correct it."
)
_KINDS = (MemoryKind.EPISODE, MemoryKind.SEMANTIC)
_MOST = 100
"""The maximum of memories in one answer."""


def memory_server(memory: TieredMemory, agent: str, *, mind: AgentMemory | None = None, name: str = "coterie-memory") -> Any:
    """Return an `MCPServer` with tools for the memories of an agent; `run` it, or mount its application.

    `mind` is a handle with an embedder or an extractor; one without by default. Raises `ExtraMissing` without the extra ``mcp``.
    """
    try:
        from mcp.server.mcpserver import MCPServer  # noqa: PLC0415 - it is optional
        from mcp.server.mcpserver.exceptions import ToolError  # noqa: PLC0415 - as above
        from mcp.types import ToolAnnotations  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ExtraMissing("an MCP server", "mcp") from error
    tools = MemoryTools(memory, mind if mind is not None else AgentMemory(memory, agent), ToolError)
    server = MCPServer(name, instructions=_INSTRUCTIONS)
    reading = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    adding = ToolAnnotations(destructive_hint=False, open_world_hint=False)
    changing = ToolAnnotations(destructive_hint=True, open_world_hint=False)
    for tool, notes in (
        (tools.search_memories, reading),
        (tools.list_memories, reading),
        (tools.add_memory, adding),
        (tools.update_memory, changing),
        (tools.delete_memory, changing),
    ):
        server.tool(annotations=notes, structured_output=True)(tool)
    return server


class MemoryTools:
    """The tools, as methods. They run on threads of the memory, and raise `failure` with one line."""

    def __init__(self, memory: TieredMemory, mind: AgentMemory, failure: Callable[[str], Exception]) -> None:
        self._memory = memory
        self._mind = mind
        self._failure = failure

    async def search_memories(
        self,
        query: str,
        limit: int = 10,
        where: dict[str, Any] | None = None,
        valid_at: str | None = None,
    ) -> dict[str, Any]:
        """Return the memories that answer a question best, best first; an empty list if none has to do with it.

        query: a question or words, in any language. limit: 1 to 100. where: fields of the memories and their values, such as
        {"topic": "food"}. valid_at: a date or time in ISO 8601, for what was true then.
        """
        most, at = self._limit(limit), self._time("valid_at", valid_at)
        found = await self._run(lambda: self._mind.recall(query, most, where=where, valid_at=at))
        return {"memories": [shown(each) for each in found]}

    async def list_memories(
        self, limit: int = 20, after: str | None = None, before: str | None = None, where: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the newest memories, newest first.

        limit: 1 to 100. after, before: dates or times in ISO 8601; a further page has the `created` of the last memory as before.
        where: as in search_memories.
        """
        most = self._limit(limit)
        first, last = self._time("after", after), self._time("before", before)
        found = await self._run(lambda: self._mind.recent(most, kinds=_KINDS, after=first, before=last, where=where))
        return {"memories": [shown(each) for each in found]}

    async def add_memory(
        self,
        content: str,
        metadata: dict[str, Any] | None = None,
        subject: str | None = None,
        relation: str | None = None,
        object: str | None = None,  # noqa: A002 - the field's own name
        importance: float = 0.5,
    ) -> dict[str, Any]:
        """Store a memory, and return it. An equal memory is not stored again.

        content: one fact as a full sentence. metadata: fields to filter by, such as {"topic": "food"}. subject, relation, object:
        the fact in three parts, such as "Ann", "lives in", "Rome"; it then ends the validity of an earlier fact with another
        object. importance: 0 to 1.
        """
        if not content.strip():
            raise self._failure("content is empty: give one fact as a sentence")
        parts = {"subject": subject, "relation": relation, "object": object}
        given = {name: part for name, part in parts.items() if part}
        if given and len(given) < len(parts):
            raise self._failure(f"give subject, relation and object, or none of them: only {', '.join(given)} came")
        value: Any = {**(metadata or {}), "content": content, **given} if metadata or given else content

        def add() -> Memory:
            id = self._mind.learn(value, importance, text=content)  # noqa: A001 - the field's own name
            self._memory.flush()
            return self._mind.get(id)

        return shown(await self._run(add))

    async def update_memory(self, id: str, content: str) -> dict[str, Any]:  # noqa: A002 - the field's own name
        """Correct the text of a memory, and return it. id: as search_memories and list_memories return it."""
        if not content.strip():
            raise self._failure("content is empty: use delete_memory to remove a memory")

        def update() -> Memory:
            value = self._mind.get(id).value
            self._mind.update(id, {**value, "content": content} if isinstance(value, dict) else content, text=content)
            self._memory.flush()
            return self._mind.get(id)

        return shown(await self._run(update))

    async def delete_memory(self, id: str) -> dict[str, Any]:  # noqa: A002 - the field's own name
        """Delete a memory and all that was derived from it, and return the ids of the deleted memories."""

        def delete() -> list[str]:
            gone = self._mind.forget(id)
            self._memory.flush()
            return gone

        return {"deleted": await self._run(delete)}

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await self._memory.run(work)
        except CoterieError as error:
            raise self._failure(str(error)) from error
        except asyncio.CancelledError:
            raise

    def _limit(self, limit: int) -> int:
        if not 1 <= limit <= _MOST:
            raise self._failure(f"limit is {limit}: give a number from 1 to {_MOST}")
        return limit

    def _time(self, name: str, text: str | None) -> float | None:
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self._failure(f"{name} is {text!r}: give a date or time in ISO 8601, such as 2026-01-31") from None
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def shown(memory: Memory) -> dict[str, Any]:
    """Return a memory as a tool returns it, in JSON."""
    value = memory.value
    more = {name: each for name, each in value.items() if name != "content"} if isinstance(value, dict) else {}
    fact = memory.fact
    found = {
        "id": memory.id,
        "memory": value["content"] if isinstance(value, dict) and isinstance(value.get("content"), str) else memory.text,
        "metadata": _plain(more),
        "fact": [fact.subject, fact.relation, fact.object] if fact is not None else None,
        "created": _moment(memory.created),
        "valid_from": _moment(memory.valid_from),
        "valid_until": _moment(memory.valid_until),
        "score": round(memory.score, 4) if memory.score else None,
    }
    return {name: each for name, each in found.items() if each not in (None, {})}


def _moment(time: float | None) -> str | None:
    return datetime.fromtimestamp(time, UTC).isoformat() if time is not None else None


def _plain(value: Any) -> Any:
    """Return a value with texts in place of what JSON does not have."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
