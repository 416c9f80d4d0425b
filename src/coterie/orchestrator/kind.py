"""The contract of a scenario kind: typed parameters, the run that it builds, and the summary for the commands and the report.

A scenario file names a kind as ``kind = "module:Class"`` or by an entry point of the group ``coterie.scenarios``. Shipped kinds
and those of users are found and called in the same way; this package depends on no particular kind.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from coterie.meetings import Floor
from coterie.meetings.state.termination import AnyCondition
from coterie.orchestrator.control import Adjustable
from coterie.orchestrator.modelling import StopOnErrorModel
from coterie.rounds import RoundResult, Simulation
from coterie.rounds.engine.timeline import Span
from coterie.runtime import Agent, Dispatcher
from coterie.tables import DataTable
from coterie.world import World

RESULT = "result.json"
"""The result of a callable, in the folder of the run."""


class ScenarioPart(BaseModel):
    """The base of every table of a scenario file: strict, frozen, and without unknown keys."""

    # Strict: text that looks like a number, and true where a number belongs, are mistakes and not conversions.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ScenarioParameters(ScenarioPart):
    """The base of the parameters of a kind: the keys that every scenario file has. A kind adds fields of its own.

    Three optional fields have a meaning to the commands: `mode` (``compare``, ``--mode``), `runtime` with the fields
    `dispatcher`, `threads` and `delay` (the options of these names), and `model`, a `ModelSettings` (``--model``).
    """

    kind: str
    """The name of the kind, or ``module:Class``."""
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    description: str = ""
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    """The seed of all random streams of the run."""


P = TypeVar("P", bound=ScenarioParameters)


class Bar(msgspec.Struct, frozen=True):
    """A table cell that is drawn as a bar."""

    part: float
    """From 0 to 1."""
    note: str = ""
    alarming: bool = False


class Table(msgspec.Struct, frozen=True):
    """A table of a report or a command. Numbers are aligned to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class Plot(msgspec.Struct, frozen=True):
    """A line plot: one line for each entry of `series`, over `x`."""

    title: str
    x: tuple[float, ...]
    series: dict[str, tuple[float, ...]]
    x_label: str = "round"
    y_label: str = ""


class Summary(msgspec.Struct, frozen=True):
    """The end of a run, for the commands, the metrics and the report."""

    headline: str
    """One line, such as "12 rounds, no collapse"."""
    figures: dict[str, float | int | bool | str] = {}
    """The outcome as numbers: the columns of ``compare`` and ``sweep``."""
    tables: tuple[Table, ...] = ()
    """Shown after a run, by ``show``, and in the report."""
    history: Table | None = None
    """The course of the run, shown by ``show`` and in the report."""
    lines: tuple[str, ...] = ()
    """The course of the run as text, shown by ``show`` only."""
    notes: tuple[str, ...] = ()
    """Remarks, shown after a run, by ``show``, and in the report."""
    plots: tuple[Plot, ...] = ()
    """Shown in the report."""
    surprises: tuple[str, ...] = ()
    """Differences from the expectations of the scenario. A run with any fails."""


class RunRecord(msgspec.Struct, frozen=True):
    """The record of a run, as it ended or as its folder tells."""

    steps: tuple[Any, ...]
    """The recorded steps: rounds of a simulation, or the values that the run passed to `RunContext.step`."""
    digest: str
    finished: bool
    result: Any = None
    """The value that a callable returned, the `Result` of a simulation, or, read from a folder, its JSON value."""
    seconds: float = 0.0
    waited: float = 0.0
    """Seconds of waiting, over all agents."""
    forfeits: int = 0
    timeline: tuple[Span, ...] = ()
    costs: tuple[dict[str, Any], ...] = ()
    """The costs of the model, by agent and in all; empty without a model."""
    running: bool = False
    """Whether another process is running it now; the record is then that of the settled steps."""


@dataclass(frozen=True)
class SimulationRun:
    """A run that is a simulation of a number of rounds."""

    simulation: Simulation
    rounds: int


@dataclass(frozen=True)
class MeetingRun:
    """A run that is one meeting. Each utterance is a step with `by` and `content`; the digest is that of the meeting's log."""

    topic: str
    members: Mapping[str, tuple[type[Agent], tuple[Any, ...]]]
    """The members by name: the class of each agent, and its arguments."""
    floor: Floor
    ending: AnyCondition
    dispatcher: Dispatcher | None = None


RunBody: TypeAlias = SimulationRun | MeetingRun | Callable[[], Any]


