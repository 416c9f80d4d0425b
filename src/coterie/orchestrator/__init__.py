"""Scenarios: read, checked whole, assembled from concrete parts, run, resumed, replayed, and recorded.

The one place that names concrete parts. A scenario is a TOML file; a run of it leaves a folder with what happened. The
first kind of scenario is the commons: fishers who share a lake. `Orchestrator` is an agent that routes requests to
components: memory, processing, action, environment.
"""

from coterie.orchestrator.assistants.assistant import Assistant, Place
from coterie.orchestrator.assistants.folder import ChatFolder
from coterie.orchestrator.assistants.opening import LoadedAssistant, OpenAssistant, load_assistant, open_assistant
from coterie.orchestrator.commons.fishing import Month
from coterie.orchestrator.components import (
    Component,
    ComponentReply,
    ComponentRequest,
    Components,
    ComponentState,
    ComponentStatus,
    GetStatus,
    Orchestrator,
    WorldFeedback,
    action_component,
    environment_component,
    memory_component,
    processing_component,
)
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.run import Observer, Outcome, Recorded, outcome_of, play, recorded, replay, run_scenario, scenario_of
from coterie.orchestrator.scenario import Scenario, check_scenario, load_scenario, parse_scenario, read_scenario

__all__ = [
    "Assistant",
    "ChatFolder",
    "Component",
    "ComponentReply",
    "ComponentRequest",
    "ComponentState",
    "ComponentStatus",
    "Components",
    "GetStatus",
    "LoadedAssistant",
    "Month",
    "Observer",
    "OpenAssistant",
    "Orchestrator",
    "Outcome",
    "Place",
    "Recorded",
    "RunFolder",
    "Scenario",
    "WorldFeedback",
    "action_component",
    "check_scenario",
    "environment_component",
    "load_assistant",
    "load_scenario",
    "memory_component",
    "open_assistant",
    "outcome_of",
    "parse_scenario",
    "play",
    "processing_component",
    "read_scenario",
    "recorded",
    "replay",
    "run_scenario",
    "scenario_of",
]
