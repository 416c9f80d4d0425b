"""The placement of durable agents on one of several nodes that share a store."""

from __future__ import annotations

from typing import Protocol

from coterie.durable import Identity


class DurablePlacement(Protocol):
    """Decides whether a durable agent is on this node, and claims it. Safe from any thread.

    A runtime with a placement (`DurablePolicy.placement`) needs a transport that leads to the home of an agent.
    """

    @property
    def owner(self) -> str:
        """The name under which this node claims agents at present."""
        ...

    def is_here(self, identity: Identity) -> bool:
        """Return whether this node is the home of an agent."""
        ...

    def claim(self, identity: Identity) -> tuple[str, int]:
        """Claim an agent, which another node may have to give up first, and return the owner and the epoch. Blocks.

        Raises `CoterieError` if this node cannot have it in time.
        """
        ...

    def release(self, identity: Identity, fence: tuple[str, int]) -> None:
        """Give up an agent after its last change. Does not block."""
        ...

    def check(self, fence: tuple[str, int]) -> None:
        """Raise `CoterieError` if this node may not use an agent any more, as far as it knows."""
        ...

    def nudge(self, identity: Identity) -> None:
        """Tell the home of an agent, which is elsewhere, that a message for it was stored. Does not block."""
        ...
