"""Lifecycle events of agents. Watchers get the first two; all are published on the topic `AGENTS`."""

from __future__ import annotations

from coterie.messaging import Message
from coterie.runtime.references.reference import AgentRef

AGENTS = "agents"
"""The topic on which failures, restarts, ends and stalls of agents are published."""


class AgentRestarted(Message):
    """An agent failed, and has been rebuilt."""

    agent: AgentRef
    error: str
    """The error; empty for an agent that was restarted because another failed."""
    restarts: int
    """How often it has been restarted in all."""


class AgentDown(Message):
    """An agent has ended. It will not come back; a new one may take its name."""

    agent: AgentRef
    reason: str
    """"stopped" or "failed"."""
    error: str = ""
    """The error."""


class AgentFailed(Message):
    """A handler, hook or task of an agent raised, and ended this life of the agent."""

    agent: AgentRef
    error: str
    message: str = ""
    """The type of the message in hand, if there was one."""


class AgentStalled(Message):
    """An agent has held its thread for too long."""

    agent: AgentRef
    seconds: float
    """For how long at least."""
    stack: str


class AgentRecovered(Message):
    """A stalled agent has continued."""

    agent: AgentRef
    seconds: float
    """For how long it had been stalled, about."""
