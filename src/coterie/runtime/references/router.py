"""A router, which spreads messages over several agents."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TypeVar

from coterie.concurrency.frames import calls_out
from coterie.errors import AgentStopped, InvalidSetting
from coterie.messaging import Message, MessagePriority, Request, Stream
from coterie.runtime.references.reference import AgentRef, is_ready
from coterie.runtime.references.reference_services import DEFAULT, Timeout
from coterie.runtime.references.reply import Reply
from coterie.runtime.references.reply_stream import ReplyStream

R = TypeVar("R")


class AgentRouter:
    """Sends each message to the next of several agents, in turn, and passes by those that are down.

    An agent that is about to stop counts as down; one that is being rebuilt after a failure gets messages only if no other is
    ready.

    ::

        router = AgentRouter([runtime.spawn(Worker) for _ in range(4)])
        router.ask(Add(amount=2)).result()

    An agent that ends with messages in its mailbox fails their asks with `AgentStopped`; they are not sent again. Safe from
    any thread, and within agents, to which it can be given at `spawn`.
    """

    @calls_out
    def __init__(self, agents: Iterable[AgentRef]) -> None:
        self.agents: tuple[AgentRef, ...] = tuple(agents)
        """All its agents, those that are down included."""
        if not self.agents or not all(isinstance(agent, AgentRef) for agent in self.agents):
            raise InvalidSetting("AgentRouter.agents", self.agents, "references of at least one agent")
        self._turns = itertools.count()

    def tell(self, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL, ttl: float | None = None) -> None:
        """Send a message to the next agent as `AgentRef.tell` does. Raises `AgentStopped` if all are down."""
        self._next(message).tell(message, priority=priority, ttl=ttl)

    async def offer(
        self, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL, ttl: float | None = None
    ) -> None:
        """Send a message to the next agent as `AgentRef.offer` does. Raises `AgentStopped` if all are down."""
        await self._next(message).offer(message, priority=priority, ttl=ttl)

    def ask(
        self, message: Request[R], *, timeout: Timeout = DEFAULT, priority: MessagePriority = MessagePriority.NORMAL
    ) -> Reply[R]:
        """Ask the next agent as `AgentRef.ask` does. Raises `AgentStopped` if all are down."""
        return self._next(message).ask(message, timeout=timeout, priority=priority)

    def stream(
        self,
        message: Stream[R],
        *,
        timeout: Timeout = DEFAULT,
        within: float | None = None,
        ahead: int = 16,
        priority: MessagePriority = MessagePriority.NORMAL,
    ) -> ReplyStream[R]:
        """Ask the next agent for a stream as `AgentRef.stream` does. Raises `AgentStopped` if all are down."""
        return self._next(message).stream(message, timeout=timeout, within=within, ahead=ahead, priority=priority)

    def _next(self, message: Message) -> AgentRef:
        agents = self.agents
        turn = next(self._turns)
        second_choice: AgentRef | None = None
        for step in range(len(agents)):
            agent = agents[(turn + step) % len(agents)]
            if is_ready(agent):
                return agent
            if second_choice is None and agent.is_alive:
                second_choice = agent
        if second_choice is not None:
            return second_choice
        names = ", ".join(agent.name for agent in agents)
        raise AgentStopped("the router", type(message).__qualname__, f"all its agents are down: {names}")

    def __copy__(self) -> AgentRouter:
        return self

    def __deepcopy__(self, memo: object) -> AgentRouter:
        return self
