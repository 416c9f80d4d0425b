"""The scenario file: what it may say, and what is said to whoever got it wrong."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coterie.errors import InvalidGraph, ScenarioError
from coterie.kernel import Address
from coterie.orchestrator.commons.bargaining import Bargaining
from coterie.orchestrator.commons.fishing import MEETING, STAGES, Fisher, StageName, Terms, graph
from coterie.orchestrator.commons.judging import Judge, Prudent
from coterie.orchestrator.commons.mechanisms import Proposes
from coterie.orchestrator.commons.strategies import Strategy
from coterie.orchestrator.games.scenario import GameScenario
from coterie.orchestrator.interview.scenario import InterviewScenario
from coterie.orchestrator.modelling import ModelSettings
from coterie.orchestrator.problems import problem
from coterie.runtime import Dedicated, Dispatcher, Leased

LAKE = "lake"
"""The name that no fisher may have."""

_MOST = 10**12
"""Units that a lake can hold; beyond that, rounding would show."""


class _Part(BaseModel):
    # Strict: text that looks like a number, and true, are no numbers, for whoever wrote them meant something else.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Lake(_Part):
    """The common."""

    stock: int = Field(default=100, ge=0, le=_MOST)
    """Units at the beginning."""
    capacity: int = Field(default=100, gt=0, le=_MOST)
    """Units at most."""
    growth: float = Field(default=2.0, ge=1, le=1_000)
    """What the stock is multiplied by between two months."""
    collapse_below: int = Field(default=5, ge=0)
    """With fewer units than this after the catch, the lake has collapsed and the run ends."""
    sharing: Literal["proportional", "equal", "lottery"] = "proportional"
    """The rule by which too little gets shared out."""

    @model_validator(mode="after")
    def _fits(self) -> Lake:
        if self.stock > self.capacity:
            raise ValueError(f"stock = {self.stock} is more than capacity = {self.capacity}; lower one or raise the other")
        return self


class Agents(_Part):
    """One fisher, or several of a kind."""

    name: str = Field(min_length=1)
    """Its name; of several, what their names begin with."""
    count: int = Field(default=1, ge=1, le=100_000)
    strategy: Strategy
    proposes: Proposes | None = None
    """The mechanism that it proposes, if any."""

    def names(self) -> list[str]:
        """Return the names of the agents."""
        return [self.name] if self.count == 1 else [f"{self.name}-{number}" for number in range(1, self.count + 1)]


class GraphSettings(_Part):
    """The stages of a month, and the ways between them."""

    stages: Annotated[tuple[StageName, ...], Field(strict=False)] = STAGES
    """In the order in which what is intended in them counts. The first is where a month begins."""
    edges: Annotated[tuple[Annotated[tuple[str, str], Field(strict=False)], ...] | None, Field(strict=False)] = None
    """From which stage to which; without it, from each to the next."""

    @model_validator(mode="after")
    def _closes(self) -> GraphSettings:
        try:
            graph(Prudent(), Terms(1, 1.0, 0), self.stages, self.edges)
        except InvalidGraph as error:
            raise ValueError(f"the graph does not close: {'; '.join(error.problems)}") from error
        return self


class RuntimeSettings(_Part):
    """How the agents are run. It changes what a run costs, not how it ends."""

    dispatcher: Literal["leased", "dedicated"] = "leased"
    threads: int | None = Field(default=None, ge=1, le=8_192)
    """Threads at most that leased agents share; without it, as many as they need."""
    turn_timeout: float = Field(default=30.0, gt=0)
    """Seconds that a fisher has for each stage; after that its month is forfeited."""
    delay: float = Field(default=0.0, ge=0, le=3600)
    """Seconds that fishers take at most to perceive, and to decide, by chance."""
    max_lead: int = Field(default=1, ge=0, le=1_000_000)
    """In mode tokens, how many months a fisher may be ahead of the slowest."""


class Expectation(_Part):
    """How the run is known to end; a run that ends otherwise fails."""

    months: int | None = Field(default=None, ge=0)
    collapse: bool | None = None
    harvest: int | None = Field(default=None, ge=0)


class Scenario(_Part):
    """A whole scenario file."""

    kind: Literal["commons"]
    """What is simulated."""
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    description: str = ""
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    """What everything random in the run follows from."""
    months: int = Field(default=12, ge=1, le=1_000_000)
    mode: Literal["lockstep", "sync_points", "pipelines", "tokens"] = "sync_points"
    """Where fishers wait for each other."""
    lake: Lake = Lake()
    graph: GraphSettings = GraphSettings()
    judge: Judge = Prudent()
    """Who decides about what is proposed."""
    bargaining: Bargaining | None = None
    """How the fishers bargain about a quota before they decide; without it, they do not meet."""
    agents: Annotated[tuple[Agents, ...], Field(strict=False)]
    runtime: RuntimeSettings = RuntimeSettings()
    expect: Expectation = Expectation()
    model: ModelSettings | None = None
    """Who decides how much the fishers take; without it, their rules do."""

    @model_validator(mode="after")
    def _names_differ(self) -> Scenario:
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
    def _meets(self) -> Scenario:
        if ("meet" in self.graph.stages) and self.bargaining is None:
            raise ValueError("graph.stages: 'meet' needs the table [bargaining]; add it, or leave that stage out")
        return self

    def stages(self) -> tuple[StageName, ...]:
        """Return the stages of a month: those that are set, or the usual ones, with a meeting if there is bargaining."""
        return MEETING if self.bargaining is not None and self.graph.stages == STAGES else self.graph.stages

    def dispatcher(self) -> Dispatcher:
        """Return what gives the agents their threads."""
        if self.runtime.dispatcher == "dedicated":
            return Dedicated()
        threads = self.runtime.threads
        return Leased() if threads is None else Leased(least=min(2, threads), most=threads)

    def fishers(self) -> dict[str, Fisher]:
        """Return the fishers by name."""
        delay = self.runtime.delay
        return {name: Fisher(each.strategy, each.proposes, delay) for each in self.agents for name in each.names()}


def read_scenario(path: Path | str) -> str:
    """Return the text of a scenario file. Raises `ScenarioError`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ScenarioError(Path(path), [f"it cannot be read: {reason}; give the path of a TOML file"]) from error


