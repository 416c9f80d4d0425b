"""One scenario in all four modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from coterie.orchestrator.run import Outcome, outcome_of, play
from coterie.orchestrator.scenario import Scenario
from coterie.rounds import Mode


class Compared(msgspec.Struct, frozen=True):
    """How a scenario went in one mode."""

    mode: str
    seconds: float
    waited: float
    """Seconds of waiting, over all agents."""
    forfeits: int
    outcome: Outcome


def compare(scenario: Scenario, begins: Callable[[str], object] = str) -> Iterator[Compared]:
    """Run a scenario in each mode, in memory, and yield how it went; `begins` is told of each mode before."""
    for mode in Mode:
        name = mode.value.replace("-", "_")
        begins(name)
        chosen = scenario.model_copy(update={"mode": name})
        months, result = play(chosen, None)
        yield Compared(name, result.seconds, result.waited, result.forfeits, outcome_of(chosen, months, result.digest))
