"""Make a checkpoint of an engine, and restore an engine from one."""

from __future__ import annotations

from msgspec.structs import replace

from coterie.errors import CheckpointMissing, RestoreFailed, describe
from coterie.rounds.checkpoint import Checkpoint, Checkpoints, RoundState, TokenState
from coterie.rounds.engine.engine import RoundEngine
from coterie.rounds.engine.tokens import OpenRound, Status, Token
from coterie.rounds.participant import state_as_bytes, state_from_bytes
from coterie.rounds.proposals import Proposal
from coterie.rounds.recorded import RecordedDecisions
from coterie.world import EventLog
from coterie.world.state.values import freeze


def make_checkpoint(engine: RoundEngine) -> Checkpoint:
    """Return a checkpoint of the engine, right after a round was settled."""
    plan = engine.plan
    return Checkpoint(
        round=engine.settled,
        sequence=engine.world.sequence,
        digest=engine.world.digest(),
        mode=plan.mode.value,
        seed=plan.seed,
        graph=[stage.name for stage in engine.graph.stages],
        tokens=[_state_of(token) for token in engine.table.tokens.values()],
        rounds=[_state_of_round(opened) for opened in engine.open.values()],
        digests=engine.digests,
        forfeits=engine.forfeits,
        stopped=engine.stopped,
        extras={name: state_as_bytes(name, each.snapshot()) for name, each in sorted(plan.keep.items())},
        errors=engine.errors,
        proven=None if engine.failures.proven is None else sorted(engine.failures.proven),
        activation=plan.activation.value,
        born=engine.lives.added(engine.table),
        births=engine.lives.births,
        deaths=engine.lives.deaths,
        rules=plan.rules,
    )


def restore_engine(engine: RoundEngine, checkpoint: Checkpoint, checkpoints: Checkpoints, where: str) -> None:
    """Restore engine and world from a checkpoint.

    Raises `CheckpointMissing` if the checkpoint does not fit, and `RestoreFailed`; the world is then as it was.
    """
    _check(engine, checkpoint, where)
    plan = engine.plan
    for name in checkpoint.born:
        engine.lives.add(name)
    engine.lives.births, engine.lives.deaths = list(checkpoint.births), list(checkpoint.deaths)
    for each in checkpoint.tokens:
        engine.table.add(_token_of(each, engine))
    engine.executors.prepare(engine.table.live)
    for name, state in checkpoint.extras.items():
        try:
            plan.keep[name].restore(state_from_bytes(state))
        except Exception as error:
            raise RestoreFailed(name, describe(error)) from error
    if engine.world.log is not None:
        cut_off(engine, checkpoints, engine.world.log, checkpoint.sequence)
    else:
        engine.world.truncate(checkpoint.sequence)
    engine.settling.last = checkpoint.sequence
    if engine.world.at(checkpoint.sequence).digest() != checkpoint.digest:
        raise CheckpointMissing(where, "the world at that moment has another digest than the checkpoint")
    engine.settled, engine.digests = checkpoint.round, list(checkpoint.digests)
    engine.forfeits, engine.errors, engine.stopped = checkpoint.forfeits, checkpoint.errors, checkpoint.stopped
    engine.failures.proven = None if checkpoint.proven is None else set(checkpoint.proven)
    for opened in checkpoint.rounds:
        engine.open[opened.number] = _round_of(opened, engine)
    for token in list(engine.table.tokens.values()):
        if token.status is Status.RUNNING:
            _repeat_stage(engine, token)


def cut_off(engine: RoundEngine, checkpoints: Checkpoints, log: EventLog, sequence: int) -> None:
    """Cut the log off after an event. The decisions beyond it are kept, also through a further kill, and made again.

    Changes from outside right after the event stay in the log.
    """
    recorded = engine.recorded = RecordedDecisions(log.events(sequence + 1))
    last = recorded.kept_in_log(sequence)
    recorded.include(checkpoints.cut())
    engine.settling.outside, engine.settling.made_again = recorded.outside, checkpoints.made_again
    engine.world.truncate(last, checkpoints.keep_cut(recorded.decisions))


def _check(engine: RoundEngine, checkpoint: Checkpoint, where: str) -> None:
    plan = engine.plan
    for what, kept, given in (
        ("mode", checkpoint.mode, plan.mode.value),
        ("activation", checkpoint.activation, plan.activation.value),
        ("seed", checkpoint.seed, plan.seed),
        ("graph", checkpoint.graph, [stage.name for stage in engine.graph.stages]),
    ):
        if kept != given:
            raise CheckpointMissing(where, f"its {what} is {kept!r}, not {given!r}; resume what was begun")
    if checkpoint.rules and plan.rules and checkpoint.rules != plan.rules:
        problem = "its rules were changed after the run had begun; put the scenario back as it was, or begin a new run"
        raise CheckpointMissing(where, problem)
    missing = sorted({token.name for token in checkpoint.tokens if token.status != Status.GONE})
    missing = [name for name in missing if name not in plan.agents and name not in checkpoint.born]
    if missing:
        raise CheckpointMissing(where, f"the agents {', '.join(missing)} take part, and were not given")
    if set(checkpoint.extras) - set(plan.keep):
        raise CheckpointMissing(where, f"it also keeps {', '.join(sorted(set(checkpoint.extras) - set(plan.keep)))}; give them")


def _repeat_stage(engine: RoundEngine, token: Token) -> None:
    """Repeat the stage that was running, with the same view."""
    view = engine.world.at(token.sequence)
    if engine.graph.stage(token.stage).together:
        engine.open[token.round].gatherings -= 1
        engine.serve([token], engine.open[token.round], view)
    else:
        token.visits[token.stage] -= 1
        engine.start(token, view)


def _state_of(token: Token) -> TokenState:
    return TokenState(
        token.name,
        token.round,
        token.stage,
        token.status.value,
        token.inputs if token.status in (Status.RUNNING, Status.READY) else {},
        token.visits,
        token.intended,
        token.sequence,
        token.proposals,
        token.kept,
        token.latest,
        token.last,
        token.back,
    )


def _token_of(state: TokenState, engine: RoundEngine) -> Token:
    return Token(
        state.name,
        state.round,
        state.stage,
        Status(state.status),
        {name: freeze(value, name) for name, value in state.inputs.items()},
        state.visits,
        state.intended,
        state.sequence,
        [_frozen_proposal(each) for each in state.proposals],
        state.kept,
        state.latest,
        state.last,
        state.back,
        since=engine.world.clock.monotonic(),
    )


def _frozen_proposal(proposal: Proposal) -> Proposal:
    return replace(proposal, parameters=freeze(proposal.parameters))


def _state_of_round(opened: OpenRound) -> RoundState:
    return RoundState(
        opened.number,
        opened.first,
        opened.view.sequence,
        opened.intents,
        sorted(opened.inside),
        opened.commits,
        opened.gatherings,
        opened.notes,
        opened.verdicts,
    )


def _round_of(state: RoundState, engine: RoundEngine) -> OpenRound:
    return OpenRound(
        state.number,
        engine.world.at(state.sequence),
        state.first,
        [replace(each, arguments=freeze(each.arguments)) for each in state.intents],
        state.notes,
        [replace(each, proposal=_frozen_proposal(each.proposal)) for each in state.verdicts],
        set(state.inside),
        state.commits,
        state.gatherings,
        roster=engine.lives.roster(engine.table, changed=False),
    )
