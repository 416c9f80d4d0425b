"""The port to an address of this runtime where nobody lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coterie.concurrency import Signal
from coterie.errors import UnknownAgent
from coterie.messaging import Envelope, MessagePriority, Reason
from coterie.runtime.signals import AgentDown

if TYPE_CHECKING:
    from coterie.concurrency import Completion
    from coterie.kernel import Address
    from coterie.messaging import PendingPut
    from coterie.runtime.cell import AgentCell
    from coterie.runtime.reference import AgentRef
    from coterie.runtime.services import Services


class VacantPort:
    """What a reference has that was decoded after its agent had stopped, or names one that never was."""

    __slots__ = ("_existed", "_services", "address")

    def __init__(self, services: Services, address: Address, *, existed: bool) -> None:
        self.address = address
        self._services = services
        self._existed = existed

    @property
    def cell(self) -> AgentCell | None:
        """Nothing."""
        return None

    @property
    def is_alive(self) -> bool:
        """Whether the agent lives: no."""
        return False

    def admit(self, envelope: Envelope) -> PendingPut | None:
        """Make the envelope a dead letter."""
        services = self._services
        services.count_refused()
        services.make_dead(envelope, self.address, Reason.STOPPED if self._existed else Reason.UNKNOWN)
        if envelope.reply is not None:
            if self._existed:
                cause = services.registry.failure_of(self.address.number)
                envelope.reply.fail(services.stopped_error(self.address.name, envelope.message, cause))
            else:
                envelope.reply.fail(UnknownAgent(self.address))
        return None

    def cancel(self, envelope: Envelope) -> None:
        """Do nothing: no work is under way."""

    def stop(self, *, drain: bool) -> Completion:  # noqa: ARG002 - as every port
        """Do nothing: it has ended."""
        ended = Signal()
        ended.set()
        return ended

    def watch(self, watcher: AgentRef) -> None:
        """Tell at once that the agent is down."""
        watcher.tell(AgentDown(self._services.reference(self.address), "stopped"), priority=MessagePriority.SYSTEM)

    def unwatch(self, watcher: AgentRef) -> None:
        """Do nothing."""
