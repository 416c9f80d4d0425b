"""Agents on threads of their own: spawn, tell, ask, supervise, watch, stop.

An agent is a class with handlers; a `Runtime` runs instances of it, gives out references to them, and rebuilds those
that fail. Only an agent's own thread touches its state; all others send it messages. Who gets a thread when is the
dispatcher's business (`Leased`, `Dedicated`), and changes what agents cost, never what they mean. The runtime knows
nothing of what its agents do.
"""

from coterie.runtime.agent import Agent
from coterie.runtime.agent_timer import AgentTimer
from coterie.runtime.context import Context
from coterie.runtime.dispatchers import Dedicated, Dispatcher, Leased
from coterie.runtime.handlers import on
from coterie.runtime.health import AgentHealth, AgentState
from coterie.runtime.inspection import Inspection
from coterie.runtime.logs import AgentLog, AgentLogFilter
from coterie.runtime.metrics import AgentMetrics, Latencies, Quantiles, RuntimeMetrics
from coterie.runtime.reference import AgentRef
from coterie.runtime.reply import Reply
from coterie.runtime.runtime import Provided, Runtime
from coterie.runtime.shutdown import StopReport, StuckAgent
from coterie.runtime.signals import AGENTS, AgentDown, AgentFailed, AgentRecovered, AgentRestarted, AgentStalled
from coterie.runtime.supervision import Backoff, Strategy, Supervision

__all__ = [
    "AGENTS",
    "Agent",
    "AgentDown",
    "AgentFailed",
    "AgentHealth",
    "AgentLog",
    "AgentLogFilter",
    "AgentMetrics",
    "AgentRecovered",
    "AgentRef",
    "AgentRestarted",
    "AgentStalled",
    "AgentState",
    "AgentTimer",
    "Backoff",
    "Context",
    "Dedicated",
    "Dispatcher",
    "Inspection",
    "Latencies",
    "Leased",
    "Provided",
    "Quantiles",
    "Reply",
    "Runtime",
    "RuntimeMetrics",
    "StopReport",
    "Strategy",
    "StuckAgent",
    "Supervision",
    "on",
]
