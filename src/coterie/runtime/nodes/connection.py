"""The connection of a runtime to other nodes, as the endpoints and replies that use it see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from coterie.concurrency import Completion, Timers
from coterie.errors import AgentStopped
from coterie.kernel import Address, Clock, Codec
from coterie.messaging import Message, Reason
from coterie.messaging.envelope import Envelope
from coterie.runtime.nodes.wire import Answer, Frame
from coterie.runtime.references.context_carrier import ContextCarrier
from coterie.runtime.references.reference import AgentRef


class RemoteServices(Protocol):
    """The parts of a runtime that its remote endpoints need."""

    @property
    def clock(self) -> Clock:
        """The runtime's clock."""
        ...

    @property
    def timers(self) -> Timers:
        """The timers on that clock."""
        ...

    @property
    def codec(self) -> Codec:
        """The codec of messages and answers."""
        ...

    @property
    def carrier(self) -> ContextCarrier:
        """Takes the contexts of messages to other nodes apart, and puts those of their messages together."""
        ...

    @property
    def stopping(self) -> bool:
        """True once messages from outside are refused."""
        ...

    def next_correlation(self) -> int:
        """Return a number for an ask that no other ask of the runtime has."""
        ...

    def count_refused(self) -> None:
        """Count a message that no mailbox took."""
        ...

    def dead_letter(self, envelope: Envelope, recipient: Address, reason: Reason, detail: str = "") -> None:
        """Record a message that no handler gets."""
        ...

    def stopped_error(self, name: str, message: Message, cause: BaseException | None) -> AgentStopped:
        """Return the error for an ask of an agent that has ended."""
        ...


class Connection(Protocol):
    """The connection to other nodes."""

    @property
    def services(self) -> RemoteServices:
        """The parts of the runtime."""
        ...

    def send(self, node: str, frame: Frame) -> None:
        """Send a frame. Raises `TransportError` if it certainly cannot arrive."""
        ...

    def room(self, node: str) -> Completion | None:
        """Return None if senders to a node need not wait, or a completion that is done when they need not any more."""
        ...

    def expect(self, node: str, number: int, answered: Callable[[Answer], None]) -> None:
        """Call `answered` with the frames that answer an ask of a node, or with a failure when the node is lost."""
        ...

    def is_lost(self, node: str) -> bool:
        """Return whether a node is lost."""
        ...

    def watches(self, address: Address, watcher: AgentRef, *, on: bool) -> None:
        """Record that an agent here watches one of another node, or does no longer."""
        ...

    def tell_lost(self, address: Address, watcher: AgentRef, why: str) -> None:
        """Tell a watcher that the node of an agent is lost."""
        ...

    def expect_no_more(self, number: int) -> None:
        """Forget an ask."""
        ...

    def answer(self, node: str, frame: Answer) -> None:
        """Send the outcome of an ask, or an item of it, to the asker's node."""
        ...

    def asks_no_more(self, node: str, correlation: int) -> None:
        """Forget an ask of another node, which has ended."""
        ...
