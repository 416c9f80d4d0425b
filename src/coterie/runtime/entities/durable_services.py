"""The parts of a runtime that durable agents need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from coterie.concurrency import ElasticPool, Timers
from coterie.kernel import Address, Clock, Codec
from coterie.messaging import MailboxPolicy
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.definition.spec import AgentSpec
from coterie.runtime.dispatchers.base import Dispatcher
from coterie.runtime.references.context_carrier import ContextCarrier
from coterie.runtime.references.reference import AgentRef, Endpoint
from coterie.runtime.references.reference_services import ReferenceServices

C = TypeVar("C", bound=AgentCell)


class DurableServices(ReferenceServices, Protocol):
    """The parts of a runtime that durable agents need."""

    @property
    def node(self) -> str:
        """The name of the runtime among nodes."""
        ...

    @property
    def strict(self) -> bool:
        """True if messages are encoded on their way."""
        ...

    @property
    def stopping(self) -> bool:
        """True once messages from outside are refused."""
        ...

    @property
    def closed(self) -> bool:
        """True once no agent is started any more."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    @property
    def timers(self) -> Timers:
        """The timers."""
        ...

    @property
    def blocking(self) -> ElasticPool:
        """The threads for calls that block."""
        ...

    @property
    def dispatcher(self) -> Dispatcher:
        """The dispatcher of agents that have none of their own."""
        ...

    @property
    def mailbox(self) -> MailboxPolicy:
        """The policy of mailboxes."""
        ...

    @property
    def carrier(self) -> ContextCarrier:
        """Takes the contexts of stored messages apart, and puts them together."""
        ...

    @property
    def codec(self) -> Codec:
        """The codec of messages."""
        ...

    def start(self, spec: AgentSpec, name: str, mailbox: MailboxPolicy | None, make: Callable[..., C]) -> C:
        """Start an agent whose cell `make` makes. Raises `RuntimeStopped`, `SpawnError`."""
        ...

    def wrap(self, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint by which references of this runtime reach an agent: with `strict`, one that encodes."""
        ...

    def reference(self, address: Address) -> AgentRef:
        """Return a reference to the agent at an address."""
        ...
