"""A scenario kind of a user: people meet, and an illness spreads. All commands of `coterie` work with it."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from coterie.orchestrator import Plot, RunContext, RunRecord, ScenarioKind, ScenarioParameters, SimulationRun, Summary
from coterie.rounds import Graph, RoundResult, Simulation, Turn, per_agent
from coterie.world import Intent
from coterie.world.resolvers import Effects, FirstCome


class EpidemicParameters(ScenarioParameters):
    days: int = Field(default=10, ge=1, le=1_000)
    people: int = Field(default=20, ge=2, le=10_000)
    contacts: int = Field(default=2, ge=0, le=100)
    infectious: float = Field(default=0.5, ge=0, le=1)
    mode: str = Field(default="sync_points", pattern="^(lockstep|sync_points|pipelines|tokens)$")


class Epidemic(ScenarioKind[EpidemicParameters]):
    parameters = EpidemicParameters
    step_name = "day"

    def build(self, parameters: EpidemicParameters, context: RunContext) -> SimulationRun:
        names = [f"person-{number}" for number in range(1, parameters.people + 1)]

        @per_agent
        def meet(turn: Turn) -> None:
            if turn.view[turn.name] == "ill":
                for other in turn.random.sample(names, min(parameters.contacts, len(names))):
                    if turn.view[other] == "well" and turn.random.random() < parameters.infectious:
                        turn.intend("infect", other=other)

        def infect(_: Mapping[str, Any], intent: Intent) -> Effects:
            return Effects(sets={intent.arguments["other"]: "ill"})

        world = context.world({name: "ill" if name == names[0] else "well" for name in names})
        rules = FirstCome({"infect": infect})
        mode, seed = parameters.mode, parameters.seed
        collect = {"ill": lambda view: sum(state == "ill" for state in view.values())}
        simulation = Simulation(world, names, Graph.chain(meet), mode=mode, seed=seed, resolver=rules, collect=collect)
        return SimulationRun(simulation, parameters.days)

    def step(self, result: RoundResult) -> dict[str, Any]:
        caught = {event.details["other"] for event in result.events if event.action == "infect" and event.kind == "granted"}
        return {"number": result.number, "new": len(caught)}

    def describe(self, parameters: EpidemicParameters, step: dict[str, Any]) -> str:
        return f"day {step['number']}: {step['new']} fell ill"

    def summarise(self, parameters: EpidemicParameters, record: RunRecord) -> Summary:
        ill = 1 + sum(step["new"] for step in record.steps)
        days = tuple(step["number"] for step in record.steps)
        new = tuple(step["new"] for step in record.steps)
        plots = (Plot("New cases", days, {"new": new}, x_label="day"),) if days else ()
        return Summary(f"{ill} of {parameters.people} fell ill", figures={"ill": ill}, plots=plots)
