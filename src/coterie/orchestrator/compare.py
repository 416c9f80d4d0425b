"""One scenario in all four modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from coterie.errors import InvalidSetting, ScenarioError
from coterie.orchestrator.kind import RunRecord, Summary
from coterie.orchestrator.running import run_scenario
from coterie.orchestrator.scenario import Scenario
from coterie.rounds import Mode


class ModeRun(msgspec.Struct, frozen=True):
    """The result of a scenario in one mode."""

    mode: str
    record: RunRecord
    summary: Summary


def compare(scenario: Scenario, begins: Callable[[str], object] = str) -> Iterator[ModeRun]:
    """Run a scenario in each mode, in memory, and yield each result; `begins` is called with each mode before its run.

    Modes that its parameters or its graph refuse are left out. Raises `ScenarioError` for a kind without a parameter `mode`, and if
    all modes are refused.
    """
    if "mode" not in type(scenario.parameters).model_fields:
        kind = scenario.parameters.kind
        raise ScenarioError(scenario.parameters.name, [f"kind: {kind} has no modes to compare; `mode` is not a key of it"])
    refused: ScenarioError | InvalidSetting | None = None
    runs = 0
    for mode in Mode:
        name = mode.value.replace("-", "_")
        begins(name)
        try:
            chosen = scenario.changed({"mode": name})
            record = run_scenario(chosen)
        except ScenarioError as error:
            refused = error
            continue
        except InvalidSetting as error:
            # A graph with a commit has no tokens, for example.
            if error.where != "Simulation.mode":
                raise
            refused = error
            continue
        runs += 1
        yield ModeRun(name, record, scenario.kind.summarise(chosen.parameters, record))
    if not runs and refused is not None:
        raise refused
