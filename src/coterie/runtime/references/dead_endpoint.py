"""The endpoint of an address of this runtime without a living agent."""

from __future__ import annotations

from typing import Protocol

from coterie.concurrency import Completion, Signal
from coterie.errors import AgentStopped, UnknownAgent
from coterie.kernel import Address
from coterie.messaging import Message, MessagePriority, Reason
from coterie.messaging.envelope import Envelope
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.references.lifecycle_events import AgentDown
from coterie.runtime.references.local_agent import LocalAgent
from coterie.runtime.references.reference import AgentRef


class DeadLetterServices(Protocol):
    """The parts of a runtime that record and answer messages which no agent gets."""

    def count_refused(self) -> None:
        """Count a message that no mailbox took."""
        ...

    def dead_letter(self, envelope: Envelope, recipient: Address, reason: Reason, detail: str = "") -> None:
        """Record a message that no handler gets."""
        ...

    def stopped_error(self, name: str, message: Message, cause: BaseException | None) -> AgentStopped:
        """Return the error for an ask of an agent that has ended."""
        ...

    def failure_of(self, number: int) -> BaseException | None:
        """Return the error with which the agent of a number failed for good, if it did."""
        ...

    def reference(self, address: Address) -> AgentRef:
        """Return a reference to an address."""
        ...


class DeadEndpoint:
    """The endpoint of a reference that was decoded after its agent had stopped, or whose agent never existed."""

    __slots__ = ("_existed", "_services", "address")

    def __init__(self, services: DeadLetterServices, address: Address, *, existed: bool) -> None:
        self.address = address
        self._services = services
        self._existed = existed

    @property
    def local(self) -> LocalAgent | None:
        """Always None."""
        return None

    @property
    def is_durable(self) -> bool:
        """Always false."""
        return False

    @property
    def is_alive(self) -> bool:
        """Always false."""
        return False

    def deliver(self, envelope: Envelope) -> PendingPut | None:
        """Record a dead letter, and end the ask."""
        services = self._services
        services.count_refused()
        services.dead_letter(envelope, self.address, Reason.STOPPED if self._existed else Reason.UNKNOWN)
        if envelope.reply is not None:
            if self._existed:
                cause = services.failure_of(self.address.number)
                envelope.reply.fail(services.stopped_error(self.address.name, envelope.message, cause))
            else:
                envelope.reply.fail(UnknownAgent(self.address))
        return None

    def cancel(self, envelope: Envelope) -> None:
        """Do nothing: no handler runs."""

    def stop(self, *, drain: bool, kill_after: float | None = None) -> Completion:  # noqa: ARG002 - as in every endpoint
        """Return a completion that is done."""
        ended = Signal()
        ended.set()
        return ended

    def watch(self, watcher: AgentRef) -> None:
        """Send `AgentDown` at once."""
        watcher.tell(AgentDown(self._services.reference(self.address), "stopped"), priority=MessagePriority.SYSTEM)

    def unwatch(self, watcher: AgentRef) -> None:
        """Do nothing."""
