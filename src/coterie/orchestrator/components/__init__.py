"""Requests to components: memory, processing, action, environment, and others of your own.

An `Orchestrator` is an agent that routes them, keeps the status of each component, and restarts one that fails its
checks. The operations of a component are a table of callables; ready-made components exist for memories, engines and worlds.
"""

from coterie.orchestrator.components.component import (
    Component,
    ComponentReply,
    ComponentRequest,
    Components,
    ComponentState,
    ComponentStatus,
    GetAgents,
    GetResponse,
    GetStatus,
    current_request,
)
from coterie.orchestrator.components.environment import WorldFeedback, environment_component
from coterie.orchestrator.components.orchestrator import Orchestrator
from coterie.orchestrator.components.ready_made import action_component, memory_component, processing_component

__all__ = [
    "Component",
    "ComponentReply",
    "ComponentRequest",
    "ComponentState",
    "ComponentStatus",
    "Components",
    "GetAgents",
    "GetResponse",
    "GetStatus",
    "Orchestrator",
    "WorldFeedback",
    "action_component",
    "current_request",
    "environment_component",
    "memory_component",
    "processing_component",
]
