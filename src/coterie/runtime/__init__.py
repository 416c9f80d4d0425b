"""Agents on threads of their own: spawn, tell, ask, supervise, watch, stop.

An agent is a class with handlers; a `Runtime` runs instances of it, gives out references to them, and rebuilds those
that fail. Only an agent's own thread touches its state; all other code sends messages. The dispatcher (`Leased`,
`Dedicated`) decides when an agent gets a thread; the choice changes the cost of agents, never their meaning.

The folders are layers, from bottom to top: `dispatchers` (threads and event loops), `references` (references, asks,
replies), `definition` (agent classes), `cells` (running agents) and `nodes` (agents on other nodes), `observation` (health,
inspection). `services` assembles them, and `Runtime` is the public class.
"""

from coterie.runtime.cells.metrics import AgentMetrics, RuntimeMetrics
from coterie.runtime.definition.agent import Agent, Context
from coterie.runtime.definition.handlers import on
from coterie.runtime.definition.supervision import Backoff, Strategy, Supervision
from coterie.runtime.dispatchers import Dedicated, Dispatcher, Leased
from coterie.runtime.entities.durable_agents import DurableAgents
from coterie.runtime.entities.policy import DurablePolicy
from coterie.runtime.observation.exposition import RuntimeCollector
from coterie.runtime.observation.health import AgentHealth, AgentState
from coterie.runtime.references.lifecycle_events import (
    AGENTS,
    AgentDown,
    AgentFailed,
    AgentRecovered,
    AgentRestarted,
    AgentStalled,
)
from coterie.runtime.references.logs import AgentLogFilter
from coterie.runtime.references.publication import Publication
from coterie.runtime.references.reference import AgentRef
from coterie.runtime.references.reply import Reply
from coterie.runtime.references.reply_stream import ReplyStream
from coterie.runtime.references.router import AgentRouter
from coterie.runtime.runtime import Provided, Runtime
from coterie.runtime.shutdown import StopReport

__all__ = [
    "AGENTS",
    "Agent",
    "AgentDown",
    "AgentFailed",
    "AgentHealth",
    "AgentLogFilter",
    "AgentMetrics",
    "AgentRecovered",
    "AgentRef",
    "AgentRestarted",
    "AgentRouter",
    "AgentStalled",
    "AgentState",
    "Backoff",
    "Context",
    "Dedicated",
    "Dispatcher",
    "DurableAgents",
    "DurablePolicy",
    "Leased",
    "Provided",
    "Publication",
    "Reply",
    "ReplyStream",
    "Runtime",
    "RuntimeCollector",
    "RuntimeMetrics",
    "StopReport",
    "Strategy",
    "Supervision",
    "on",
]
