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
    """The total number of its restarts."""


class AgentDown(Message):
    """An agent has ended. It will not come back; a new one may take its name."""

    agent: AgentRef
    reason: str
    """Why: "stopped", "failed", or "lost" for an agent of a node that is not heard any more."""
    error: str = ""
    """The error."""


class AgentFailed(Message):
    """A handler, hook or task of an agent raised, and ended this incarnation of the agent."""

    agent: AgentRef
    error: str
    message: str = ""
    """The type of the current message, if there was one."""


class AgentStalled(Message):
    """An agent has held its thread for too long."""

    agent: AgentRef
    seconds: float
    """The minimum number of seconds so far."""
    stack: str


class AgentRecovered(Message):
    """A stalled agent has continued."""

    agent: AgentRef
    seconds: float
    """The approximate number of seconds for which it was stalled."""
