"""The parts of an agent and of its runtime that a life cycle needs, as Protocols."""

from __future__ import annotations

from random import Random
from typing import Any, Protocol

from coterie.concurrency import Signal
from coterie.messaging import Message
from coterie.messaging.mailbox import Mailbox
from coterie.runtime.cells.incarnation import Incarnation
from coterie.runtime.cells.incarnation_owner import IncarnationLife, IncarnationOwner
from coterie.runtime.cells.outcomes import Outcomes
from coterie.runtime.cells.stash import Stash
from coterie.runtime.cells.states import Suspension
from coterie.runtime.cells.supervision_group import Supervised, SupervisedLife, SupervisionGroup
from coterie.runtime.definition.context_owner import ContextOwner, ContextServices
from coterie.runtime.definition.spec import AgentSpec
from coterie.runtime.references.reference import AgentRef


class LifecycleServices(ContextServices, Protocol):
    """The parts of a runtime that a life cycle needs."""

    @property
    def random(self) -> Random:
        """The source of the jitter of restarts."""
        ...

    def publish_event(self, event: Message) -> None:
        """Publish a lifecycle event on the topic `AGENTS`."""
        ...


class FullLife(SupervisedLife, IncarnationLife, Protocol):
    """The life cycle of the agent, as its supervision group and its incarnation see it."""


class LifecycleOwner(Supervised, IncarnationOwner, ContextOwner, Protocol):
    """The agent whose phases these are."""

    incarnation: Incarnation | None

    def restore_state(self, incarnation: Incarnation) -> None:
        """Give an agent that was just constructed its earlier state."""
        ...

    children: SupervisionGroup | None
    restarts: int
    last_error: str
    kept: Any

    @property
    def services(self) -> LifecycleServices:
        """The parts of the runtime."""
        ...

    @property
    def life(self) -> FullLife:
        """The life cycle."""
        ...

    @property
    def reference(self) -> AgentRef:
        """The agent's own reference."""
        ...

    @property
    def spec(self) -> AgentSpec:
        """The class, the arguments and the policies."""
        ...

    @property
    def supervision_group(self) -> SupervisionGroup:
        """The agents it is supervised with."""
        ...

    @property
    def mailbox(self) -> Mailbox:
        """The mailbox."""
        ...

    @property
    def stash(self) -> Stash:
        """The postponed messages."""
        ...

    @property
    def outcomes(self) -> Outcomes:
        """The counts of its messages."""
        ...

    @property
    def ended(self) -> Signal:
        """Set when the agent has ended."""
        ...

    def is_held(self, reason: Suspension) -> bool:
        """Return whether the agent takes no messages for this reason."""
        ...

    def notify_watchers(self, event: Message, *, last: bool = False) -> None:
        """Send a lifecycle event to the watchers, and publish it; with `last`, forget the watchers."""
        ...

    @property
    def given_up(self) -> bool:
        """True if another record has taken over, or the runtime has ended without it."""
        ...

    def free_name(self) -> bool:
        """Release the name: the agent is about to end. Return False if it has another record's by now."""
        ...

    def unregister(self) -> None:
        """Leave the registry: the agent has ended."""
        ...
