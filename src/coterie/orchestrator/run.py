"""One run of a scenario, from its first event to its last."""

from __future__ import annotations

from typing import Protocol

import msgspec

from coterie.errors import CoterieError
from coterie.orchestrator.commons import Fisher, Lake, Month, Settle
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.scenario import LAKE, Scenario
from coterie.runtime import Runtime


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended."""

    months: int
    """How many there were, the last one included."""
    collapsed: bool
    harvest: dict[str, int]
    """What each fisher caught in all."""
    stock: int
    """What is in the lake at the end."""
    surprises: tuple[str, ...]
    """Where the run did not end as the scenario expects."""

    @property
    def total(self) -> int:
        """What all caught together."""
        return sum(self.harvest.values())


class Observer(Protocol):
    """Somebody who looks on. Called on the thread that runs the scenario."""

    def month(self, month: Month) -> None:
        """See a month that has been settled."""
        ...


def run_scenario(scenario: Scenario, folder: RunFolder, observer: Observer | None = None) -> Outcome:
    """Run a scenario to its end, record it in a folder, and return how it ended.

    The same scenario with the same seed ends the same way, whatever the dispatcher, the machine and its load.
    """
    names = [name for agents in scenario.agents for name in agents.names()]
    rules = [agents.strategy for agents in scenario.agents for _ in range(agents.count)]
    folder.write("scenario.json", scenario.model_dump())
    folder.event("run started", scenario=scenario.name, kind=scenario.kind, seed=scenario.seed, agents=names)
    months: list[Month] = []
    with Runtime(scenario.kind, dispatcher=scenario.dispatcher()) as runtime:
        fishers = [runtime.spawn(Fisher, rule, scenario.seed, name=name) for name, rule in zip(names, rules, strict=True)]
        lake = runtime.spawn(Lake, scenario.lake, fishers, scenario.seed, scenario.runtime.turn_timeout, name=LAKE)
        while len(months) < scenario.months and not (months and months[-1].collapsed):
            month = lake.ask(Settle(), timeout=None).result()
            months.append(month)
            folder.event("month settled", **msgspec.structs.asdict(month))
            if observer is not None:
                observer.month(month)
        metrics = runtime.metrics()
    outcome = _outcome(scenario, names, months)
    folder.event("run ended", **msgspec.structs.asdict(outcome), total=outcome.total)
    folder.write("metrics.json", {"outcome": outcome, "total": outcome.total, "runtime": metrics})
    return outcome


def _outcome(scenario: Scenario, names: list[str], months: list[Month]) -> Outcome:
    harvest = {name: sum(month.caught[name] for month in months) for name in names}
    lost = sum(month.before - month.left for month in months)
    if sum(harvest.values()) != lost:
        raise CoterieError(f"the fishers caught {sum(harvest.values())} and the lake lost {lost}: the books do not balance")
    last = months[-1]
    outcome = Outcome(len(months), last.collapsed, harvest, last.after, ())
    expected = scenario.expect
    surprises = [
        f"{what}: expected {wanted}, got {got}"
        for what, wanted, got in (
            ("months", expected.months, outcome.months),
            ("collapse", expected.collapse, outcome.collapsed),
            ("harvest", expected.harvest, outcome.total),
        )
        if wanted is not None and wanted != got
    ]
    return msgspec.structs.replace(outcome, surprises=tuple(surprises))