@dataclass(frozen=True)
class RunContext:
    """The resources that a kind builds its run from. Used by the thread that runs the scenario only."""

    folder: Path
    """The folder of the scenario file, the base of its paths."""
    world: Callable[[Mapping[str, Any]], World]
    """Make the world of a simulation from its first state, over the event log of the run if it has one."""
    step: Callable[[Any], None]
    """Record a step of a run that is a callable: a plain value, or a msgspec struct."""
    meetings: Path | None = None
    """The folder of the minutes of meetings; None if the run has no folder."""
    model: StopOnErrorModel | None = None
    """The model of the scenario, opened and recorded, if its parameters have one."""
    resources: ExitStack = field(default_factory=ExitStack)
    """Closed after the run: enter context managers here."""


class ScenarioKind(ABC, Generic[P]):
    """A kind of scenario. Keeps no state: one instance may serve several runs at once.

    A kind needs `parameters`, `build` and `summarise`; the rest has defaults.
    """

    parameters: ClassVar[type[Any]]
    """The model of the scenario file, a subclass of `ScenarioParameters`."""
    step_name: ClassVar[str] = "round"
    """The name of one step."""
    step_event: ClassVar[str] = "step"
    """The name of a step's event in ``events.jsonl``."""
    compared: ClassVar[tuple[str, ...]] = ()
    """The figures that ``compare`` shows; empty for all."""
    measure: ClassVar[str] = ""
    """The figure that ``sweep`` plots; empty for the first that is a number."""

    def check(self, parameters: P, folder: Path) -> None:
        """Check the files that a scenario names before a run folder is made. Raises an error for a wrong file."""

    @abstractmethod
    def build(self, parameters: P, context: RunContext) -> RunBody:
        """Return the run: a `SimulationRun`, a `MeetingRun`, or a callable that does it and returns a plain result."""

    @abstractmethod
    def summarise(self, parameters: P, record: RunRecord) -> Summary:
        """Return the summary of a run that has ended or was interrupted."""

    def copy_files(self, parameters: P, folder: Path, target: Path) -> P:  # noqa: ARG002 - the default copies nothing
        """Copy the files that a run needs from `folder` to `target`; return parameters that name the copies."""
        return parameters

    def adjustable(self, parameters: P) -> Mapping[str, Adjustable]:  # noqa: ARG002 - none by default
        """Return the numbers of a simulation that may be changed while it runs, by name; read them with `adjusted`."""
        return {}

    def step(self, result: RoundResult) -> Any:
        """Return the recorded step of a round: a plain value, or a msgspec struct."""
        return {"number": result.number, "digest": result.digest}

    def load_step(self, data: dict[str, Any]) -> Any:
        """Return a step from its JSON value."""
        return data

    def load_result(self, path: Path) -> Any:
        """Return the result of a finished callable from its run folder; None if it has none."""
        file = path / RESULT
        return msgspec.json.decode(file.read_bytes())["result"] if file.is_file() else None

    def write_files(self, parameters: P, record: RunRecord, path: Path) -> None:
        """Write files of the kind's own into the folder of a run that has ended."""

    def tables(self, parameters: P, record: RunRecord) -> Mapping[str, DataTable]:  # noqa: ARG002 - the default has none
        """Return tables of the kind's own for ``coterie export``, besides those that its simulation collects."""
        return {}

    def step_digest(self, step: Any) -> str:
        """Return the digest of a step of a callable, which a replay compares."""
        return hashlib.blake2b(msgspec.json.encode(step, order="deterministic"), digest_size=32).hexdigest()

    def digest(self, steps: Sequence[Any], result: Any) -> str:  # noqa: ARG002 - a kind may use the result
        """Return the digest of a run that is a callable."""
        return hashlib.blake2b("".join(map(self.step_digest, steps)).encode(), digest_size=32).hexdigest()

    def describe(self, parameters: P, step: Any) -> str:  # noqa: ARG002 - a kind may use the parameters
        """Return the line that shows a step while the run goes on."""
        return f"{self.step_name} {step.get('number', '') if isinstance(step, dict) else step}"

    def row(self, parameters: P, step: Any) -> Mapping[str, Any]:  # noqa: ARG002 - the default shows lines instead
        """Return a step as a row of the table that grows in a terminal; an empty row to show lines instead."""
        return {}

    def page(self, parameters: P, record: RunRecord, path: Path) -> str | None:  # noqa: ARG002 - the default page is used
        """Return the HTML page of the report; None for the default page from the summary. Needs the extra ``report``."""
        return None
