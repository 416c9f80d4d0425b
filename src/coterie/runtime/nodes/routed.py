"""Endpoints of durable agents that are on one of several nodes, and may move."""

from __future__ import annotations

from collections.abc import Callable

from coterie.concurrency import Completion, Signal
from coterie.errors import TransportError, UnknownAgent
from coterie.kernel import Address
from coterie.messaging import Reason
from coterie.messaging.envelope import Envelope
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.nodes.connection import RemoteServices
from coterie.runtime.references.local_agent import LocalAgent
from coterie.runtime.references.reference import AgentRef, Endpoint


class RoutedEndpoint:
    """The endpoint of a durable agent, which looks for the node of the agent anew for each message. It never changes.

    `home` returns the runtime that has the agent now, and `at` the endpoint to the agent there.
    """

    __slots__ = ("__weakref__", "_at", "_home", "_services", "address")

    def __init__(
        self, services: RemoteServices, address: Address, home: Callable[[str], str], at: Callable[[Address], Endpoint]
    ) -> None:
        self.address = address
        self._services = services
        self._home = home
        self._at = at

    @property
    def local(self) -> LocalAgent | None:
        """The present activation, if it is on this node."""
        try:
            return self._present().local
        except TransportError:
            return None

    @property
    def is_durable(self) -> bool:
        """True."""
        return True

    @property
    def is_alive(self) -> bool:
        """True until this runtime stops: a durable agent is activated when it is needed."""
        return not self._services.stopping

    def deliver(self, envelope: Envelope) -> PendingPut | None:
        """Send an envelope to the node of the agent. Raises the errors of the endpoint there."""
        try:
            present = self._present()
        except TransportError as error:
            services = self._services
            services.count_refused()
            services.dead_letter(envelope, self.address, Reason.UNDELIVERABLE, str(error))
            if envelope.reply is not None:
                envelope.reply.fail(UnknownAgent(self.address, str(error)))
            return None
        return present.deliver(envelope)

    def cancel(self, envelope: Envelope) -> None:
        """Withdraw an ask, if the agent has not moved since."""
        try:
            self._present().cancel(envelope)
        except TransportError:
            return

    def stop(self, *, drain: bool, kill_after: float | None = None) -> Completion:
        """End the present activation."""
        try:
            return self._present().stop(drain=drain, kill_after=kill_after)
        except TransportError:
            ended = Signal()
            ended.set()
            return ended

    def watch(self, watcher: AgentRef) -> None:
        """Notify `watcher` of restarts, and of a failure for good, on the present node of the agent."""
        try:
            self._present().watch(watcher)
        except TransportError:
            return

    def unwatch(self, watcher: AgentRef) -> None:
        """Notify `watcher` no longer."""
        try:
            self._present().unwatch(watcher)
        except TransportError:
            return

    def _present(self) -> Endpoint:
        return self._at(Address(self._home(self.address.name), self.address.name))
