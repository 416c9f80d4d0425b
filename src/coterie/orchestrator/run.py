"""One run of a scenario: from its first event to its last, on from where it stopped, and again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import msgspec
from pydantic import ValidationError

from coterie.errors import CoterieError, ModelHalted, RunUnknown
from coterie.orchestrator.commons.bargaining import Council
from coterie.orchestrator.commons.fishing import FALL_BACK, Lake, Month, Terms, beginning, graph, months_of
from coterie.orchestrator.commons.mechanisms import LAKE, MECHANISMS
from coterie.orchestrator.commons.modelled import Angler
from coterie.orchestrator.folder import LOG, MEETINGS, SCENARIO, RunFolder
from coterie.orchestrator.modelling import Halting, recorded_model, replayed_model, unrecorded_model
from coterie.orchestrator.scenario import KINDS, AnyScenario, Scenario, as_commons
from coterie.rounds import Result, RoundResult, Simulation
from coterie.world import EventLog, World
from coterie.world.resolvers import FirstCome, Rationing
from coterie.world.resolvers.resolution import Effects

_MOST_ATTEMPTS = 4
"""Requests that a mind makes for one decision: the first, two that mend it, and one that is shorter."""


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
    digest: str = ""
    """Of the world at the end."""

    @property
    def total(self) -> int:
        """What all caught together."""
        return sum(self.harvest.values())


class Observer(Protocol):
    """Somebody who looks on. Called on the thread that runs the scenario."""

    def month(self, month: Month) -> None:
        """See a month that has been settled."""
        ...


class Recorded(msgspec.Struct, frozen=True):
    """What the folder of a run tells."""

    scenario: Scenario
    months: list[Month]
    digest: str
    finished: bool
    """Whether it came to its end."""
    events: int


def play(
    scenario: Scenario,
    log: EventLog | None,
    observer: Observer | None = None,
    *,
    resume: bool = False,
    minutes: Path | None = None,
    model: Halting | None = None,
) -> tuple[list[Month], Result]:
    """Run a scenario, or go on with it, and return its months and how its simulation ended.

    The same scenario with the same seed ends the same way, whatever the dispatcher, the machine and its load. `minutes`
    is the folder for those of the fishers' meetings, if they hold any; `model` plays the fishers, if the scenario has one:
    without it one is opened, and nothing recorded.
    """
    fishers = scenario.fishers()
    world = World(beginning(scenario.lake.stock, fishers, _terms(scenario)), log=log)
    with world, _council(scenario, minutes) as council, _player(scenario, model) as player:
        simulation = _simulation(scenario, world, council, player)
        months: list[Month] = []
        if resume and log is not None:
            done = simulation.checkpointed
            months = [month for month in months_of(log.events()) if month.number <= done]
            for month in months:
                _tell(observer, month)

        def settled(result: RoundResult) -> None:
            month = months_of((*result.events, *world.history(world.sequence, world.sequence)))[0]
            if len(months) < month.number:
                months.append(month)
                _tell(observer, month)

        result = (simulation.resume if resume else simulation.run)(scenario.months, settled)
    return months, result


def run_scenario(scenario: Scenario, folder: RunFolder, observer: Observer | None = None, *, resume: bool = False) -> Outcome:
    """Run a scenario to its end, record it in a folder, and return how it ended; with `resume`, go on from its checkpoint."""
    names = list(scenario.fishers())
    folder.write(SCENARIO, scenario.model_dump())
    folder.event("run started", scenario=scenario.name, kind=scenario.kind, seed=scenario.seed, agents=names)

    class Recorder:
        def month(self, month: Month) -> None:
            folder.event("month settled", **msgspec.structs.asdict(month))
            _tell(observer, month)

    with recorded_model(scenario.model, folder) as model:
        minutes = folder.path / MEETINGS
        months, result = play(scenario, EventLog(folder.log), Recorder(), resume=resume, minutes=minutes, model=model)
    outcome = outcome_of(scenario, months, result.digest)
    folder.event("run ended", **msgspec.structs.asdict(outcome), total=outcome.total)
    timing = {"seconds": result.seconds, "waited": result.waited, "forfeits": result.forfeits, "mode": scenario.mode}
    folder.write("metrics.json", {"outcome": outcome, "total": outcome.total, "timing": timing, "runtime": result.runtime})
    if result.timeline:
        # A run that was over when it was resumed has nothing to add.
        folder.write("timeline.json", result.timeline)
    return outcome


def recorded(path: Path) -> Recorded:
    """Return what the folder of a run tells. Raises `RunUnknown`, and the errors of storage and of the log."""
    scenario = as_commons(scenario_of(path), path)
    with EventLog(_log(path)) as log:
        events = list(log.events())
        months = months_of(events)
        world = World.replay(log)
    finished = bool(months) and (months[-1].collapsed or len(months) >= scenario.months)
    return Recorded(scenario, months, world.digest(), finished, len(events))


def replay(path: Path, observer: Callable[[int, str], object]) -> Result:
    """Do a recorded run again, and see that each month comes to the digest that it had; tell `observer` of each.

    Raises `ReplayDiverged` at the first that does not, and as `recorded` does.
    """
    scenario = as_commons(scenario_of(path), path)
    with (
        EventLog(_log(path)) as log,
        _council(scenario, None) as council,
        replayed_model(scenario.model, path) as model,
    ):
        simulation = _simulation(scenario, World(), council, model)
        return simulation.replay(log, lambda result: observer(result.number, result.digest))


def scenario_of(path: Path) -> AnyScenario:
    """Return the scenario of a run, as it was run. Raises `RunUnknown`."""
    try:
        text = (path / SCENARIO).read_bytes()
        kind = msgspec.json.decode(text).get("kind")
        return KINDS.get(str(kind), Scenario).model_validate_json(text)
    except OSError as error:
        raise RunUnknown(path, f"there is no {SCENARIO} that could be read in it ({error.strerror})") from error
    except (ValidationError, msgspec.DecodeError, AttributeError) as error:
        raise RunUnknown(path, f"its {SCENARIO} makes no sense, or is of a later version") from error


def outcome_of(scenario: Scenario, months: list[Month], digest: str = "") -> Outcome:
    """Return how a run ended, once the books balance."""
    harvest = {name: sum(month.caught[name] for month in months) for name in scenario.fishers()}
    lost = sum(month.before - month.left for month in months)
    if sum(harvest.values()) != lost:
        raise CoterieError(f"the fishers caught {sum(harvest.values())} and the lake lost {lost}: the books do not balance")
    last = months[-1]
    outcome = Outcome(len(months), last.collapsed, harvest, last.after, (), digest)
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


def _council(scenario: Scenario, minutes: Path | None) -> AbstractContextManager[Council | None]:
    """Return where the fishers meet, if they do."""
    if scenario.bargaining is None:
        return nullcontext()
    return Council(scenario.bargaining, sorted(scenario.fishers()), scenario.dispatcher(), minutes)


def _player(scenario: Scenario, model: Halting | None) -> AbstractContextManager[Halting | None]:
    """Return the model that plays, opened if it has not been."""
    return nullcontext(model) if model is not None else unrecorded_model(scenario.model)


def _simulation(scenario: Scenario, world: World, council: Council | None, model: Halting | None) -> Simulation:
    terms = _terms(scenario)
    angler, timeout = None, scenario.runtime.turn_timeout
    if model is not None and scenario.model is not None:
        settings = scenario.model
        least = terms.collapse_below
        angler = Angler(model, collapse_below=least, fallback=settings.fallback, temperature=settings.temperature)
        # The gateway ends a request that takes too long, and says why; a forfeit would only say that it did.
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
    """Let it be an event, and nothing else."""
    return Effects()


def _terms(scenario: Scenario) -> Terms:
    lake = scenario.lake
    return Terms(lake.capacity, lake.growth, lake.collapse_below)


def _log(path: Path) -> Path:
    log = path / LOG
    if not log.is_file():
        raise RunUnknown(path, f"there is no {LOG} in it")
    return log


def _tell(observer: Observer | None, month: Month) -> None:
    if observer is not None:
        observer.month(month)
