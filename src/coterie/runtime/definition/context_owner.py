"""The parts of a runtime and of an agent that a context needs, as Protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, TypeVar

from coterie.messaging import MailboxPolicy, Message
from coterie.runtime.definition.durable_context import DurableOwner
from coterie.runtime.definition.supervision import Supervision
from coterie.runtime.dispatchers.base import AgentExecutor, Dispatcher
from coterie.runtime.references.agent_timer import AgentTimer, TimerOwner
from coterie.runtime.references.invocation import Invocation
from coterie.runtime.references.mailbox_room import WaitServices
from coterie.runtime.references.publication import Publication
from coterie.runtime.references.reference import AgentRef

T = TypeVar("T")


class SpawnOptions(NamedTuple):
    """The options of a spawn: the name of the agent, and its policies where they differ from the defaults."""

    name: str | None
    dispatcher: Dispatcher | None
    supervision: Supervision | None
    mailbox: MailboxPolicy | None


class LiveAgent(Protocol):
    """The incarnation of an agent, as its context sees it."""

    @property
    def timers(self) -> dict[AgentTimer, None]:
        """The timers that end with this incarnation."""
        ...

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine beside the handlers."""
        ...


class BlockingPool(Protocol):
    """The threads for calls that block."""

    def submit(self, function: Callable[[], T], /) -> Future[T]:
        """Call a function on one of the threads."""
        ...


class ContextServices(WaitServices, Protocol):
    """The parts of a runtime that a context needs."""

    @property
    def runtime(self) -> Any:
        """The runtime. `Context.runtime` gives its type, which names `Agent` and so cannot be named here."""
        ...

    @property
    def blocking(self) -> BlockingPool:
        """The threads for calls that block."""
        ...

    def use(self, kind: type[T]) -> T:
        """Return the service of a type. Raises `ServiceMissing`."""
        ...

    def publish(self, topic: str, message: Message, sender: AgentRef | None) -> Publication:
        """Send a message to the subscribers of a topic."""
        ...


class Postponed(Protocol):
    """The messages that an agent has postponed."""

    def add(self, invocation: Invocation | None) -> None:
        """Postpone the message of a handler."""
        ...

    def put_back(self) -> None:
        """Put all messages back into the mailbox."""
        ...


class ContextOwner(TimerOwner, Protocol):
    """The agent that a context belongs to, as the runtime keeps it."""

    @property
    def durable(self) -> DurableOwner | None:
        """The durable side of the agent, if it has one."""
        ...

    @property
    def executor(self) -> AgentExecutor:
        """The executor that gives the agent its thread."""
        ...

    @property
    def services(self) -> ContextServices:
        """The parts of the runtime."""
        ...

    @property
    def incarnation(self) -> LiveAgent | None:
        """The current incarnation; None while the agent is down."""
        ...

    @property
    def stash(self) -> Postponed:
        """The postponed messages."""
        ...

    @property
    def stopping(self) -> bool:
        """True once the agent, or its runtime, has begun to stop."""
        ...

    @property
    def ending(self) -> bool:
        """True once the agent was told to stop without draining."""
        ...

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the agent's event loop. Only on its thread."""
        ...

    def spawn_child(self, agent: type, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: SpawnOptions) -> AgentRef:
        """Start a child of this agent."""
        ...

    def subscribe(self, topic: str) -> None:
        """Send the agent the messages that are published on a topic."""
        ...

    def unsubscribe(self, topic: str) -> None:
        """Send the agent no more messages of a topic."""
        ...
