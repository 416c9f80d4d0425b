"""A kind beside its scenario file: sheep that keep a state, are born, and fail now and then; `count` ends the run of its own."""

import dataclasses
from pathlib import Path
from typing import Any

from pydantic import Field

from coterie.models import ModelRequest, TextMessage
from coterie.orchestrator import ModelSettings, RunContext, RunRecord, ScenarioKind, ScenarioParameters, SimulationRun, Summary
from coterie.rounds import Gathering, Graph, Simulation, Turn, per_agent, together
from coterie.world.resolvers import FirstCome


class Startled(Exception):
    """A sheep does nothing this time."""


class TooMany(Exception):
    """The run ends."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"{count} sheep are too many")


@dataclasses.dataclass
class Sight:
    grass: int
    seen: tuple[str, ...]


class FlockParameters(ScenarioParameters):
    rounds: int = Field(default=6, ge=1)
    sheep: int = Field(default=4, ge=1)
    most: int = 100
    model: ModelSettings | None = None


class Sheep:
    def __init__(self, appetite: int) -> None:
        self.appetite = appetite
        self.eaten: list[int] = []

    def look(self, turn: Turn) -> Sight:
        return Sight(int(turn.view["grass"]), tuple(turn.everyone.of("Sheep").names))

    def snapshot(self) -> Any:
        return {"appetite": self.appetite, "eaten": self.eaten}

    def restore(self, state: Any) -> None:
        self.appetite, self.eaten = state["appetite"], state["eaten"]


class Flock(ScenarioKind[FlockParameters]):
    parameters = FlockParameters

    def build(self, parameters: FlockParameters, context: RunContext) -> SimulationRun:
        appetite = int((Path(__file__).parent / "appetite.txt").read_text())

        @together
        def count(gathering: Gathering) -> int:
            return len(gathering.agents)

        @per_agent
        async def eat(turn: Turn) -> None:
            sight: Sight = turn.inputs["look"]
            if context.model is not None:
                question = TextMessage("user", f"how much of {sight.grass}?")
                await context.model.ask(ModelRequest(exchanges=(question,), agent=turn.name, step=f"{turn.round}/eat"))
            if turn.inputs["count"] > parameters.most:
                raise TooMany(turn.inputs["count"])
            turn.intend("add", key=f"tried/{turn.name}", amount=1)
            if turn.random.random() < 0.2:
                raise Startled(f"{turn.name} saw {len(sight.seen)}")
            sheep: Sheep = turn.agent
            sheep.eaten.append(min(sheep.appetite + len(sheep.eaten) % 3, sight.grass // 10))
            turn.intend("add", key="grass", amount=-sheep.eaten[-1])
            if turn.random.random() < 0.2:
                turn.bear("sheep")

        names = [f"sheep-{number}" for number in range(parameters.sheep)]
        world = context.world({"grass": 1000})
        agents = {name: Sheep(appetite) for name in names}
        graph = Graph.chain("look", count, eat)
        simulation = Simulation(
            world,
            agents,
            graph,
            seed=parameters.seed,
            resolver=FirstCome(),
            born=lambda _: Sheep(appetite + 1),
            halt_on=(TooMany,),
        )
        return SimulationRun(simulation, parameters.rounds)

    def summarise(self, parameters: FlockParameters, record: RunRecord) -> Summary:
        return Summary(f"{len(record.steps)} rounds", figures={"rounds": len(record.steps)})
