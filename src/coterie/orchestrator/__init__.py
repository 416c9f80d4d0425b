"""Scenarios: read, checked whole, assembled from concrete parts, run, and recorded.

The one place that names concrete parts. A scenario is a TOML file; a run of it leaves a folder with what happened. The
first kind of scenario is the commons: fishers who share a lake.
"""

from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.run import Observer, Outcome, run_scenario
from coterie.orchestrator.scenario import Scenario, load_scenario, parse_scenario, read_scenario

__all__ = ["Observer", "Outcome", "RunFolder", "Scenario", "load_scenario", "parse_scenario", "read_scenario", "run_scenario"]
