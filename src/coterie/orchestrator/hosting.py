"""Scenarios whose agents are hosted on the nodes of a cluster. The world, its log, and the model stay with the program.

Each node gets the scenario and the code beside it, builds the same simulation, and takes its agents from there. So the functions
of stages work as they do in one process.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from coterie.cluster import Cluster
from coterie.cluster.hosting import HostedSimulation
from coterie.errors import ScenarioError
from coterie.messaging import Request
from coterie.models import ModelReply, ModelRequest, TextDelta
from coterie.orchestrator.code import file_of
from coterie.orchestrator.control import CONTROL, STATUS
from coterie.orchestrator.finding import find_kind
from coterie.orchestrator.folder import DATA, LOG, MEETINGS, SCENARIO
from coterie.orchestrator.kind import RESULT, RunContext, SimulationRun
from coterie.orchestrator.modelling import COSTS, RECORDING, SPENT, StopOnErrorModel
from coterie.orchestrator.packages import PackageHome, check_size, fetch, files_of_module, read_files, write_code, write_files
from coterie.orchestrator.report import REPORT
from coterie.orchestrator.running import EVENTS, TIMELINE
from coterie.orchestrator.scenario import ORIGIN, Scenario
from coterie.rounds.carrying import CarriedError, ModuleNames
from coterie.rounds.plan import Plan
from coterie.runtime import AgentRef, on
from coterie.world import World

OPENER = f"{__name__}:open_run"
_OF_RUN = {
    SCENARIO, ORIGIN, DATA, MEETINGS, EVENTS, TIMELINE, RESULT, RECORDING, COSTS, SPENT, CONTROL, STATUS, REPORT,
    "scenario.toml", "log.jsonl", "metrics.json", "costs.csv", "export",
}  # fmt: skip
"""What a run itself writes into its folder, besides its log."""

_encode = msgspec.msgpack.encode


class ScenarioPackage(msgspec.Struct, frozen=True):
    """A scenario with its files: what a node needs to build the run."""

    kind: str
    parameters: bytes
    code: dict[str, bytes]
    """The files of the module of its kind, by their paths beside the scenario; empty for a kind that is installed."""
    files: dict[str, bytes]
    """The files that the scenario names."""
    module: str
    """The name of the module or the package of the kind in the program."""
    model: str = ""
    """The name of its model; empty without one."""

    @classmethod
    def of(cls, scenario: Scenario, model: str) -> ScenarioPackage:
        """Return the package of a scenario. Raises `ScenarioError` for one with too many files."""
        kind: str = scenario.parameters.kind
        code, files = _code(kind, scenario), _files(scenario.folder) if scenario.folder != scenario.origin else {}
        check_size(scenario.origin, code, files)
        return cls(kind, scenario.parameters.model_dump_json().encode(), code, files, _module(scenario.kind), model)


class AskModel(Request[bytes]):
    """Asks the model of a run. The answer is a `ModelAnswer`."""

    request: bytes


class ModelAnswer(msgspec.Struct, frozen=True):
    """The reply of a model, or its error."""

    reply: ModelReply | None = None
    error: CarriedError | None = None


class RunHome(PackageHome):
    """Has what the nodes need of a program: the package of the scenario, and the model."""

    def __init__(self, package: bytes, model: StopOnErrorModel | None) -> None:
        super().__init__(package)
        self._model = model

    @on(interleave=True)
    async def ask_model(self, message: AskModel) -> bytes:
        """Ask the model."""
        assert self._model is not None
        try:
            return _encode(ModelAnswer(await self._model.ask(msgspec.msgpack.decode(message.request, type=ModelRequest))))
        except Exception as error:  # noqa: BLE001 - the node gets it
            return _encode(ModelAnswer(error=CarriedError.of(error)))


class HomeModel:
    """The model of a run, as a node sees it: the program asks it, so it records, and keeps the budgets. Safe from any thread."""

    def __init__(self, name: str, home: AgentRef) -> None:
        self.name = name
        self._home = home

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the reply of the model. Raises its errors."""
        answer = msgspec.msgpack.decode(await self._home.ask(AskModel(_encode(request)), timeout=None), type=ModelAnswer)
        if answer.error is not None:
            raise answer.error.revived()
        assert answer.reply is not None
        return answer.reply

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield the text of the whole reply, and the reply. Raises the errors of the model."""
        reply = await self.ask(request)
        yield TextDelta(reply.text)
        yield reply

    def __deepcopy__(self, memo: object) -> HomeModel:
        return self


def host_on(cluster: Cluster) -> Callable[[Scenario, Any, StopOnErrorModel | None], AbstractContextManager[None]]:
    """Return the `host` of `run_scenario` that hosts the agents of a run on the nodes of a cluster.

    The outcome is that of one process, if agents share values only by the world. Raises `ScenarioError` for a run that is no
    simulation, and for one whose nodes cannot build it, and the errors of `HostedSimulation`.
    """

    @contextmanager
    def host(scenario: Scenario, body: Any, model: StopOnErrorModel | None) -> Iterator[None]:
        if not isinstance(body, SimulationRun):
            problem = f"a run of the kind {scenario.parameters.kind!r} is no simulation: it computes in one process; leave --cluster out"
            raise ScenarioError(scenario.parameters.name, [f"--cluster: {problem}"])
        package = _encode(ScenarioPackage.of(scenario, model.name if model is not None else ""))
        home = cluster.runtime.spawn(RunHome, package, model)
        try:
            with HostedSimulation(cluster, body.simulation, OPENER, home):
                yield
        finally:
            home.stop(drain=False)

    return host


class OpenedRun:
    """A run that a node has built from a package."""

    def __init__(self, plan: Plan, names: ModuleNames, resources: ExitStack) -> None:
        self.plan = plan
        self.names = names
        self._resources = resources

    def close(self) -> None:
        """Close what the run has opened, and delete its files."""
        self._resources.close()


def open_run(home: AgentRef) -> OpenedRun:
    """Build the run of a program on this node. Raises `ScenarioError`, and the errors of the kind."""
    package = fetch(home, ScenarioPackage)
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="coterie-run-")))
        write_files(package.files, folder)
        code = write_code(package.code) if package.code else None
        kind = find_kind(package.kind, (folder, code) if code is not None else (folder,), package.kind)
        parameters = kind.parameters.model_validate_json(package.parameters)
        model: Any = HomeModel(package.model, home) if package.model else None
        context = RunContext(
            folder, lambda state: resources.enter_context(World(state)), _ignore, model=StopOnErrorModel(model) if model else None,
            resources=resources,
        )  # fmt: skip
        body = kind.build(parameters, context)
        assert isinstance(body, SimulationRun)
        return OpenedRun(body.simulation.plan, ModuleNames(_module(kind), package.module), resources.pop_all())
    raise AssertionError("unreachable")


def _module(kind: object) -> str:
    return type(kind).__module__.partition(".")[0]


def _code(kind: str, scenario: Scenario) -> dict[str, bytes]:
    """Return the files of a kind that is beside the scenario: its package, or its module with the files beside it."""
    module, colon, _ = kind.partition(":")
    folder = next((each for each in (scenario.folder, scenario.origin) if colon and file_of(module, each) is not None), None)
    if folder is None:
        return {}
    file = file_of(module, folder)
    assert file is not None
    return files_of_module(file, folder)


def _files(folder: Path) -> dict[str, bytes]:
    """Return the files that a kind has copied into the folder of a run."""
    names = [each for each in sorted(folder.iterdir()) if each.name not in _OF_RUN and not each.name.startswith(LOG)]
    return read_files(folder, [path for each in names for path in ([each] if each.is_file() else sorted(each.rglob("*")))])


def _ignore(step: object) -> None:
    """Record no step: the program does."""
