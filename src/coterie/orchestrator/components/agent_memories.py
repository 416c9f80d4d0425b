"""The memories of agents, as operations of a component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.memory import AgentMemory


class AgentMemories:
    """The operations of a memory component on the memories of one agent.

    Each handle is made once. Safe from any thread; `_lock` guards the table of handles.
    """

    def __init__(self, make: Callable[[str], AgentMemory]) -> None:
        self._make = make
        self._lock = new_lock(Rank.RECORDS)
        self._minds: dict[str, AgentMemory] = {}

    @property
    def operations(self) -> tuple[Callable[..., Any], ...]:
        """Return all operations."""
        return (
            self.remember, self.learn, self.recall, self.recall_shared, self.look_up, self.recent_episodes, self.consolidate,
            self.invalidate, self.forget, self.explain, self.stats, self.share_with, self.unshare, self.shared_with,
        )  # fmt: skip

    def remember(self, agent: str, value: Any, importance: float = 0.5, options: Mapping[str, Any] | None = None) -> str:
        """Store an episode; see `AgentMemory.remember`."""
        return self._of(agent).remember(value, importance, **(options or {}))

    def learn(self, agent: str, value: Any, importance: float = 0.5, options: Mapping[str, Any] | None = None) -> str:
        """Store a semantic memory; see `AgentMemory.learn`."""
        return self._of(agent).learn(value, importance, **(options or {}))

    def recall(self, agent: str, question: str, k: int = 10, options: Mapping[str, Any] | None = None) -> object:
        """Return the memories that answer a question; see `AgentMemory.recall`."""
        return self._of(agent).recall(question, k, **(options or {}))

    def recall_shared(
        self, agent: str, owner: str, question: str, k: int = 10, options: Mapping[str, Any] | None = None
    ) -> object:
        """Return the memories of another agent, which shares them with this one, that answer a question."""
        return self._of(agent).of(owner).recall(question, k, **(options or {}))

    def look_up(self, agent: str, id: str) -> object:  # noqa: A002 - the field's own name
        """Return a memory by its id; see `AgentMemory.get`."""
        return self._of(agent).get(id)

    def recent_episodes(self, agent: str, limit: int = 20, options: Mapping[str, Any] | None = None) -> object:
        """Return the newest episodes; see `AgentMemory.recent`."""
        return self._of(agent).recent(limit, **(options or {}))

    def consolidate(self, agent: str, *, force: bool = False) -> object:
        """Make semantic memories from episodes; see `AgentMemory.consolidate`."""
        return self._of(agent).consolidate(force=force)

    def forget(self, agent: str, id: str) -> list[str]:  # noqa: A002 - the field's own name
        """Delete a memory; see `AgentMemory.forget`."""
        return self._of(agent).forget(id)

    def invalidate(self, agent: str, id: str, at: float | None = None) -> None:  # noqa: A002 - the field's own name
        """End the validity of a memory; see `AgentMemory.invalidate`."""
        self._of(agent).invalidate(id, at)

    def explain(self, agent: str, id: str) -> object:  # noqa: A002 - the field's own name
        """Return the origin of a memory; see `AgentMemory.explain`."""
        return self._of(agent).explain(id)

    def share_with(self, agent: str, reader: str) -> None:
        """Let another agent read the memories of this one."""
        self._of(agent).share_with(reader)

    def unshare(self, agent: str, reader: str) -> None:
        """Let another agent no longer read the memories of this one."""
        self._of(agent).unshare(reader)

    def shared_with(self, agent: str) -> list[str]:
        """Return the agents that may read the memories of this one."""
        return self._of(agent).shared_with()

    def stats(self, agent: str) -> object:
        """Return statistics; see `AgentMemory.stats`."""
        return self._of(agent).stats()

    def _of(self, agent: str) -> AgentMemory:
        mind = self._minds.get(agent)
        if mind is None:
            made = self._make(agent)
            with self._lock:
                mind = self._minds.setdefault(agent, made)
        return mind
