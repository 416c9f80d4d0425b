"""Run many agents on one world, round after round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from coterie.errors import CheckpointMissing, CollectFailed, InvalidSetting, ReplayDiverged, RoundsError
from coterie.kernel import Checkpointable, check_instance, check_number, choice
from coterie.rounds.checking import (
    agents_of,
    check_errors,
    check_functions,
    check_mappings,
    check_mode,
    check_stages,
    members_of,
)
from coterie.rounds.checkpoint import Checkpoints
from coterie.rounds.collecting import Collect, DataCollector, reporters_of
from coterie.rounds.engine.engine import RoundEngine
from coterie.rounds.engine.restoring import cut_off, make_checkpoint, restore_engine
from coterie.rounds.engine.run_span import in_run_span
from coterie.rounds.engine.strategies import strategy_of
from coterie.rounds.graph import Graph
from coterie.rounds.groups import AgentGroup
from coterie.rounds.observing import ObservedSimulation
from coterie.rounds.plan import Activation, Change, Membership, Mode, OnError, Plan, Settle
from coterie.rounds.proposals import Binding
from coterie.rounds.recorded import STARTED, RecordedDecisions, versions
from coterie.rounds.results import OnRound, Result, RoundResult
from coterie.runtime import Dispatcher
from coterie.tables import DataTable
from coterie.world import EventLog, ExternalEvent, World
from coterie.world.resolvers import FirstCome, Resolver

_EVERYTHING = 2**63


class Simulation(ObservedSimulation):
    """Agents that act on a world in rounds. The same seed gives the same digest, whatever the timing.

    ::

        graph = Graph.chain(analyse, propose, together(judge), decide)
        result = Simulation(world, agents, graph, mode=Mode.SYNC_POINTS, seed=7, turn_timeout=30).run(rounds=12)

    `agents` are names and groups, or a mapping of names to participants: objects (with or without ``async`` methods), functions,
    coroutine functions, or references of runtime agents (see `Member`). Objects are copied, and each has a thread that
    `dispatcher` gives it; with `Leased`, plain turns that end quickly may share one. `members` are the initial members, by default all; `membership`, `join` and
    `leave` change them later, and so do births and deaths: `Turn.bear` and `Turn.die`. `born` returns the agent of a name that
    is born, and is not needed if stages are functions. A stage runs on its agent's thread, with a `Turn`. By default all agents see the same view in a
    stage; with `activation` "random" or "by-name" they act one after another, and each sees what those before it did.

    `resolver` decides on intents, changed by the mechanisms in force; `mechanisms` has the function that applies each
    kind. After each round `settle` makes the world's own changes. A turn that raises, or takes more than `turn_timeout`
    seconds of the world's clock on its thread, is forfeited, and its agent is rebuilt from its last checkpoint; the first error
    of each type is logged. A stage that raises for every agent in its first round ends the run, unless `on_error` is
    ``"forfeit"``. In `Mode.TOKENS` an agent enters no round more than `max_lead` rounds ahead of the slowest; None sets no
    limit. In the world's own time a round lasts `round_seconds`, and the first round is at that time.

    An error of the types `halt_on`, such as a spent budget, forfeits no turn: it ends the run and is raised. Settled rounds are
    kept, and `resume` continues.

    If the world has a log, a checkpoint of all agents and of `keep` is stored after every round, unless `checkpoints` is
    false. Every agent must then have a snapshot, or no state.

    `collect` has the columns of the tables of the result, by name: a function of the view after each round, a key of the world,
    or `by_agent`, `by_type`, `by_stage` or `by_round` of a function. Collecting never changes the outcome.

    One thread at a time may run it; `join`, `leave` and `stop` are safe from any thread.
    """

    def __init__(
        self,
        world: World,
        agents: Mapping[str, Any] | Iterable[str | AgentGroup],
        graph: Graph,
        *,
        mode: Mode | str = Mode.SYNC_POINTS,
        activation: Activation | str = Activation.AT_ONCE,
        seed: int | str = 0,
        resolver: Resolver | None = None,
        settle: Settle | None = None,
        mechanisms: Mapping[str, Binding] | None = None,
        membership: Membership | None = None,
        members: Iterable[str] | None = None,
        born: Callable[[str], Any] | None = None,
        turn_timeout: float | None = 30.0,
        on_error: OnError | str = OnError.RAISE,
        halt_on: tuple[type[Exception], ...] = (),
        max_lead: int | None = 1,
        round_seconds: float = 1.0,
        dispatcher: Dispatcher | None = None,
        keep: Mapping[str, Checkpointable] | None = None,
        checkpoints: bool | None = None,
        spans: int = 100_000,
        collect: Collect | None = None,
    ) -> None:
        check_instance("Simulation.world", world, World, "a World")
        check_instance("Simulation.graph", graph, Graph, "a Graph: Graph.chain(...)")
        check_number("Simulation.turn_timeout", turn_timeout, above=0, optional=True)
        check_number("Simulation.max_lead", max_lead, whole=True, optional=True)
        check_number("Simulation.round_seconds", round_seconds, above=0)
        check_number("Simulation.spans", spans, whole=True)
        check_instance("Simulation.seed", seed, (int, str), "a whole number or text")
        given = agents_of(agents)
        chosen = members_of(members, given)
        check_functions(resolver=resolver, settle=settle, membership=membership, born=born)
        check_mappings(mechanisms, keep, dispatcher)
        wanted = check_mode(graph, mode, activation)
        check_stages(graph, given, wanted[1])
        keeps = world.log is not None if checkpoints is None else checkpoints
        if keeps and world.log is None:
            raise InvalidSetting("Simulation.checkpoints", checkpoints, "a world with a log to keep them in")
        self.plan = Plan(
            world,
            given,
            graph,
            wanted[0],
            seed,
            resolver if resolver is not None else FirstCome(),
            dict(mechanisms or {}),
            settle,
            membership,
            chosen,
            turn_timeout,
            choice("Simulation.on_error", on_error, OnError),
            check_errors("halt_on", halt_on),
            max_lead,
            round_seconds,
            dispatcher,
            dict(keep or {}),
            keeps,
            spans,
            wanted[1],
            born,
            collect=reporters_of(collect),
        )
        self._engine: RoundEngine | None = None  # the latest
        self._joins, self._leaves = list[str](), list[str]()
        self._stop, self._stopped_from_outside = "", False
        self._whole = False
        """Whether the latest run ended between two rounds, so that the next can go on from there."""

    def identify(self, rules: str) -> None:
        """Set a text that identifies the rules, such as a hash of a file of settings, before a run.

        A checkpoint has it, and `resume` raises `CheckpointMissing` for a checkpoint of a run with other rules.
        """
        check_instance("Simulation.identify", rules, str, "a text")
        self.plan = msgspec.structs.replace(self.plan, rules=rules)

    def step(self, on_round: OnRound | None = None) -> Result:
        """Run one round, as `run` does, and return the result so far."""
        return self.run(1, on_round)

    @in_run_span
    def run(self, rounds: int, on_round: OnRound | None = None) -> Result:
        """Run `rounds` rounds, and return the result. After an earlier `run`, `resume` or `step` go on from there.

        Raises `RoundsError` if the world's log holds checkpoints of another simulation, or the last run ended with an error,
        `CheckpointRefused` for an agent without a snapshot in plain data, `StageFailed` if a together-stage raises, or a stage
        for every agent (see `on_error`), and the errors of the world. Settled rounds are kept.
        """
        check_number("run.rounds", rounds, whole=True)
        check_functions(on_round=on_round)
        checkpoints = self._checkpoints()
        newest, engine = checkpoints.newest_round() if checkpoints is not None else 0, self._engine
        if newest and (engine is None or newest != engine.settled):
            raise RoundsError(f"{self._where()}: a simulation was begun there; resume it, or choose another place")
        if engine is None:
            return self._run(rounds, on_round, checkpoints, resume=False)
        self._check_goes_on(engine)
        return self._go_on(engine, engine.settled + rounds, on_round, checkpoints)

    @in_run_span
    def resume(self, rounds: int, on_round: OnRound | None = None) -> Result:
        """Go on from the newest checkpoint until `rounds` rounds are settled in all, and return the result.

        Begin again if the run was killed before its first checkpoint. Agents, graph, mode and seed must be the same. Raises
        `CheckpointMissing` if they are not, `RestoreFailed` if an agent cannot be restored, and the errors of `run`.
        """
        check_number("resume.rounds", rounds, whole=True)
        check_functions(on_round=on_round)
        checkpoints = self._checkpoints()
        if checkpoints is None and self._engine is not None:
            self._check_goes_on(self._engine)
            return self._go_on(self._engine, rounds, on_round, None)
        if checkpoints is None:
            raise CheckpointMissing(self._where(), "this world has no checkpoints; give it a log, and run it with checkpoints")
        return self._run(rounds, on_round, checkpoints, resume=True)

    @in_run_span
    def replay(self, log: EventLog, on_round: OnRound | None = None) -> Result:
        """Repeat a recorded run in a world in memory, compare the digest of every round, and return the result.

        The decisions of time come from the log: forfeits, joins and leaves, and in `Mode.TOKENS` the interleaving. The
        simulation's own world is not touched. Raises `ReplayDiverged`, and `CheckpointMissing` for a log without a simulation.
        """
        check_instance("replay.log", log, EventLog, 'an EventLog: EventLog("run.db")')
        check_functions(on_round=on_round)
        replaying = RecordedDecisions(log.events())
        if replaying.started is None:
            raise CheckpointMissing(repr(log), "it holds no simulation")
        world = World.replay(log, replaying.started.sequence - 1)
        plan = msgspec.structs.replace(self.plan, world=world, checkpoints=False)
        members = [str(name) for name in replaying.started.details["agents"]]
        engine = RoundEngine(plan, replaying)
        engine.settling.outside = replaying.outside
        try:
            _begin(engine, members)
            return self._drive(engine, len(replaying.digests), on_round, None)
        finally:
            engine.close()

    def collected(self, log: EventLog) -> dict[str, DataTable]:
        """Return the tables of `collect` for the run in a log, made from the log alone. Raises `CollectFailed`."""
        collector = DataCollector(self.plan.collect, self.plan.graph, self.plan.agents)
        collector.fill(log)
        return collector.tables()

    @property
    def checkpointed(self) -> int:
        """The round of the newest checkpoint, from which `resume` would go on; 0 without a checkpoint. Raises storage errors."""
        checkpoints = self._checkpoints()
        newest = checkpoints.newest() if checkpoints is not None else None
        return newest.round if newest is not None else 0

    def join(self, name: str) -> None:
        """Add an agent from the next round on. Raises `InvalidSetting` for an unknown name."""
        if name not in self.plan.agents:
            raise InvalidSetting("Simulation.join", name, f"one of {', '.join(self.plan.agents)}")
        self._joins.append(name)

    def leave(self, name: str) -> None:
        """Remove an agent from the next round on. Raises `InvalidSetting` for an unknown name."""
        if name not in self.plan.agents:
            raise InvalidSetting("Simulation.leave", name, f"one of {', '.join(self.plan.agents)}")
        self._leaves.append(name)

    def stop(self, reason: str = "it was stopped") -> None:
        """End the run after the next settled round. Raises `InvalidSetting` if the reason is not text."""
        check_instance("Simulation.stop", reason, str, "a reason, as text")
        if not reason:
            raise InvalidSetting("Simulation.stop", reason, "a reason, as text")
        self._stop = reason

    def _run(self, rounds: int, on_round: OnRound | None, checkpoints: Checkpoints | None, *, resume: bool) -> Result:
        engine = self._engine = RoundEngine(self.plan, None)
        try:
            if checkpoints is not None:
                for participant in engine.executors.participants.values():
                    participant.check()
            checkpoint = checkpoints.newest() if resume and checkpoints is not None else None
            if checkpoint is not None and checkpoints is not None:
                restore_engine(engine, checkpoint, checkpoints, self._where())
                if self.plan.world.log is not None:
                    engine.settling.collector.fill(self.plan.world.log, engine.settled)
            else:
                if resume and checkpoints is not None:
                    self._begin_anew(engine, checkpoints)
                members = self.plan.members if self.plan.members is not None else self.plan.agents
                _begin(engine, sorted(members))
            return self._drive(engine, rounds, on_round, checkpoints)
        finally:
            engine.close()

    def _check_goes_on(self, engine: RoundEngine) -> None:
        if not self._whole:
            problem = "the last run ended with an error, or in the middle of a round"
            raise RoundsError(f"{self._where()}: {problem}; resume from its checkpoint, or make a new simulation and world")
        if engine.settled and engine.world.closed:
            raise RoundsError(f"{self._where()}: the world was closed; open its log, and resume")

    def _go_on(self, engine: RoundEngine, rounds: int, on_round: OnRound | None, checkpoints: Checkpoints | None) -> Result:
        """Go on with an engine that ended between two rounds."""
        if self._stopped_from_outside:
            engine.stopped = ""
        engine.reopen()
        try:
            return self._drive(engine, rounds, on_round, checkpoints)
        finally:
            engine.close()

    def _begin_anew(self, engine: RoundEngine, checkpoints: Checkpoints) -> None:
        """Set the world back to before a simulation that did not settle its first round."""
        log = self.plan.world.log
        assert log is not None
        started = next((event for event in log.events() if event.kind == STARTED), None)
        cut_off(engine, checkpoints, log, started.sequence - 1 if started is not None else self.plan.world.sequence)

    def _drive(self, engine: RoundEngine, rounds: int, on_round: OnRound | None, checkpoints: Checkpoints | None) -> Result:
        began = engine.world.clock.monotonic()
        if engine.replaying is None:
            self._whole = self._stopped_from_outside = False
        # Rounds of groups alone, which nobody has seen, are repeated after a loss of power.
        groups = all(isinstance(agent, AgentGroup) for agent in self.plan.agents.values())
        engine.settling.each_round = on_round is not None or not groups
        with engine.settling.written():
            self._do_rounds(engine, rounds, on_round, checkpoints)
        return Result(
            engine.settled,
            engine.world.digest(),
            tuple(engine.digests),
            engine.stopped,
            engine.forfeits,
            engine.world.view(),
            tuple(engine.timeline.spans),
            engine.timeline.waited,
            engine.world.clock.monotonic() - began,
            engine.executors.metrics(),
            engine.errors,
            engine.settling.collector.tables(),
        )

    def _do_rounds(self, engine: RoundEngine, rounds: int, on_round: OnRound | None, checkpoints: Checkpoints | None) -> None:
        scripted = engine.replaying is not None
        strategy = strategy_of(self.plan.mode, scripted=scripted)
        settled = engine.settled
        while engine.settled < rounds and not engine.stopped:
            self._take_requests(engine)
            if not strategy.step(engine, rounds):
                if not engine.running:
                    if scripted:
                        raise ReplayDiverged(engine.settled + 1, "a step that can be done", "no step that can be done")
                    engine.stopped = "no agent takes part any more"
                    break
                engine.hear()
            if engine.settled != settled:
                settled = engine.settled
                self._settled(engine, on_round, checkpoints)
        if not scripted:
            self._whole = not engine.open
        for opened in list(engine.open.values()):
            engine.settling.give_up(opened, f"the simulation ended: {engine.stopped or 'its rounds are over'}")
        engine.settling.repeat_outside(_EVERYTHING)
        engine.settling.flush()

    def _settled(self, engine: RoundEngine, on_round: OnRound | None, checkpoints: Checkpoints | None) -> None:
        digest = engine.digests[-1]
        if engine.replaying is not None:
            recorded = engine.replaying.digests.get(engine.settled)
            if recorded != digest:
                raise ReplayDiverged(engine.settled, str(recorded), digest, engine.replaying.other_versions)
        if checkpoints is not None:
            engine.settling.keep(checkpoints.store(make_checkpoint(engine)))
        if self._stop:
            # Not in the checkpoint, so that a run that was stopped from outside can be resumed.
            self._stopped_from_outside = not engine.stopped
            engine.stopped, self._stop = engine.stopped or self._stop, ""
        try:
            engine.settling.collector.collect(engine.settled, engine.world.view())
        except CollectFailed:
            # The round is settled, and the run can go on.
            self._whole = not engine.open if engine.replaying is None else self._whole
            raise
        if on_round is not None:
            on_round(RoundResult(engine.settled, digest, engine.world.view(), tuple(engine.happened)))

    def _take_requests(self, engine: RoundEngine) -> None:
        """Pass the joins and leaves of other threads to the engine."""
        while self._joins:
            engine.joins.append(self._joins.pop(0))
        while self._leaves:
            engine.leaves.append(self._leaves.pop(0))

    def _checkpoints(self) -> Checkpoints | None:
        log = self.plan.world.log
        return Checkpoints(log.database, log.world) if log is not None and self.plan.checkpoints else None

    def _where(self) -> str:
        log = self.plan.world.log
        return repr(log) if log is not None else "a world in memory"


def _begin(engine: RoundEngine, members: Iterable[str]) -> None:
    plan = engine.plan
    names = list(members)
    details = {
        "agents": names,
        "mode": plan.mode.value,
        "seed": plan.seed,
        "graph": [stage.name for stage in plan.graph.stages],
        "made by": versions(),
    }
    engine.settling.note([ExternalEvent(STARTED, details=details)], 0)
    engine.first_members = names


__all__ = ["Change", "OnRound", "Result", "RoundResult", "Simulation"]
