"""One scenario in all four modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from coterie.errors import ScenarioError
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

    Raises `ScenarioError` for a kind without a parameter `mode`.
    """
    if "mode" not in type(scenario.parameters).model_fields:
        kind = scenario.parameters.kind
        raise ScenarioError(scenario.parameters.name, [f"kind: {kind} has no modes to compare; `mode` is not a key of it"])
    for mode in Mode:
        name = mode.value.replace("-", "_")
        begins(name)
        chosen = scenario.changed({"mode": name})
        record = run_scenario(chosen)
        yield ModeRun(name, record, scenario.kind.summarise(chosen.parameters, record))
