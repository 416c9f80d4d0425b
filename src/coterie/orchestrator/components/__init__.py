"""Requests to components: memory, processing, action, environment, and whatever else there is.

An `Orchestrator` is an agent that routes them, keeps the status of each component, and restarts one that fails its
checks. What a component can do is a table of callables; the ready-made ones name the concrete parts.
"""

from coterie.orchestrator.components.component import Component, Components
from coterie.orchestrator.components.environment import WorldFeedback, environment_component
from coterie.orchestrator.components.orchestrator import Orchestrator
from coterie.orchestrator.components.ready_made import action_component, memory_component, processing_component
from coterie.orchestrator.components.requests import (
    ComponentReply,
    ComponentRequest,
    ComponentState,
    ComponentStatus,
    GetStatus,
)

__all__ = [
    "Component",
    "ComponentReply",
    "ComponentRequest",
    "ComponentState",
    "ComponentStatus",
    "Components",
    "GetStatus",
    "Orchestrator",
    "WorldFeedback",
    "action_component",
    "environment_component",
    "memory_component",
    "processing_component",
]
