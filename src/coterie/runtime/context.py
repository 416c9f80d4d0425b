"""What an agent can do beside handling messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from coterie.errors import NotInAgent
from coterie.messaging import Message, MessagePriority
from coterie.runtime.activation import CURRENT
from coterie.runtime.agent_timer import AgentTimer

if TYPE_CHECKING:
    from coterie.messaging import MailboxPolicy
    from coterie.runtime.agent import Agent
    from coterie.runtime.cell import AgentCell
    from coterie.runtime.dispatchers import Dispatcher
    from coterie.runtime.incarnation import Incarnation
    from coterie.runtime.logs import AgentLog
    from coterie.runtime.reference import AgentRef
    from coterie.runtime.runtime import Runtime
    from coterie.runtime.supervision import Supervision

P = ParamSpec("P")
T = TypeVar("T")


class Context:
    """An agent's way to the world, as `self.context`. Use it on the agent's thread only, unless a line says otherwise."""

    __slots__ = ("_cell",)

    def __init__(self, cell: AgentCell) -> None:
        self._cell = cell

    @property
    def self_ref(self) -> AgentRef:
        """The agent's own reference, to be handed to others."""
        return self._cell.reference

    @property
    def sender(self) -> AgentRef | None:
        """Who sent the message in hand; None for somebody who is not an agent, and in hooks and background tasks."""
        activation = CURRENT.get()
        if activation is None or activation.envelope is None or activation.cell is not self._cell:
            return None
        sender: Any = activation.envelope.sender
        return sender  # type: ignore[no-any-return] # only references are ever put there

    @property
    def runtime(self) -> Runtime:
        """The runtime that the agent lives in."""
        return self._cell.services.runtime

    @property
    def log(self) -> AgentLog:
        """A log whose entries carry the agent's name. From any thread."""
        return self._cell.log

    def use(self, service: type[T]) -> T:
        """Return what was given to `runtime.provide` under this type, or a subclass of it. From any thread.

        Raises `ServiceMissing`.
        """
        return self._cell.services.use(service)

    def spawn(
        self,
        agent: type[Agent],
        *args: Any,
        name: str | None = None,
        dispatcher: Dispatcher | None = None,
        supervision: Supervision | None = None,
        mailbox: MailboxPolicy | None = None,
        **kwargs: Any,
    ) -> AgentRef:
        """Start an agent as a child of this one, and return its reference; see `Runtime.spawn`.

        A child stops before its parent does, and whenever its parent fails; a rebuilt parent spawns its children anew.
        Without a name it gets its parent's, its class's and a number.
        """
        return self._cell.services.spawn(
            agent,
            args,
            kwargs,
            name=name,
            dispatcher=dispatcher,
            supervision=supervision,
            mailbox=mailbox,
            parent=self._cell,
        )

    def watch(self, agent: AgentRef) -> None:
        """Be sent `AgentRestarted` and `AgentDown` about an agent; the latter at once if it has ended."""
        agent._port.watch(self._cell.reference)  # noqa: SLF001 - context and reference are two faces of one thing

    def unwatch(self, agent: AgentRef) -> None:
        """Be told about an agent no more."""
        agent._port.unwatch(self._cell.reference)  # noqa: SLF001 - as above

    def after(self, seconds: float, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL) -> AgentTimer:
        """Send this agent a message in so many seconds, unless that is cancelled or this life of it ends before."""
        return AgentTimer(self._incarnation("a timer"), message, priority, seconds, repeat=False)

    def every(self, seconds: float, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL) -> AgentTimer:
        """Send this agent a message each time so many seconds have passed, until cancelled or this life of it ends."""
        return AgentTimer(self._incarnation("a timer"), message, priority, seconds, repeat=True)

    def publish(self, topic: str, message: Message) -> int:
        """Send a message to the agents that have subscribed to a topic. Return how many there are."""
        return self._cell.services.publish(topic, message, self._cell.reference)

    def subscribe(self, topic: str) -> None:
        """Be sent what is published on a topic, until the agent ends."""
        self._cell.services.registry.subscribe(topic, self._cell)

    def unsubscribe(self, topic: str) -> None:
        """Be sent what is published on a topic no more."""
        self._cell.services.registry.unsubscribe(topic, self._cell)

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine on the agent's loop beside its handlers; it is cancelled when this life of the agent ends.

        A task that raises fails the agent as a handler does. What a task asks or awaits holds up nobody.
        """
        try:
            incarnation = self._incarnation("a task")
        except NotInAgent:
            work.close()
            raise
        return incarnation.create_task(work)

    def run_blocking(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Call a function that blocks on a thread of the runtime's pool, and await what it returns or raises.

        The pool starts threads as they are needed. The function must not touch the agent. If the await is cancelled, a
        call that has begun goes on, and its outcome is dropped.
        """
        variables = copy_context()

        def call() -> T:
            try:
                return variables.run(function, *args, **kwargs)
            except StopIteration as error:
                # No future of asyncio can carry it, so whoever awaits this would wait for ever.
                raise RuntimeError("the blocking call raised StopIteration") from error

        future = self._cell.services.blocking.submit(call)
        return asyncio.wrap_future(future, loop=self._cell.loop())

    def _incarnation(self, what: str) -> Incarnation:
        incarnation = self._cell.incarnation
        if incarnation is None:
            raise NotInAgent(f"{what} of {self._cell.name}")
        return incarnation