AnyScenario: TypeAlias = Scenario | GameScenario | InterviewScenario
"""What a scenario file can be, by its `kind`."""

KINDS: dict[str, type[Scenario | GameScenario | InterviewScenario]] = {
    "commons": Scenario,
    "interview": InterviewScenario,
    "tic-tac-toe": GameScenario,
}
"""The kinds of scenarios, by what their files call them."""


def parse_scenario(text: str, path: Path | str = "scenario") -> AnyScenario:
    """Check the text of a scenario whole; `path` is what it is called.

    Raises `ScenarioError`, which has a line for every fault: the key, what is wrong with it, and what mends it.
    """
    return check_scenario(parse_tables(text, path), path)


def parse_tables(text: str, path: Path | str = "scenario") -> dict[str, Any]:
    """Return the tables of a TOML text. Raises `ScenarioError`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(Path(path), [f"it is not TOML: {error}"]) from error


def check_scenario(data: dict[str, Any], path: Path | str = "scenario") -> AnyScenario:
    """Check what a scenario file says, as tables. Raises `ScenarioError` as `parse_scenario` does."""
    if data.get("kind") == "conversation":
        raise ScenarioError(Path(path), ["kind: a conversation is not run; use `coterie chat` or `coterie serve`"])
    kind = data.get("kind")
    if isinstance(kind, str) and kind not in KINDS:
        raise ScenarioError(Path(path), [f"kind: {kind!r} is not possible; it must be {' or '.join(map(repr, KINDS))}"])
    model = KINDS.get(str(kind), Scenario)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(Path(path), [problem(each, data, model) for each in error.errors()]) from error


def check_commons(data: dict[str, Any], path: Path | str = "scenario") -> Scenario:
    """Check tables that must be a commons. Raises `ScenarioError`."""
    return as_commons(check_scenario(data, path), path)


def as_commons(scenario: AnyScenario, path: Path | str = "scenario") -> Scenario:
    """Return a scenario that must be a commons. Raises `ScenarioError` if it is another."""
    if not isinstance(scenario, Scenario):
        raise ScenarioError(Path(path), [f"kind: this can be done with kind = 'commons' only, not with {scenario.kind!r}"])
    return scenario


def load_scenario(path: Path | str) -> Scenario:
    """Read the scenario file of a commons and check it whole. Raises `ScenarioError` as `parse_scenario` does."""
    return as_commons(parse_scenario(read_scenario(path), path), path)
