"""The owner of the endpoints of durable agents, as an endpoint sees it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from coterie.durable import BackgroundWrites, DurableStore
from coterie.errors import CoterieError
from coterie.kernel import Address, Codec
from coterie.messaging import MailboxPolicy
from coterie.messaging.envelope import Envelope
from coterie.runtime.entities.entity_cell import EntityCell
from coterie.runtime.entities.entity_kind import EntityKind
from coterie.runtime.entities.policy import DurablePolicy
from coterie.runtime.entities.stored_forms import StoredForms
from coterie.runtime.entities.unit_of_work import UnitOfWork
from coterie.runtime.references.reference import AgentRef

E_contra = TypeVar("E_contra", contravariant=True)


class EndpointOwner(Protocol[E_contra]):
    """The durable agents of a runtime, as one of them sees them. Safe from any thread."""

    @property
    def store(self) -> DurableStore:
        """The store."""
        ...

    @property
    def background(self) -> BackgroundWrites:
        """The changes that are stored after they are answered."""
        ...

    @property
    def codec(self) -> Codec:
        """The codec of stored messages."""
        ...

    @property
    def policy(self) -> DurablePolicy:
        """The policy."""
        ...

    def start(self, endpoint: E_contra) -> EntityCell:
        """Start an activation. Raises `RuntimeStopped`, `SpawnError`."""
        ...

    def ended(self, endpoint: E_contra, cell: EntityCell) -> None:
        """Note that an activation has ended."""
        ...

    def reference_to(self, endpoint: E_contra) -> AgentRef:
        """Return a reference to a durable agent."""
        ...

    def mailbox(self, kind: EntityKind) -> MailboxPolicy:
        """Return the policy of the mailboxes of a class."""
        ...

    @property
    def forms(self) -> StoredForms:
        """Makes the stored forms of messages, and reads them."""
        ...

    def sent(self, sender: AgentRef, unit: UnitOfWork, numbers: list[int]) -> None:
        """Deliver what a committed unit of work has sent."""
        ...

    def refill(self, endpoint: E_contra, *, delayed: bool) -> None:
        """Deliver the stored messages for an agent soon; with `delayed` after a pause, because it just failed."""
        ...

    def shuts_out(self, envelope: Envelope) -> bool:
        """Return whether the runtime is stopping, and the message comes from outside."""
        ...

    def refuse(self, envelope: Envelope, to: Address, error: CoterieError) -> None:
        """End a message for which no activation can be started."""
        ...

    def keep(self, endpoint: E_contra, *, on: bool) -> None:
        """Keep an endpoint that no activation keeps alive, or no longer."""
        ...

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        ...

    @property
    def closed(self) -> bool:
        """True once no agent is activated any more."""
        ...
