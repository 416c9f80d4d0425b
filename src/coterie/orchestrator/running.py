"""The engine of runs: it builds the body of a kind, a simulation or a meeting, and runs, records, resumes and replays it."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import msgspec

from coterie.errors import ReplayDiverged, StorageLocked
from coterie.errors.orchestrator import RunUnknown
from coterie.kernel import SystemClock
from coterie.meetings import MeetingEnded, Meetings
from coterie.messaging import Request
from coterie.orchestrator.control import RunControl
from coterie.orchestrator.folder import DATA, LOG, MEETINGS, SCENARIO, RunFolder
from coterie.orchestrator.kind import RESULT, MeetingRun, RunContext, RunRecord, ScenarioKind, SimulationRun
from coterie.orchestrator.modelling import StopOnErrorModel, costs_of, recorded_model, replayed_model, unrecorded_model
from coterie.orchestrator.scenario import Scenario
from coterie.rounds import Result, RoundResult
from coterie.rounds.engine.timeline import Span
from coterie.runtime import Agent, AgentRef, Runtime, on
from coterie.storage.sqlite.copying import copy_database
from coterie.tables import DataTable
from coterie.world import Event, EventLog, World

OnLive: TypeAlias = Callable[[Any], object]
"""Called with each live part of a run as it begins: the `Simulation`, or the `Runtime` and the `Meetings` of a meeting."""
Host: TypeAlias = Callable[[Scenario, Any, StopOnErrorModel | None], AbstractContextManager[None]]
"""Hosts the agents of a run elsewhere: it takes the scenario, the body of the run, and the model; see `host_on`."""


class HeldMeeting(msgspec.Struct, frozen=True):
    """A meeting that has ended."""

    utterances: tuple[dict[str, Any], ...]
    outcome: Any
    digest: str


class _Hold(Request[HeldMeeting]):
    members: tuple[AgentRef, ...]


class _Caller(Agent):
    """Calls the meeting, says nothing in it, and waits for its end."""

    def __init__(self, run: MeetingRun) -> None:
        self._run = run
        self._ended = asyncio.Event()

    @on(interleave=True)
    async def hold(self, message: _Hold) -> HeldMeeting:
        meeting = await self.context.use(Meetings).call(
            self._run.topic, list(message.members), floor=self._run.floor, ending=self._run.ending, record="meeting"
        )
        await self._ended.wait()
        utterances = tuple({"by": each.by, "content": each.content} for each in meeting.transcript)
        return HeldMeeting(utterances, meeting.state.outcome, meeting.digest())

    @on
    def ended(self, message: MeetingEnded) -> None:  # noqa: ARG002 - there is one meeting
        self._ended.set()


def hold_meeting(run: MeetingRun, context: RunContext, on_live: OnLive = lambda _: None) -> tuple[Any, str]:
    """Hold the meeting, record its utterances as steps, and return its outcome and its digest."""
    with Runtime("meeting", dispatcher=run.dispatcher, ask_timeout=None) as runtime:
        on_live(runtime)
        on_live(runtime.provide(Meetings(folder=context.meetings)))
        members = tuple(runtime.spawn(kind, *arguments, name=name) for name, (kind, arguments) in run.members.items())
        held = runtime.spawn(_Caller, run, name="caller").ask(_Hold(members)).result()
    for utterance in held.utterances:
        context.step(utterance)
    return held.outcome, held.digest


def write_tables(tables: Mapping[str, DataTable], folder: Path, formats: Sequence[str] = ()) -> list[Path]:
    """Write tables as files in a folder, by default as Parquet, or as CSV without pyarrow; return their paths.

    Raises `TableError`, `InvalidSetting`, and `ExtraMissing` for formats that need pyarrow.
    """
    chosen = formats or (["parquet"] if importlib.util.find_spec("pyarrow") is not None else ["csv"])
    return [table.write(folder / f"{name}.{ending}") for name, table in tables.items() for ending in chosen]


TIMELINE = "timeline.json"
EVENTS = "events.jsonl"

OnStep = Callable[[Any], object]
"""Called with each step, on the thread that recorded it."""


def run_scenario(
    scenario: Scenario,
    folder: RunFolder | None = None,
    on_step: OnStep = lambda _: None,
    *,
    resume: bool = False,
    paused: bool = False,
    on_live: OnLive = lambda _: None,
    host: Host | None = None,
) -> RunRecord:
    """Run a scenario to its end and return its record; with `resume`, go on from its last checkpoint.

    Without a folder nothing is recorded, and the run takes no commands (see `send_command`). With `paused` it waits for a
    command before its first round. `host` hosts the agents elsewhere, such as `coterie.orchestrator.hosting.host_on(cluster)`.
    The same scenario with the same seed ends the same way. Raises the errors of the kind's code, `ModelError`, `RunStopped`,
    and those of storage and of the host; settled steps are kept.
    """
    kind = scenario.kind
    if folder is None:
        with unrecorded_model(scenario.model) as model:
            return _run(scenario, None, on_step, model, resume=False, on_live=on_live, host=host)
    if not resume:
        scenario = scenario.copied_to(folder.path)
    folder.write(SCENARIO, scenario.parameters.model_dump())
    folder.event("run started", scenario=scenario.parameters.name, kind=scenario.parameters.kind, seed=scenario.parameters.seed)

    def record_step(step: Any) -> None:
        value = msgspec.to_builtins(step)
        folder.event(kind.step_event, **(value if isinstance(value, dict) else {"value": value}))
        on_step(step)

    with RunControl(folder, kind.adjustable(scenario.parameters), paused=paused) as control:
        with recorded_model(scenario.model, folder) as model:
            record = _run(scenario, folder.path, record_step, model, resume=resume, on_live=on_live, control=control, host=host)
        return _end(scenario, folder, record)


def _end(scenario: Scenario, folder: RunFolder, record: RunRecord) -> RunRecord:
    """Write the end of a run into its folder."""
    kind = scenario.kind
    record = msgspec.structs.replace(record, costs=tuple(costs_of(folder.path)))
    summary = kind.summarise(scenario.parameters, record)
    if not isinstance(record.result, Result):
        folder.write(RESULT, {"result": record.result, "digest": record.digest})
    elif record.timeline:
        # A run that was over when it was resumed has nothing to add.
        folder.write(TIMELINE, record.timeline)
    kind.write_files(scenario.parameters, record, folder.path)
    folder.event("run ended", **summary.figures, surprises=summary.surprises, digest=record.digest)
    timing = {
        "seconds": record.seconds,
        "waited": record.waited,
        "forfeits": record.forfeits,
        "mode": getattr(scenario.parameters, "mode", None),
    }
    runtime = record.result.runtime if isinstance(record.result, Result) else None
    if isinstance(record.result, Result):
        write_tables(record.result.data, folder.path / DATA)
    folder.write("metrics.json", {"outcome": summary.figures, "timing": timing, "runtime": runtime, "costs": record.costs[-1:]})
    return record


def load_run(path: Path) -> tuple[Scenario, RunRecord]:
    """Return the scenario and the record of the run in a folder. Raises `RunUnknown`, and the errors of storage."""
    scenario = scenario_of_run(path)
    return scenario, _load(scenario, path)


def scenario_of_run(path: Path) -> Scenario:
    """Return the scenario of a run, as it was run. Raises `RunUnknown`, and `ScenarioError` for a kind that is missing."""
    return Scenario.of_run(path)


def replay_run(path: Path, on_step: Callable[[str], object] = lambda _: None) -> RunRecord:
    """Repeat a recorded run, without a network, check that each step equals the recorded one, and return the record.

    `on_step` gets a line for each. Raises `ReplayDiverged` at the first that differs, and the errors of `load_run`.
    """
    scenario, recorded = load_run(path)
    return replay_scenario(scenario, recorded, path, on_step)


def replay_scenario(
    scenario: Scenario, recorded: RunRecord, path: Path, on_step: Callable[[str], object] = lambda _: None
) -> RunRecord:
    """Repeat a recorded run of `scenario`, as `replay_run` does."""
    kind = scenario.kind
    if not (path / LOG).is_file() and not recorded.finished:
        raise RunUnknown(path, "it did not come to its end, so there is nothing to compare with; resume it first")
    seen: list[Any] = []

    def compare(step: Any) -> None:
        seen.append(step)
        number = len(seen)
        if number > len(recorded.steps):
            raise ReplayDiverged(number, "the end", kind.step_digest(step))
        before, now = kind.step_digest(recorded.steps[number - 1]), kind.step_digest(step)
        if before != now:
            raise ReplayDiverged(number, before, now)
        on_step(kind.describe(scenario.parameters, step))

    with replayed_model(scenario.model, path) as model, ExitStack() as resources:
        if (path / LOG).is_file():
            context = RunContext(path, lambda _: World(), seen.append, model=model, resources=resources)
            body = kind.build(scenario.parameters, context)
            assert isinstance(body, SimulationRun)
            log = resources.enter_context(EventLog(path / LOG))
            result = body.simulation.replay(log, lambda each: on_step(f"{kind.step_name} {each.number}: {each.digest}"))
            return _of_result(result, recorded.steps)
        record = _do(scenario, RunContext(path, World, compare, model=model, resources=resources), seen)
    if record.digest != recorded.digest:
        raise ReplayDiverged(len(seen) + 1, recorded.digest, record.digest)
    return record


def _run(
    scenario: Scenario,
    path: Path | None,
    on_step: OnStep,
    model: StopOnErrorModel | None,
    *,
    resume: bool,
    on_live: OnLive,
    control: RunControl | None = None,
    host: Host | None = None,
) -> RunRecord:
    kind = scenario.kind
    steps: list[Any] = []

    def record_step(step: Any) -> None:
        steps.append(step)
        on_step(step)

    with ExitStack() as resources:
        log: list[EventLog] = []

        def world(state: Mapping[str, Any]) -> World:
            opened = EventLog(path / LOG) if path is not None else None
            log.extend([opened] if opened is not None else [])
            return resources.enter_context(World(state, log=opened))

        def step(step: Any) -> None:
            record_step(step)
            if control is not None:
                control.between()

        minutes = path / MEETINGS if path is not None else None
        context = RunContext(scenario.folder, world, step, minutes, model, resources)
        body = kind.build(scenario.parameters, context)
        if host is not None:
            resources.enter_context(host(scenario, body, model))
        if not isinstance(body, SimulationRun):
            if minutes is not None and minutes.is_dir():
                # The run starts again, so the minutes of the interrupted run are deleted.
                for old in minutes.iterdir():
                    old.unlink()
            return _finish(scenario, body, context, steps, on_live)
        body.simulation.identify(_rules_of(scenario))
        on_live(body.simulation)
        return _simulate(kind, body, log, steps, record_step, resume=resume, control=control)
    raise AssertionError("unreachable")


def _simulate(
    kind: ScenarioKind[Any],
    body: SimulationRun,
    log: Sequence[EventLog],
    steps: list[Any],
    record_step: OnStep,
    *,
    resume: bool,
    control: RunControl | None,
) -> RunRecord:
    """Run or resume a simulation, and return its record."""
    simulation = body.simulation
    world = simulation.plan.world
    if resume and log:
        done = simulation.checkpointed
        for each in rounds_of(log[0].events(), world):
            if each.number <= done:
                record_step(kind.step(each))

    def settled(each: RoundResult) -> None:
        if len(steps) < each.number:
            ended = world.history(world.sequence, world.sequence)
            record_step(kind.step(msgspec.structs.replace(each, events=(*each.events, *ended))))
        if control is not None and each.number < body.rounds:
            control.between()

    if control is not None:
        control.begin(body.rounds, world)
    return _of_result((simulation.resume if resume else simulation.run)(body.rounds, settled), steps)


def _do(scenario: Scenario, context: RunContext, steps: list[Any]) -> RunRecord:
    return _finish(scenario, scenario.kind.build(scenario.parameters, context), context, steps)


def _finish(
    scenario: Scenario, body: Any, context: RunContext, steps: list[Any], on_live: OnLive = lambda _: None
) -> RunRecord:
    """Run a meeting or a callable, and return its record."""
    clock = SystemClock()
    began = clock.monotonic()
    digest = ""
    if isinstance(body, MeetingRun):
        result, digest = hold_meeting(body, context, on_live)
    else:
        result = body()
    digest = digest or scenario.kind.digest(steps, result)
    return RunRecord(tuple(steps), digest, finished=True, result=result, seconds=clock.monotonic() - began)


def _of_result(result: Result, steps: Sequence[Any]) -> RunRecord:
    return RunRecord(
        tuple(steps),
        result.digest,
        finished=True,
        result=result,
        seconds=result.seconds,
        waited=result.waited,
        forfeits=result.forfeits,
        timeline=tuple(result.timeline),
    )


def _load(scenario: Scenario, path: Path) -> RunRecord:
    costs = tuple(costs_of(path))
    if (path / LOG).is_file():
        with ExitStack() as resources:
            log, running = log_of(path, resources)
            world = resources.enter_context(World.replay(log))
            rounds = list(rounds_of(log.events(), world))
            digest = world.digest()
        steps = tuple(scenario.kind.step(result) for result in rounds)
        stopped = bool(rounds) and bool(rounds[-1].events[-1].details.get("stopped"))
        file = path / TIMELINE
        timeline = msgspec.json.decode(file.read_bytes(), type=tuple[Span, ...]) if file.is_file() else ()
        finished = not running and (stopped or any(each["event"] == "run ended" for each in _events(path)))
        return RunRecord(steps, digest, finished, timeline=timeline, costs=costs, running=running)
    kind = scenario.kind
    recorded: list[Any] = []
    ended: str | None = None
    for event in _events(path):
        name = event.pop("event")
        if name == "run ended":
            ended = str(event["digest"])
        elif name == kind.step_event:
            recorded.append(kind.load_step(event))
    result = kind.load_result(path) if ended is not None else None
    return RunRecord(tuple(recorded), ended or "", finished=ended is not None, result=result, costs=costs)


def log_of(path: Path, resources: ExitStack) -> tuple[EventLog, bool]:
    """Return the log of a run, opened for reading, and whether the run goes on in another process; then it is a copy."""
    try:
        return resources.enter_context(EventLog(path / LOG)), False
    except StorageLocked:
        folder = Path(resources.enter_context(TemporaryDirectory(prefix="coterie-")))
        copy_database(path / LOG, folder / LOG)
        return resources.enter_context(EventLog(folder / LOG)), True


def _rules_of(scenario: Scenario) -> str:
    """Return a hash of the parameters that affect the outcome: not of texts, expectations, limits and costs."""
    rules = scenario.parameters.model_dump(mode="json", exclude={"name", "description", "expect", "runtime"})
    if isinstance(rules.get("model"), dict):
        rules["model"] = {key: rules["model"].get(key) for key in ("name", "temperature", "fallback")}
    return hashlib.blake2b(msgspec.json.encode(rules, order="deterministic"), digest_size=16).hexdigest()


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a run, without a last one that was cut off. Raises `RunUnknown`."""
    try:
        lines = (path / EVENTS).read_bytes().splitlines()
    except OSError as error:
        raise RunUnknown(path, f"its events cannot be read: {error.strerror}") from error
    for line in lines:
        try:
            yield msgspec.json.decode(line)
        except msgspec.DecodeError:
            return  # the process was killed while it wrote this line


def rounds_of(events: Any, world: World) -> Iterator[RoundResult]:
    """Yield the settled rounds of a log, each with its events; the last event ends the round."""
    found: list[Event] = []
    for event in events:
        found.append(event)
        if event.kind == "round ended":
            yield RoundResult(event.round, str(event.details["digest"]), world.view(), tuple(found))
            found = []
