"""The parts of a runtime that an agent's cell needs, as Protocols. `C_contra` is the type of the cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from coterie.messaging import Message
from coterie.runtime.cells.handler_tables import HandlerTables
from coterie.runtime.cells.lifecycle_owner import LifecycleServices
from coterie.runtime.cells.outcomes import OutcomeServices
from coterie.runtime.definition.context_owner import SpawnOptions
from coterie.runtime.dispatchers.base import Dispatcher, Scheduler
from coterie.runtime.references.reference import AgentRef, Endpoint
from coterie.runtime.references.reference_services import ReferenceServices

C_contra = TypeVar("C_contra", contravariant=True)


class AgentDirectory(Protocol[C_contra]):
    """The registry of a runtime, as one agent uses it."""

    def watch(self, cell: C_contra, watcher: AgentRef) -> None:
        """Notify `watcher` about an agent; at once if it has ended."""
        ...

    def unwatch(self, cell: C_contra, watcher: AgentRef) -> None:
        """Notify `watcher` about an agent no longer."""
        ...

    def subscribe(self, topic: str, cell: C_contra) -> None:
        """Send an agent the messages that are published on a topic."""
        ...

    def unsubscribe(self, topic: str, cell: C_contra) -> None:
        """Send an agent no more messages of a topic."""
        ...

    def free_name(self, cell: C_contra) -> bool:
        """Release the name of an agent that is about to end. Return False if it has that of another record."""
        ...


class CellSuccessions(Protocol[C_contra]):
    """Takes threads from agents that are stuck."""

    def supersede(self, cell: C_contra, error: BaseException | None) -> None:
        """Take a stuck agent's thread from it; see `Successions.supersede`."""
        ...


class CellServices(LifecycleServices, OutcomeServices, ReferenceServices, Protocol[C_contra]):
    """The parts of a runtime that an agent needs."""

    @property
    def node(self) -> str:
        """The name of the runtime among nodes."""
        ...

    @property
    def registry(self) -> AgentDirectory[C_contra]:
        """The registry of the agents."""
        ...

    @property
    def handler_tables(self) -> HandlerTables:
        """The handlers of classes of agents that were looked up so far."""
        ...

    @property
    def successions(self) -> CellSuccessions[C_contra]:
        """Takes threads from agents that are stuck."""
        ...

    def scheduler(self, dispatcher: Dispatcher) -> Scheduler:
        """Return the scheduler of a dispatcher."""
        ...

    def endpoint_for(self, cell: C_contra) -> Endpoint:
        """Return the endpoint through which references of this runtime reach an agent."""
        ...

    def spawn(
        self,
        kind: type,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: SpawnOptions,
        parent: C_contra | None,
    ) -> AgentRef:
        """Start an agent as a child of `parent`."""
        ...

    def notify_watchers(self, cell: C_contra, event: Message, *, last: bool = False) -> None:
        """Send a lifecycle event to the watchers of an agent, and publish it; with `last`, forget the watchers."""
        ...

    def unregister(self, cell: C_contra) -> None:
        """Remove an agent that has ended from the registry."""
        ...
