"""Scenarios: read, checked whole, assembled from concrete parts, run, resumed, replayed, and recorded.

The one place that names concrete parts. A scenario is a TOML file; a run of it leaves a folder with what happened. There
are kinds that are run, the commons, fishers who share a lake, and games of tic-tac-toe, each a meeting; and one that is
talked to, the conversation with an assistant. `Orchestrator` is an agent that routes requests to components: memory,
processing, action, environment.
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
from coterie.orchestrator.games.playing import Game
from coterie.orchestrator.games.run import GamesOutcome, play_games, recorded_games, replay_games, run_games
from coterie.orchestrator.games.scenario import GameScenario
from coterie.orchestrator.interview.run import (
    InterviewOutcome,
    hold_interview,
    recorded_interview,
    replay_interview,
    run_interview,
)
from coterie.orchestrator.interview.scenario import InterviewScenario
from coterie.orchestrator.modelling import ModelSettings
from coterie.orchestrator.run import Observer, Outcome, Recorded, outcome_of, play, recorded, replay, run_scenario, scenario_of
from coterie.orchestrator.scenario import (
    AnyScenario,
    Scenario,
    as_commons,
    check_commons,
    check_scenario,
    load_scenario,
    parse_scenario,
    read_scenario,
)

__all__ = [
    "AnyScenario",
    "Assistant",
    "ChatFolder",
    "Component",
    "ComponentReply",
    "ComponentRequest",
    "ComponentState",
    "ComponentStatus",
    "Components",
    "Game",
    "GameScenario",
    "GamesOutcome",
    "GetStatus",
    "InterviewOutcome",
    "InterviewScenario",
    "LoadedAssistant",
    "ModelSettings",
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
    "as_commons",
    "check_commons",
    "check_scenario",
    "environment_component",
    "hold_interview",
    "load_assistant",
    "load_scenario",
    "memory_component",
    "open_assistant",
    "outcome_of",
    "parse_scenario",
    "play",
    "play_games",
    "processing_component",
    "read_scenario",
    "recorded",
    "recorded_games",
    "recorded_interview",
    "replay",
    "replay_games",
    "replay_interview",
    "run_games",
    "run_interview",
    "run_scenario",
    "scenario_of",
]
