"""Scenarios: read, checked whole, run, resumed, replayed, compared and recorded, whatever their kind.

A scenario is a TOML file that names a `ScenarioKind`; a run of it leaves a folder with what happened. A scenario of kind
``conversation`` is talked to instead. `Orchestrator` is an agent that routes requests to components: memory, processing,
action, environment.
"""

from coterie.orchestrator.assistants.assistant import Assistant, Place
from coterie.orchestrator.assistants.folder import ChatFolder
from coterie.orchestrator.assistants.opening import LoadedAssistant, OpenAssistant, load_assistant, open_assistant
from coterie.orchestrator.compare import ModeRun, compare
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
from coterie.orchestrator.kind import (
    Bar,
    MeetingRun,
    Plot,
    RunContext,
    RunRecord,
    ScenarioKind,
    ScenarioParameters,
    ScenarioPart,
    SimulationRun,
    Summary,
    Table,
)
from coterie.orchestrator.modelling import ModelSettings, StopOnErrorModel
from coterie.orchestrator.report import write_report
from coterie.orchestrator.running import load_run, replay_run, run_scenario
from coterie.orchestrator.scenario import Scenario, check_scenario, load_scenario, parse_scenario, read_scenario

__all__ = [
    "Assistant",
    "Bar",
    "ChatFolder",
    "Component",
    "ComponentReply",
    "ComponentRequest",
    "ComponentState",
    "ComponentStatus",
    "Components",
    "GetStatus",
    "LoadedAssistant",
    "MeetingRun",
    "ModeRun",
    "ModelSettings",
    "OpenAssistant",
    "Orchestrator",
    "Place",
    "Plot",
    "RunContext",
    "RunFolder",
    "RunRecord",
    "Scenario",
    "ScenarioKind",
    "ScenarioParameters",
    "ScenarioPart",
    "SimulationRun",
    "StopOnErrorModel",
    "Summary",
    "Table",
    "WorldFeedback",
    "action_component",
    "check_scenario",
    "compare",
    "environment_component",
    "load_assistant",
    "load_run",
    "load_scenario",
    "memory_component",
    "open_assistant",
    "parse_scenario",
    "processing_component",
    "read_scenario",
    "replay_run",
    "run_scenario",
    "write_report",
]
