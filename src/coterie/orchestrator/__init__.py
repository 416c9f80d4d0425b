"""Scenarios: read, checked whole, run, resumed, replayed, compared and recorded, whatever their kind.

A scenario is a TOML file that names a `ScenarioKind`; a run of it leaves a folder with its record. A scenario of kind
``conversation`` describes an assistant instead. `Orchestrator` is an agent that routes requests to components: memory,
processing, action, environment.
"""

from coterie.orchestrator.assistants.assistant import Assistant, Place
from coterie.orchestrator.compare import compare
from coterie.orchestrator.components import (
    Component,
    ComponentReply,
    ComponentRequest,
    Components,
    ComponentState,
    ComponentStatus,
    GetAgents,
    GetResponse,
    GetStatus,
    Orchestrator,
    WorldFeedback,
    action_component,
    current_request,
    environment_component,
    memory_component,
    processing_component,
)
from coterie.orchestrator.control import Adjustable, RunCommand, RunStatus, adjusted, run_status, send_command
from coterie.orchestrator.exporting import export_run
from coterie.orchestrator.kind import (
    Bar,
    MeetingRun,
    Plot,
    RunContext,
    RunRecord,
    ScenarioKind,
    ScenarioParameters,
    SimulationRun,
    Summary,
    Table,
)
from coterie.orchestrator.modelling import ModelSettings
from coterie.orchestrator.overview import RunOverview, find_runs, recorded_world, run_overview
from coterie.orchestrator.report import write_report
from coterie.orchestrator.running import load_run, replay_run, run_scenario
from coterie.orchestrator.scenario import Scenario, load_scenario

__all__ = [
    "Adjustable",
    "Assistant",
    "Bar",
    "Component",
    "ComponentReply",
    "ComponentRequest",
    "ComponentState",
    "ComponentStatus",
    "Components",
    "GetAgents",
    "GetResponse",
    "GetStatus",
    "MeetingRun",
    "ModelSettings",
    "Orchestrator",
    "Place",
    "Plot",
    "RunCommand",
    "RunContext",
    "RunOverview",
    "RunRecord",
    "RunStatus",
    "Scenario",
    "ScenarioKind",
    "ScenarioParameters",
    "SimulationRun",
    "Summary",
    "Table",
    "WorldFeedback",
    "action_component",
    "adjusted",
    "compare",
    "current_request",
    "environment_component",
    "export_run",
    "find_runs",
    "load_run",
    "load_scenario",
    "memory_component",
    "processing_component",
    "recorded_world",
    "replay_run",
    "run_overview",
    "run_scenario",
    "run_status",
    "send_command",
    "write_report",
]
