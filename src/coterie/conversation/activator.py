"""Activation and passivation of a conversation's agent, without losing a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.errors import ConversationClosed
from coterie.messaging import Request
from coterie.runtime import AgentRef, Reply

T = TypeVar("T")


class Activator:
    """Passes requests to a conversation's agent and starts the agent on demand. Safe from any thread; `_lock` guards all.

    The agent is stopped only while no request is open and none can start. The next request waits until the old agent has
    ended, and then starts a new one, so two agents never own one conversation.
    """

    def __init__(self, name: str, begin: Callable[[], AgentRef], leave: Callable[[AgentRef], object]) -> None:
        self._name = name
        self._begin = begin
        self._passivated = leave
        self._lock = new_lock(Rank.CONVERSATION)
        self._agent: AgentRef | None = None
        self._ending: Reply[None] | None = None
        self._asked = 0
        self._closed = False

    def __deepcopy__(self, memo: object) -> Activator:
        return self

    def open(self) -> AgentRef:
        """Start the agent, or return the running one. Raises `ConversationClosed`."""
        with self._lock:
            return self._activate()

    def ask(self, request: Request[T]) -> Reply[T]:
        """Ask the agent, and start it first if it is passivated. Raises `ConversationClosed`."""
        with self._lock:
            agent = self._activate()
            self._asked += 1
        try:
            reply = agent.ask(request, timeout=None)
        except BaseException:
            self._answered()
            raise
        reply.add_callback(self._answered)
        return reply

    def rest(self) -> bool:
        """Passivate the agent, which calls this when it is idle; return whether it is being stopped."""
        with self._lock:
            if self._asked or self._agent is None or self._closed:
                return False
            self._passivated(self._agent)
            self._ending = self._agent.stop(drain=False)
            self._agent = None
            return True

    def close(self) -> AgentRef | None:
        """Start no further agent; return the running one, which the caller must stop."""
        with self._lock:
            self._closed = True
            return self._agent

    @property
    def is_alive(self) -> bool:
        """Return whether it accepts requests."""
        agent = self._agent
        return not self._closed and (agent is None or agent.is_alive)

    def _activate(self) -> AgentRef:
        if self._closed:
            raise ConversationClosed(self._name)
        if self._agent is None:
            if self._ending is not None:
                self._ending.result()
                self._ending = None
            self._agent = self._begin()
        return self._agent

    def _answered(self) -> None:
        with self._lock:
            self._asked -= 1
