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
from coterie.orchestrator.experiments.assignment import Assignment, assign
from coterie.orchestrator.experiments.design import Design, factorial, latin_hypercube
from coterie.orchestrator.experiments.executors import RayExecutor
from coterie.orchestrator.experiments.experiment import Experiment
from coterie.orchestrator.experiments.records import ExperimentResult
from coterie.orchestrator.experiments.report import write_experiment_report, write_study_report
from coterie.orchestrator.experiments.statistics import (
    AnswerComparison,
    SampleComparison,
    SampleSummary,
    compare_answers,
    compare_groups,
    compare_samples,
    holm,
    summarise_sample,
)
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
from coterie.orchestrator.starting import new_scenario

__all__ = [
    "Adjustable",
    "AnswerComparison",
    "Assignment",
    "Assistant",
    "Bar",
    "Component",
    "ComponentReply",
    "ComponentRequest",
    "ComponentState",
    "ComponentStatus",
    "Components",
    "Design",
    "Experiment",
    "ExperimentResult",
    "GetAgents",
    "GetResponse",
    "GetStatus",
    "MeetingRun",
    "ModelSettings",
    "Orchestrator",
    "Place",
    "Plot",
    "RayExecutor",
    "RunCommand",
    "RunContext",
    "RunOverview",
    "RunRecord",
    "RunStatus",
    "SampleComparison",
    "SampleSummary",
    "Scenario",
    "ScenarioKind",
    "ScenarioParameters",
    "SimulationRun",
    "Summary",
    "Table",
    "WorldFeedback",
    "action_component",
    "adjusted",
    "assign",
    "compare",
    "compare_answers",
    "compare_groups",
    "compare_samples",
    "current_request",
    "environment_component",
    "export_run",
    "factorial",
    "find_runs",
    "holm",
    "latin_hypercube",
    "load_run",
    "load_scenario",
    "memory_component",
    "new_scenario",
    "processing_component",
    "recorded_world",
    "replay_run",
    "run_overview",
    "run_scenario",
    "run_status",
    "send_command",
    "summarise_sample",
    "write_experiment_report",
    "write_report",
    "write_study_report",
]
