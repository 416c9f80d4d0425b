"""Scenarios: read, checked whole, assembled from concrete parts, run, and recorded.

The one place that names concrete parts. A scenario is a TOML file; a run of it leaves a folder with what happened. The
first kind of scenario is the commons: fishers who share a lake. `Orchestrator` is an agent that routes requests to
components: memory, processing, action, environment.
"""

from coterie.orchestrator.components import (
    Component,
    ComponentReply,
    ComponentRequest,
    Components,
    ComponentState,
    ComponentStatus,
    GetStatus,
    Orchestrator,
    action_component,
    memory_component,
    processing_component,
)
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.run import Observer, Outcome, run_scenario
from coterie.orchestrator.scenario import Scenario, load_scenario, parse_scenario, read_scenario

__all__ = [
    "Component",
    "ComponentReply",
    "ComponentRequest",
    "ComponentState",
    "ComponentStatus",
    "Components",
    "GetStatus",
    "Observer",
    "Orchestrator",
    "Outcome",
    "RunFolder",
    "Scenario",
    "action_component",
    "load_scenario",
    "memory_component",
    "parse_scenario",
    "processing_component",
    "read_scenario",
    "run_scenario",
]
