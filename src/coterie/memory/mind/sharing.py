"""Read access to the memories of another agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from coterie.errors import NotShared
from coterie.memory.mind.items import Memory
from coterie.memory.tiered import TieredMemory

GRANTS = "\x1fshared/"
"""The beginning of the keys of the internal records of grants: one record for each owner."""


class ReadableMemory(Protocol):
    """The methods of an agent's memory that a reader may call."""

    @property
    def agent(self) -> str:
        """The name of the owner."""
        ...

    @property
    def get(self) -> Callable[[str], Memory]:
        """The method that returns one memory. It raises `UnknownMemory`."""
        ...

    @property
    def recall(self) -> Callable[..., list[Memory]]:
        """The method that returns the best memories for a question; its options are those of `AgentMemory.recall`."""
        ...

    @property
    def recent(self) -> Callable[..., list[Memory]]:
        """The method that returns the newest memories; its options are those of `AgentMemory.recent`."""
        ...


class Grants:
    """The agents that may read an agent's memories, stored with them.

    Safe from many threads if `change` is called by one thread at a time for each agent.
    """

    def __init__(self, memory: TieredMemory, owner: str) -> None:
        self._memory = memory
        self._owner = owner
        self._key = f"{GRANTS}{owner}"

    def readers(self) -> list[str]:
        """Return the agents that may read, sorted."""
        return sorted(self._memory.records.get_internal(self._key) or [])

    def change(self, reader: str, *, granted: bool) -> None:
        """Grant or revoke read access."""
        readers = set(self.readers())
        (readers.add if granted else readers.discard)(reader)
        self._memory.records.put_internal(self._key, sorted(readers), self._owner)

    def check(self, reader: str) -> None:
        """Raise `NotShared` unless `reader` may read."""
        if reader not in self.readers():
            raise NotShared(self._owner, reader)


class SharedMemory:
    """Read access to another agent's memories while their owner permits it. Safe from many threads.

    Every method raises `NotShared` once the owner withdraws it. Reading does not count as use.
    """

    def __init__(self, owner: ReadableMemory, grants: Grants, reader: str) -> None:
        self._owner = owner
        self._grants = grants
        self._reader = reader
        self._check()

    @property
    def agent(self) -> str:
        """The name of the owner."""
        return self._owner.agent

    def get(self, id: str) -> Memory:  # noqa: A002 - the field's own name
        """Return one memory. Raises `UnknownMemory`."""
        self._check()
        return self._owner.get(id)

    def recall(self, question: str, k: int = 10, **options: Any) -> list[Memory]:
        """Return the memories that answer a question best, as `AgentMemory.recall` does."""
        self._check()
        return self._owner.recall(question, k, count=False, **options)

    def recent(self, limit: int = 20, *, kinds: Sequence[str] = (), **options: Any) -> list[Memory]:
        """Return the newest memories, newest first."""
        self._check()
        return self._owner.recent(limit, kinds=kinds, **options)

    def _check(self) -> None:
        self._grants.check(self._reader)
