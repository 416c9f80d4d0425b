"""The first files of a model of one's own: a kind of scenario, a scenario file, and a test."""

from __future__ import annotations

import keyword
from pathlib import Path

from coterie.errors.orchestrator import CommandRefused, RunFolderFailed

_MODEL = '''"""A first model: agents on a ring give coins to a neighbour who has fewer. Change it into your own."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from coterie.orchestrator import Plot, RunContext, RunRecord, ScenarioKind, ScenarioParameters, SimulationRun, Summary
from coterie.rounds import Graph, RoundResult, Simulation, Turn, commit, per_agent


class {title}Parameters(ScenarioParameters):
    """The keys of the scenario file, with their types, limits and defaults."""

    rounds: int = Field(default=20, ge=1, le=10_000)
    people: int = Field(default=12, ge=3, le=10_000)
    most: int = Field(default=20, ge=1)
    mode: str = Field(default="sync_points", pattern="^(lockstep|sync_points|pipelines)$")


class {title}(ScenarioKind[{title}Parameters]):
    """The model: how a run is built, what is recorded of each round, and what is shown at the end."""

    parameters = {title}Parameters
    measure = "gap"

    def build(self, parameters: {title}Parameters, context: RunContext) -> SimulationRun:
        names = [f"person-{{number:03}}" for number in range(parameters.people)]

        @per_agent
        def choose(turn: Turn) -> str:
            """Draw one of the two neighbours; the result is in the inputs of the next stages."""
            place = names.index(turn.name)
            return names[(place + turn.random.choice((-1, 1))) % len(names)]

        @per_agent
        def give(turn: Turn) -> None:
            """Give a coin to a neighbour who has fewer. The intents of all are decided together."""
            other = turn.inputs["choose"]
            if turn.view[f"coins/{{turn.name}}"] > turn.view[f"coins/{{other}}"]:
                turn.intend("move", source=f"coins/{{turn.name}}", target=f"coins/{{other}}", amount=1)

        @per_agent
        def look(turn: Turn) -> None:
            """After the commit: see what all have done."""
            if turn.view[f"coins/{{turn.name}}"] == max(turn.view.under("coins/").values()):
                turn.intend("add", key="times at the top", amount=1)

        coins = {{f"coins/{{name}}": (place * 7) % (parameters.most + 1) for place, name in enumerate(names)}}
        world = context.world({{**coins, "times at the top": 0}})
        graph = Graph.chain(choose, give, commit, look)
        return SimulationRun(Simulation(world, names, graph, mode=parameters.mode, seed=parameters.seed), parameters.rounds)

    def step(self, result: RoundResult) -> dict[str, Any]:
        coins = list(result.view.under("coins/").values())
        return {{"number": result.number, "total": sum(coins), "gap": max(coins) - min(coins)}}

    def describe(self, parameters: {title}Parameters, step: Mapping[str, Any]) -> str:
        return f"round {{step['number']}}: a gap of {{step['gap']}} coins"

    def summarise(self, parameters: {title}Parameters, record: RunRecord) -> Summary:
        rounds = tuple(step["number"] for step in record.steps)
        gaps = tuple(step["gap"] for step in record.steps)
        plots = (Plot("The gap between the richest and the poorest", rounds, {{"gap": gaps}}),) if rounds else ()
        return Summary(
            f"{{len(rounds)}} rounds, a gap of {{gaps[-1] if gaps else 0}} coins",
            figures={{"rounds": len(rounds), "gap": gaps[-1] if gaps else 0}},
            plots=plots,
        )
'''
_SCENARIO = """# Run it with: coterie run {file}.toml
kind = "{file}:{title}"
name = "{name}"
seed = 1
rounds = 20
people = 12
most = 20            # coins of the richest at the beginning
mode = "sync_points" # or lockstep, pipelines
"""

_TEST = '''"""The model keeps its promises. Run it with: python -m pytest"""

from pathlib import Path

from coterie.orchestrator import load_scenario, run_scenario

SCENARIO = Path(__file__).parent / "{file}.toml"


def test_coins_are_neither_made_nor_lost_and_the_gap_closes() -> None:
    steps = run_scenario(load_scenario(SCENARIO)).steps
    assert len({{step["total"] for step in steps}}) == 1
    assert steps[-1]["gap"] < steps[0]["gap"]


def test_a_seed_gives_one_outcome_in_every_mode() -> None:
    scenario = load_scenario(SCENARIO)
    digests = {{run_scenario(scenario.changed({{"mode": mode}})).digest for mode in ("lockstep", "sync_points", "pipelines")}}
    assert len(digests) == 1
    assert run_scenario(scenario.changed({{"seed": 2}})).digest not in digests
'''


def new_scenario(name: str, folder: Path) -> tuple[Path, ...]:
    """Write a first model, its scenario and its test into a new folder ``folder/name``, and return the files.

    Raises `CommandRefused` for a name that cannot be that of a module, and for a folder that has files, and `RunFolderFailed`.
    """
    file = name.replace("-", "_").replace(" ", "_").lower()
    if not file.isidentifier() or not file.isascii() or keyword.iskeyword(file) or file.startswith(("test_", "_")):
        raise CommandRefused(
            name, "it is no name for a model; give letters, digits and hyphens, and a letter first: coterie new my-model"
        )
    target = folder / name
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CommandRefused(target, "it is there already; give another name, or empty it")
    title = "".join(part.capitalize() for part in file.split("_") if part)
    texts = {f"{file}.py": _MODEL, f"{file}.toml": _SCENARIO, f"test_{file}.py": _TEST}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            (target / path).write_text(text.format(file=file, title=title, name=file), encoding="utf-8")
    except OSError as error:
        raise RunFolderFailed(target, error) from error
    return tuple(target / path for path in texts)
