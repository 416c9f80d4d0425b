"""Transports, which carry frames from one runtime to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from coterie.concurrency import Completion, Rank, new_lock
from coterie.errors import TransportError

Receive: TypeAlias = Callable[[bytes], None]
"""The handler of a runtime for frames that arrive. It never blocks and never raises."""
ReceiveAll: TypeAlias = Callable[[Sequence[bytes]], None]
"""The same for several frames that have arrived together, in their order."""


class Transport(Protocol):
    """Carries frames between nodes.

    A transport may lose, repeat, delay and reorder frames; the link above it removes duplicates, restores the order, and counts
    the losses. It may deliver on any thread, also on the sender's. Implementations are safe from any thread.
    """

    def bind(self, node: str, receive: Receive) -> None:
        """Deliver the frames for `node` to `receive`. Raises `TransportError` if the node is bound already."""
        ...

    def send(self, source: str, target: str, frame: bytes) -> None:
        """Send a frame from one node to another. Raises `TransportError` if it certainly cannot arrive there."""
        ...

    def close(self, node: str) -> None:
        """Deliver nothing more to `node`. Does nothing if it is not bound."""
        ...


class FrameOutbox(Protocol):
    """The queue of the frames to one node."""

    def put(self, node: str, frame: bytes) -> None:
        """Queue a frame for a runtime; call nothing else. Raises `TransportError` if it certainly cannot arrive."""
        ...

    def flush(self) -> None:
        """See that what is queued is sent."""
        ...


@runtime_checkable
class QueueingTransport(Protocol):
    """A transport that keeps the order in which frames are queued. So the link numbers and queues them in one step."""

    def outbox(self, target: str) -> FrameOutbox | None:
        """Return the queue of the frames to a node; None if `send` delivers them at once. Raises `TransportError`."""
        ...


@runtime_checkable
class BatchingTransport(Protocol):
    """A transport whose frames often arrive several together, which the link takes in one step."""

    def bind_batches(self, receive: ReceiveAll) -> None:
        """Deliver frames that arrive together to `receive` rather than one by one. Called before `bind`."""
        ...


@runtime_checkable
class BufferingTransport(Protocol):
    """A transport that holds senders back."""

    def room(self, target: str) -> Completion | None:
        """Return None if a sender to a node need not wait, or a completion that is done when it need not any more."""
        ...


@runtime_checkable
class PeeringTransport(Protocol):
    """A transport that knows the nodes to which it leads, so that a publication reaches the agents of all of them."""

    def reachable(self) -> Iterable[str]:
        """Return the names of the runtimes that can be reached now, but the own one."""
        ...


@runtime_checkable
class PlacingTransport(Protocol):
    """A transport between nodes that share a store: it knows on which of them a durable agent is."""

    def home(self, name: str) -> str:
        """Return the runtime of a durable agent by its name in addresses. Raises `TransportError` if none can have it."""
        ...


class LocalTransport:
    """Connects the runtimes of one process that have the same instance of it. Safe from any thread.

    `_lock` guards the table of nodes; frames are delivered without it, on the sender's thread.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._nodes: dict[str, Receive] = {}

    def bind(self, node: str, receive: Receive) -> None:
        """Deliver the frames for `node` to `receive`. Raises `TransportError` if the node is bound already."""
        with self._lock:
            if node in self._nodes:
                raise TransportError(f"the node {node} is bound already")
            self._nodes[node] = receive

    def send(self, source: str, target: str, frame: bytes) -> None:  # noqa: ARG002 - there is only one way
        """Deliver a frame to a node. Raises `TransportError` if the node is not bound."""
        receive = self._nodes.get(target)
        if receive is None:
            raise TransportError(f"no node {target} is bound here")
        receive(frame)

    def close(self, node: str) -> None:
        """Deliver nothing more to `node`."""
        with self._lock:
            self._nodes.pop(node, None)
