"""Build a commons from its scenario, and read its result."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from coterie.errors import CoterieError, ModelHalted
from coterie.orchestrator.modelling import StopOnErrorModel
from coterie.rounds import Simulation
from coterie.world import World
from coterie.world.resolvers import FirstCome, Rationing
from coterie.world.resolvers.resolution import Effects
from coterie_examples.commons.bargaining import Council
from coterie_examples.commons.fishing import FALL_BACK, Lake, Month, Terms, graph
from coterie_examples.commons.mechanisms import LAKE, MECHANISMS
from coterie_examples.commons.modelled import Angler
from coterie_examples.commons.scenario import CommonsScenario

_MOST_ATTEMPTS = 4
"""The requests of a mind for one decision: the first, two corrections, and a shorter one."""


class CommonsOutcome(msgspec.Struct, frozen=True):
    """The result of a run."""

    months: int
    """The number of months, including the last."""
    collapsed: bool
    harvest: dict[str, int]
    """The total catch of each fisher."""
    stock: int
    """The stock at the end."""
    surprises: tuple[str, ...]
    """The deviations from the end that the scenario expects."""
    digest: str = ""
    """Of the world at the end."""

    @property
    def total(self) -> int:
        """The total catch."""
        return sum(self.harvest.values())


def outcome_of(scenario: CommonsScenario, months: list[Month], digest: str = "") -> CommonsOutcome:
    """Return the outcome of a run. Raises `CoterieError` if the catches do not equal the loss of the lake."""
    harvest = {name: sum(month.caught[name] for month in months) for name in scenario.fishers()}
    lost = sum(month.before - month.left for month in months)
    if sum(harvest.values()) != lost:
        raise CoterieError(f"the fishers caught {sum(harvest.values())} and the lake lost {lost}: the books do not balance")
    last = months[-1]
    outcome = CommonsOutcome(len(months), last.collapsed, harvest, last.after, (), digest)
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


def council(scenario: CommonsScenario, minutes: Path | None) -> AbstractContextManager[Council | None]:
    """Return the runtime of the fishers' meetings, if they meet."""
    if scenario.bargaining is None:
        return nullcontext()
    return Council(scenario.bargaining, sorted(scenario.fishers()), scenario.dispatcher(), minutes)


def simulation_of(
    scenario: CommonsScenario, world: World, council: Council | None, model: StopOnErrorModel | None
) -> Simulation:
    """Return the simulation of a commons over a world."""
    terms = terms_of(scenario)
    angler, timeout = None, scenario.runtime.turn_timeout
    if model is not None and scenario.model is not None:
        settings = scenario.model
        least = terms.collapse_below
        angler = Angler(model, collapse_below=least, fallback=settings.fallback, temperature=settings.temperature)
        # The gateway ends a request that takes too long with its reason; a forfeit would hide the reason.
        timeout = max(timeout, _MOST_ATTEMPTS * settings.patience)
    fishers = scenario.fishers()
    return Simulation(
        world,
        fishers,
        graph(scenario.judge, terms, scenario.stages(), scenario.graph.edges, council, fishers, angler),
        mode=scenario.mode,
        seed=scenario.seed,
        resolver=Rationing(
            LAKE, into="basket/{agent}", sharing=scenario.lake.sharing, otherwise=FirstCome({FALL_BACK: _noted})
        ),
        settle=Lake(terms),
        halt_on=(ModelHalted,),
        mechanisms=MECHANISMS,
        turn_timeout=timeout,
        max_lead=scenario.runtime.max_lead,
        dispatcher=scenario.dispatcher(),
    )


def _noted(view: object, intent: object) -> Effects:  # noqa: ARG001 - as every action
    """Return no effects: the intent is only recorded as an event."""
    return Effects()


def terms_of(scenario: CommonsScenario) -> Terms:
    """Return the knowledge of fishers about the lake beside its stock."""
    lake = scenario.lake
    return Terms(lake.capacity, lake.growth, lake.collapse_below)
