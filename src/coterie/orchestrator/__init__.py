"""Scenarios: read, checked whole, assembled from concrete parts, run, resumed, replayed, and recorded.

The one place that names concrete parts. A scenario is a TOML file; a run of it leaves a folder with what happened. The
first kind of scenario is the commons: fishers who share a lake.
"""

from coterie.orchestrator.commons.fishing import Month
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.run import Observer, Outcome, Recorded, outcome_of, play, recorded, replay, run_scenario, scenario_of
from coterie.orchestrator.scenario import Scenario, check_scenario, load_scenario, parse_scenario, read_scenario

__all__ = [
    "Month",
    "Observer",
    "Outcome",
    "Recorded",
    "RunFolder",
    "Scenario",
    "check_scenario",
    "load_scenario",
    "outcome_of",
    "parse_scenario",
    "play",
    "read_scenario",
    "recorded",
    "replay",
    "run_scenario",
    "scenario_of",
]
