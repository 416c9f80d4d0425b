"""The references of agents of other nodes that have sent messages."""

from __future__ import annotations

from collections.abc import Callable

from coterie.kernel import Address
from coterie.runtime.references.reference import AgentRef

_MOST = 1_000


class SenderReferences:
    """Remembers the latest senders: an agent mostly sends several messages. Safe from any thread: the table changes by single operations."""

    def __init__(self, node: str, reference: Callable[[Address], AgentRef]) -> None:
        self._node = node
        self._reference = reference
        self._known: dict[Address, AgentRef] = {}

    def get(self, address: Address | None) -> AgentRef | None:
        """Return the reference to the agent at an address; None for none."""
        if address is None:
            return None
        found = self._known.get(address)
        if found is None:
            found = self._reference(address)
            # A name alone may lead to another agent later, and the agents of this node are in a table of their own.
            if address.number and address.node != self._node:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[address] = found
        return found

    def forget(self) -> None:
        """Forget all."""
        self._known.clear()
