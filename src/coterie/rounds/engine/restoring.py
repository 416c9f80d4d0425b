"""From an engine to a checkpoint, and back."""

from __future__ import annotations

from coterie.errors import CheckpointMissing
from coterie.rounds.agents.subject import state_as_bytes, state_from_bytes
from coterie.rounds.engine.engine import Engine
from coterie.rounds.engine.token import OpenRound, Status, Token
from coterie.rounds.keeping.checkpoint import Checkpoint, RoundState, TokenState
from coterie.rounds.keeping.script import Script
from coterie.world import freeze


def take(engine: Engine) -> Checkpoint:
    """Return the engine as it is, right after a round was settled."""
    plan = engine.plan
    return Checkpoint(
        round=engine.settled,
        sequence=engine.world.sequence,
        digest=engine.world.digest(),
        mode=plan.mode.value,
        seed=plan.seed,
        graph=[stage.name for stage in engine.graph.stages],
        tokens=[_state_of(token) for token in engine.board.tokens.values()],
        rounds=[_state_of_round(opened) for opened in engine.open.values()],
        digests=engine.digests,
        forfeits=engine.forfeits,
        stopped=engine.stopped,
        extras={name: state_as_bytes(name, each.snapshot()) for name, each in sorted(plan.keep.items())},
    )


def put_back(engine: Engine, checkpoint: Checkpoint, where: str) -> None:
    """Have the engine go on from a checkpoint; the world is set back to it. Raises `CheckpointMissing` if it does not fit."""
    _check(engine, checkpoint, where)
    plan = engine.plan
    if engine.world.log is not None:
        engine.recorded = Script(engine.world.log.events(checkpoint.sequence + 1))
    engine.world.truncate(checkpoint.sequence)
    if engine.world.digest() != checkpoint.digest:
        raise CheckpointMissing(where, "the world at its moment is not the one that it was made of")
    for name, state in checkpoint.extras.items():
        plan.keep[name].restore(state_from_bytes(state))
    engine.settled, engine.digests = checkpoint.round, list(checkpoint.digests)
    engine.forfeits, engine.stopped = checkpoint.forfeits, checkpoint.stopped
    for opened in checkpoint.rounds:
        engine.open[opened.number] = _round_of(opened, engine)
    for each in checkpoint.tokens:
        engine.board.add(_token_of(each, engine))
    for token in list(engine.board.tokens.values()):
        if token.status is Status.RUNNING:
            _begin_again(engine, token)


def _check(engine: Engine, checkpoint: Checkpoint, where: str) -> None:
    plan = engine.plan
    for what, kept, given in (
        ("mode", checkpoint.mode, plan.mode.value),
        ("seed", checkpoint.seed, plan.seed),
        ("graph", checkpoint.graph, [stage.name for stage in engine.graph.stages]),
    ):
        if kept != given:
            raise CheckpointMissing(where, f"its {what} is {kept!r}, not {given!r}; resume what was begun")
    missing = sorted({token.name for token in checkpoint.tokens if token.status != Status.GONE} - set(plan.agents))
    if missing:
        raise CheckpointMissing(where, f"the agents {', '.join(missing)} take part, and were not given")
    if set(checkpoint.extras) - set(plan.keep):
        raise CheckpointMissing(where, f"it keeps {', '.join(sorted(set(checkpoint.extras) - set(plan.keep)))} too; give them")


def _begin_again(engine: Engine, token: Token) -> None:
    """Do again what was being done, from where and with the view with which it was begun."""
    view = engine.world.at(token.sequence)
    if engine.graph.stage(token.stage).together:
        engine.open[token.round].gatherings -= 1
        engine.serve([token], engine.open[token.round], view)
    else:
        token.visits = {**token.visits, token.stage: token.visits[token.stage] - 1}
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


def _token_of(state: TokenState, engine: Engine) -> Token:
    return Token(
        state.name,
        state.round,
        state.stage,
        Status(state.status),
        {name: freeze(value, name) for name, value in state.inputs.items()},
        state.visits,
        state.intended,
        state.sequence,
        state.proposals,
        state.kept,
        state.latest,
        state.last,
        state.back,
        since=engine.world.clock.monotonic(),
    )


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


def _round_of(state: RoundState, engine: Engine) -> OpenRound:
    return OpenRound(
        state.number,
        engine.world.at(state.sequence),
        state.first,
        state.intents,
        state.notes,
        state.verdicts,
        set(state.inside),
        state.commits,
        state.gatherings,
    )
