"""The parameters of a commons: the tables and keys of its scenario file."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from coterie.errors import InvalidGraph
from coterie.kernel import Address
from coterie.orchestrator import ModelSettings, ScenarioParameters
from coterie.orchestrator.kind import ScenarioPart
from coterie.runtime import Dedicated, Dispatcher, Leased
from coterie_examples.commons.bargaining import Bargaining
from coterie_examples.commons.fishing import MEETING, STAGES, Fisher, StageName, Terms, graph
from coterie_examples.commons.judging import Judge, Prudent
from coterie_examples.commons.mechanisms import Proposes
from coterie_examples.commons.strategies import Strategy

LAKE = "lake"
"""The reserved name that fishers cannot have."""

_MOST = 10**12
"""The maximum capacity of a lake; above it, rounding would change results."""


class Lake(ScenarioPart):
    """The lake."""

    stock: int = Field(default=100, ge=0, le=_MOST)
    """Units at the beginning."""
    capacity: int = Field(default=100, gt=0, le=_MOST)
    """Units at most."""
    growth: float = Field(default=2.0, ge=1, le=1_000)
    """The growth factor of the stock between two months."""
    collapse_below: int = Field(default=5, ge=0)
    """With fewer units than this after the catch, the lake has collapsed and the run ends."""
    sharing: Literal["proportional", "equal", "lottery"] = "proportional"
    """The rule that divides too small a stock."""

    @model_validator(mode="after")
    def _fits(self) -> Lake:
        if self.stock > self.capacity:
            raise ValueError(f"stock = {self.stock} is more than capacity = {self.capacity}; lower one or raise the other")
        return self


class Agents(ScenarioPart):
    """One fisher, or several of a kind."""

    name: str = Field(min_length=1)
    """Its name, or the prefix of the names of several."""
    count: int = Field(default=1, ge=1, le=100_000)
    strategy: Strategy
    proposes: Proposes | None = None
    """The mechanism that it proposes, if any."""

    def names(self) -> list[str]:
        """Return the names of the agents."""
        return [self.name] if self.count == 1 else [f"{self.name}-{number}" for number in range(1, self.count + 1)]


class GraphSettings(ScenarioPart):
    """The stages of a month, and the edges between them."""

    stages: Annotated[tuple[StageName, ...], Field(strict=False)] = STAGES
    """The stages, in the order in which their intents count. A month begins at the first."""
    edges: Annotated[tuple[Annotated[tuple[str, str], Field(strict=False)], ...] | None, Field(strict=False)] = None
    """Pairs of stages; without it, each stage leads to the next."""

    @model_validator(mode="after")
    def _closes(self) -> GraphSettings:
        try:
            graph(Prudent(), Terms(1, 1.0, 0), self.stages, self.edges)
        except InvalidGraph as error:
            raise ValueError(f"the graph does not close: {'; '.join(error.problems)}") from error
        return self


class RuntimeSettings(ScenarioPart):
    """The runtime settings. They change the cost of a run, not its result."""

    dispatcher: Literal["leased", "dedicated"] = "leased"
    threads: int | None = Field(default=None, ge=1, le=8_192)
    """The maximum of threads that leased agents share; without it, as many as they need."""
    turn_timeout: float = Field(default=30.0, gt=0)
    """Seconds that a fisher has for each stage; after that its month is forfeited."""
    delay: float = Field(default=0.0, ge=0, le=3600)
    """The maximum of random delays of fishers, in seconds."""
    max_lead: int = Field(default=1, ge=0, le=1_000_000)
    """In mode tokens, the maximum number of months by which a fisher may be ahead of the slowest."""


class Expectation(ScenarioPart):
    """The expected end; a run with another end fails."""

    months: int | None = Field(default=None, ge=0)
    collapse: bool | None = None
    harvest: int | None = Field(default=None, ge=0)


class CommonsScenario(ScenarioParameters):
    """A whole scenario file."""

    months: int = Field(default=12, ge=1, le=1_000_000)
    mode: Literal["lockstep", "sync_points", "pipelines", "tokens"] = "sync_points"
    """The mode of the simulation."""
    lake: Lake = Lake()
    graph: GraphSettings = GraphSettings()
    judge: Judge = Prudent()
    """The judge of proposals."""
    bargaining: Bargaining | None = None
    """The bargaining about a quota before the decisions; without it there are no meetings."""
    agents: Annotated[tuple[Agents, ...], Field(strict=False)]
    runtime: RuntimeSettings = RuntimeSettings()
    expect: Expectation = Expectation()
    model: ModelSettings | None = None
    """The language model that decides for the fishers; without it their rules decide."""

    @model_validator(mode="after")
    def _names_differ(self) -> CommonsScenario:
        counts = Counter(name for agents in self.agents for name in agents.names())
        if not counts:
            raise ValueError("agents: there is none; add at least one [[agents]]")
        for name, count in counts.items():
            if not Address.is_name(name) or "/" in name:
                raise ValueError(f"agents: {name!r} cannot name an agent; use text without '#', '/' and control characters")
            if count > 1:
                raise ValueError(f"agents: the name {name!r} is used {count} times; give every agent a name of its own")
        if LAKE in counts:
            raise ValueError(f"agents: {LAKE!r} is the name of the lake itself; give the agent another")
        return self

    @model_validator(mode="after")
    def _meets(self) -> CommonsScenario:
        if ("meet" in self.graph.stages) and self.bargaining is None:
            raise ValueError("graph.stages: 'meet' needs the table [bargaining]; add it, or leave that stage out")
        return self

    def stages(self) -> tuple[StageName, ...]:
        """Return the stages of a month: those of the file, or the usual ones, with a meeting if there is bargaining."""
        return MEETING if self.bargaining is not None and self.graph.stages == STAGES else self.graph.stages

    def dispatcher(self) -> Dispatcher:
        """Return the dispatcher of the agents."""
        if self.runtime.dispatcher == "dedicated":
            return Dedicated()
        threads = self.runtime.threads
        return Leased() if threads is None else Leased(least=min(2, threads), most=threads)

    def fishers(self) -> dict[str, Fisher]:
        """Return the fishers by name."""
        delay = self.runtime.delay
        return {name: Fisher(each.strategy, each.proposes, delay) for each in self.agents for name in each.names()}
