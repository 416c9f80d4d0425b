"""The running invocation: the acting agent, and its message. It travels with the code that a handler runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol, TypeVar

from coterie.concurrency.contexts import keep_from_jobs
from coterie.messaging import Message, MessagePriority
from coterie.messaging.envelope import Envelope, Reference
from coterie.runtime.dispatchers.base import AgentExecutor
from coterie.runtime.references.waits import Waiter

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class ActingAgent(Waiter, Protocol):
    """The agent whose code runs, as asks and messages from that code see it."""

    @property
    def reference(self) -> Reference:
        """The agent's own reference: the sender of the code's messages."""
        ...

    @property
    def executor(self) -> AgentExecutor:
        """The executor that gives the agent its thread."""
        ...

    def blocked(self) -> AbstractContextManager[None]:
        """Mark that code of the agent blocks its thread deliberately."""
        ...


class Outbox(Protocol):
    """The messages that a handler of a durable agent sends, which leave when its change is stored."""

    def tell(self, to: Any, message: Message, priority: MessagePriority, ttl: float | None) -> None:
        """Add a message to the agent of a reference. Raises `EncodeFailed` if it must be stored and cannot be."""
        ...


class Invocation:
    """One running handler or hook of one agent. Only the agent's thread writes it; other threads may read.

    All synchronous handlers of an agent share one invocation, which is set anew for each message. Every asynchronous
    handler has its own, since several may run at once.
    """

    __slots__ = ("active", "cell", "envelope", "exclusive", "outbox")

    def __init__(self, cell: ActingAgent, *, exclusive: bool) -> None:
        self.cell = cell
        """The agent."""
        self.exclusive = exclusive
        """True if the agent handles nothing else until this has ended."""
        self.active = True
        """Whether it has not ended."""
        self.envelope: Envelope | None = None
        """The current message; None for a hook or a background task."""
        self.outbox: Outbox | None = None
        """The outbox of the handler of a durable agent; None for all other code, which sends at once."""

    @property
    def blocks_agent(self) -> bool:
        """True if the agent handles nothing while this code waits on the calling thread."""
        return self.exclusive or self.cell.executor.thread_id == threading.get_ident()


CURRENT: ContextVar[Invocation | None] = ContextVar("coterie_invocation", default=None)
"""The invocation whose code is running; None outside of all agents. Copied into tasks and `run_blocking`."""
keep_from_jobs(CURRENT)


def carried() -> Context | None:
    """Return a copy of the caller's context variables for a message to carry, or None if it has none of its own."""
    context = copy_context()
    return context if len(context) > (CURRENT in context) else None


def call_as(invocation: Invocation, function: Callable[[A, B], T], agent: A, message: B) -> T:
    """Call a handler for an invocation, in the context that its message carried."""
    CURRENT.set(invocation)
    return function(agent, message)
